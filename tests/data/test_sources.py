"""What a source may hold: class folders and zips as people make them, and as attackers make them."""

import contextlib
import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featdiff.data import sources
from featdiff.data.listing import BadImage
from featdiff.data.sources import open_source
from featdiff.errors import UserError
from featdiff.settings.data import FolderSource, PackagedSource, ZipSource

PNG = b"not an image, but sources do not look inside"
NAMES = ["brick", "a b", 'it\'s "q"', "$(touch x)", "été", "石", "x" * 200, "-rf", "007"]


def folder(root: Path, files: dict[str, bytes]) -> FolderSource:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return FolderSource(kind="folder", path=str(root))


def packed(path: Path, files: dict[str, bytes]) -> ZipSource:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return ZipSource(kind="zip", path=str(path))


def make(kind: str, tmp_path: Path, files: dict[str, bytes]) -> FolderSource | ZipSource:
    return folder(tmp_path / "data", files) if kind == "folder" else packed(tmp_path / "data.zip", files)


both = pytest.mark.parametrize("kind", ["folder", "zip"])


def listed(source: FolderSource | ZipSource | PackagedSource) -> list[tuple[str, str, bytes]]:
    with open_source(source, Path(".")) as listing:
        return [(f.class_name, f.name, f.read()) for f in listing.files]


def refused(source: FolderSource | ZipSource) -> str:
    with pytest.raises(UserError) as error, open_source(source, Path(".")):
        pass
    return str(error.value)


def test_packaged_photographs_need_no_network_and_are_512_by_512() -> None:
    with open_source(PackagedSource(), Path("/nowhere")) as listing:
        assert listing.classes == ["brick", "grass", "gravel"]
        for file in listing.files:
            assert Image.open(io.BytesIO(file.read())).size == (512, 512)


@both
def test_class_names_of_every_kind(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path, {f"{n}/1 '$x.png": n.encode() for n in NAMES})
    assert listed(source) == sorted((n, f"{n}/1 '$x.png", n.encode()) for n in NAMES)


@both
def test_wrapper_folder_is_looked_through(kind: str, tmp_path: Path) -> None:
    source = make(
        kind, tmp_path, {"data/brick/1.png": PNG, "data/grass/1.png": PNG, "__MACOSX/._x": b"", ".git/x": b""}
    )
    assert [c for c, _, _ in listed(source)] == ["brick", "grass"]


@both
def test_one_class_is_not_mistaken_for_a_wrapper(kind: str, tmp_path: Path) -> None:
    assert [c for c, _, _ in listed(make(kind, tmp_path, {"brick/1.png": PNG, "brick/2.png": PNG}))] == [
        "brick",
        "brick",
    ]


@both
def test_hidden_files_are_ignored_and_counted(kind: str, tmp_path: Path) -> None:
    junk = {"brick/.DS_Store": b"", "brick/Thumbs.db": b"", ".hidden": b"", "brick/._1.png": b""}
    with open_source(make(kind, tmp_path, {"brick/1.png": PNG, **junk}), Path(".")) as listing:
        assert listing.ignored == 4
        assert [f.name for f in listing.files] == ["brick/1.png"]


@both
def test_class_with_nothing_but_junk_is_still_a_class(kind: str, tmp_path: Path) -> None:
    with open_source(make(kind, tmp_path, {"a/1.png": PNG, "b/.DS_Store": b""}), Path(".")) as listing:
        assert listing.classes == ["a", "b"]


@both
def test_files_beside_the_class_folders_are_strays(kind: str, tmp_path: Path) -> None:
    with open_source(make(kind, tmp_path, {"a/1.png": PNG, "README.txt": b"hi"}), Path(".")) as listing:
        assert [s.name for s in listing.strays] == ["README.txt"]


@both
def test_nested_folders_are_refused_not_guessed(kind: str, tmp_path: Path) -> None:
    deep = make(kind, tmp_path, {"train/brick/1.png": PNG, "test/brick/2.png": PNG})
    assert "folder inside a class folder" in refused(deep)


@both
def test_no_class_folder(kind: str, tmp_path: Path) -> None:
    assert "no class folders" in refused(make(kind, tmp_path, {"1.png": PNG}))


@both
def test_two_unicode_spellings_of_one_class(kind: str, tmp_path: Path) -> None:
    assert "both called" in refused(make(kind, tmp_path, {"\u00e9/1.png": PNG, "e\u0301/1.png": PNG}))


@both
def test_control_characters_in_a_class_name(kind: str, tmp_path: Path) -> None:
    assert "control" in refused(make(kind, tmp_path, {"a\nb/1.png": PNG}))


@both
def test_missing_source_names_the_path(kind: str, tmp_path: Path) -> None:
    path = "nothing-here"
    source = FolderSource(kind="folder", path=path) if kind == "folder" else ZipSource(kind="zip", path=path)
    with pytest.raises(UserError, match=r"nothing-here: no such"), open_source(source, tmp_path):
        pass


def test_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    names = [f"{c}/{k}.png" for c in "cab" for k in (10, 2, 1)]
    orders = [names, names[::-1], sorted(names)]
    seen = [listed(folder(tmp_path / str(k), dict.fromkeys(o, PNG))) for k, o in enumerate(orders)]
    seen += [listed(packed(tmp_path / f"{k}.zip", dict.fromkeys(o, PNG))) for k, o in enumerate(orders)]
    assert all(s == seen[0] for s in seen)


def test_folder_with_pipes_broken_links_and_link_circles_ends(tmp_path: Path) -> None:
    source = folder(tmp_path / "data", {"a/1.png": PNG})
    os.mkfifo(tmp_path / "data/a/pipe.png")
    (tmp_path / "data/a/gone.png").symlink_to("nowhere")
    with open_source(source, Path(".")) as listing:
        reasons = {}
        for file in listing.files:
            try:
                file.read()
            except BadImage as error:
                reasons[file.name] = str(error)
    assert reasons == {"a/gone.png": "a broken link", "a/pipe.png": "not a regular file"}
    (tmp_path / "data/a/circle").symlink_to(tmp_path / "data")
    assert "folder inside a class folder" in refused(source)


# --- hostile zips -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil.png", "brick/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png", "\\evil.png"]
)
def test_paths_that_climb_out_are_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source = packed(tmp_path / "in/x.zip", {name: PNG})
    before = sorted(tmp_path.rglob("*"))
    message = refused(source)
    assert "leaves the archive" in message and name in message
    assert sorted(tmp_path.rglob("*")) == before


def test_backslashes_are_separators(tmp_path: Path) -> None:
    source = packed(tmp_path / "x.zip", {"data\\brick\\": b"", "data\\brick\\1.png": PNG})
    assert [c for c, _, _ in listed(source)] == ["brick"]


def test_link_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("brick/1.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert "'brick/1.png' is a link" in refused(ZipSource(kind="zip", path=str(tmp_path / "x.zip")))


def test_encrypted_member(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    packed(path, {"brick/1.png": PNG})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[6] |= 1
    path.write_bytes(data)
    assert "'brick/1.png' is encrypted" in refused(ZipSource(kind="zip", path=str(path)))


def test_squeezed_member_is_a_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("brick/1.png", bytes(2**22))
    message = refused(ZipSource(kind="zip", path=str(tmp_path / "x.zip")))
    assert "bomb" in message and "brick/1.png" in message


def test_total_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_TOTAL", 100)
    assert "brick/2.png" in refused(packed(tmp_path / "x.zip", {f"brick/{k}.png": bytes(40) for k in range(4)}))


def test_number_of_members_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_MEMBERS", 2)
    assert "holds 3 members, more than 2" in refused(
        packed(tmp_path / "data.zip", {f"a/{i}.png": PNG for i in range(3)})
    )


def test_size_that_lies_does_not_unpack_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("brick/1.png", bytes(2**22))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 1000)  # unpacked size in the directory
    path.write_bytes(data)
    with (
        open_source(ZipSource(kind="zip", path=str(path)), Path(".")) as listing,
        pytest.raises(BadImage, match="damaged"),
    ):
        listing.files[0].read()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_twice(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("brick/1.png", b"a")
        archive.writestr("brick/1.png", b"b")
    assert "holds 'brick/1.png' twice" in refused(ZipSource(kind="zip", path=str(tmp_path / "x.zip")))


def test_any_damage_to_a_zip_is_an_error_that_is_meant(tmp_path: Path) -> None:
    """Flip bits and cut the end at many places: never any other exception, and never other content without notice."""
    path = tmp_path / "x.zip"
    source = packed(path, {"a/1.png": b"one" * 9, "b/1.png": b"two" * 9})
    whole = path.read_bytes()
    pristine = {data for _, _, data in listed(source)}
    rng = np.random.default_rng(0)
    for trial in range(len(whole) * 2):
        data = bytearray(whole)
        if trial % 2:
            data[trial // 2] ^= 1 << rng.integers(8)
        else:
            del data[trial // 2 :]
        path.write_bytes(data)
        try:
            with open_source(source, Path(".")) as listing:
                for file in listing.files:
                    with contextlib.suppress(BadImage):
                        assert file.read() in pristine
        except UserError:
            pass
