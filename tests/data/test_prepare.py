"""From source to archive: what is in it, what is refused, and that the same input gives the same bits."""

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featdiff.artifacts import sha256_file
from featdiff.data import archive, spool
from featdiff.data import prepare as module
from featdiff.data.prepare import prepare
from featdiff.errors import UserError
from featdiff.settings.data import Dataset

RNG = np.random.default_rng(0)
CROP = {"kind": "crop", "size": 16}
PATCHES = {"kind": "patches", "size": 8, "stride": 3, "test_stride": 4}


def dataset(path: Path | str = "data", kind: str = "folder", **settings: Any) -> Dataset:
    source = {"kind": kind, "path": str(path)}
    return Dataset.model_validate({"source": source, "layout": CROP, **settings})


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape or (20, 24), np.uint8)


def save(path: Path, image: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise() if image is None else image).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of eight small gray images."""
    for name in ("brick", "grass"):
        for k in range(8):
            save(tmp_path / "data" / name / f"{k}.png")
    return tmp_path / "data"


def made(tmp_path: Path, settings: Dataset) -> archive.ImageArchive:
    prepare(settings, tmp_path / "out.zip", base=tmp_path)
    return archive.read(tmp_path / "out.zip", "dataset")


def refused(tmp_path: Path, settings: Dataset) -> str:
    with pytest.raises(UserError) as error:
        prepare(settings, tmp_path / "out.zip", base=tmp_path)
    assert not (tmp_path / "out.zip").exists()
    return str(error.value)


# --- what is in it ------------------------------------------------------------------------------------------------


def test_packaged_photographs(tmp_path: Path) -> None:
    layout = {"kind": "patches", "size": 24, "stride": 8, "test_stride": 8, "scale": 0.5}
    settings = Dataset.model_validate({"source": {"kind": "packaged"}, "layout": layout})
    summary = prepare(settings, tmp_path / "out.zip")
    assert list(summary.counts) == ["brick", "grass", "gravel"]
    for counts in summary.counts.values():
        assert counts["train"] >= 300 and counts["test"] >= 150
    read = archive.read(tmp_path / "out.zip", "dataset")
    assert read.classes == ["brick", "grass", "gravel"] and read.images.shape[1:] == (24, 24, 1)
    assert list(read.made.inputs) == ["brick.png", "grass.png", "gravel.png"]
    assert list(read.index.columns) == ["path", "split", "label", "class", "source", "row", "column"]


def packaged(tmp_path: Path, classes: object) -> list[str]:
    layout = {"kind": "patches", "size": 24, "stride": 24, "test_stride": 24, "scale": 0.5}
    values = {"source": {"kind": "packaged"}, "layout": layout, "classes": classes}
    prepare(Dataset.model_validate(values), tmp_path / "out.zip")
    return archive.read(tmp_path / "out.zip", "dataset").classes


def test_known_and_new_classes_are_the_two_sides_of_one_split(tmp_path: Path) -> None:
    sides = [packaged(tmp_path, {"new": 1, "take": take, "seed": 3}) for take in ("known", "new")]
    assert [len(side) for side in sides] == [2, 1] and sorted(sides[0] + sides[1]) == ["brick", "grass", "gravel"]
    chosen = {tuple(packaged(tmp_path, {"new": 1, "take": "new", "seed": seed})) for seed in range(8)}
    assert len(chosen) > 1


def test_so_many_known_classes_and_no_more_take_part(tmp_path: Path) -> None:
    sides = [packaged(tmp_path, {"new": 1, "known": 1, "take": take, "seed": 3}) for take in ("known", "new")]
    assert [len(side) for side in sides] == [1, 1] and sides[0] != sides[1]
    assert sides[0][0] in packaged(tmp_path, {"new": 1, "take": "known", "seed": 3})
    with pytest.raises(UserError, match="asks for 1 new and 3 known ones, but the source has 3"):
        packaged(tmp_path, {"new": 1, "known": 3, "take": "known"})


def test_classes_are_chosen_by_name_and_impossible_choices_refused(tmp_path: Path) -> None:
    assert packaged(tmp_path, ["gravel", "brick"]) == ["brick", "gravel"]
    with pytest.raises(UserError, match=r"classes names \['sand'\], but the source has brick, grass, gravel"):
        packaged(tmp_path, ["sand"])
    with pytest.raises(UserError, match="new is 3, but the source has 3 classes and some must be left"):
        packaged(tmp_path, {"new": 3, "take": "new"})


def test_no_pixel_of_a_photograph_is_in_train_and_test(tmp_path: Path) -> None:
    """A photograph whose pixels all differ (16 bits in two colour channels): compare the values themselves."""
    code = np.random.default_rng(1).permutation(2**14).reshape(128, 128)
    unique = np.stack([code >> 8, code & 255, np.zeros_like(code)], 2).astype(np.uint8)
    save(tmp_path / "data/a/1.png", unique)
    read = made(tmp_path, dataset(layout=PATCHES, mode="rgb"))
    values = read.images[..., 0].astype(int) * 256 + read.images[..., 1]
    train, test = (values[(read.index["split"] == s).to_numpy()] for s in ("train", "test"))
    assert not np.intersect1d(train, test).size
    for image, row in zip(values, read.index.itertuples(), strict=True):  # row and column tell the truth
        assert (image == code[row.row : row.row + 8, row.column : row.column + 8]).all()


def test_round_trip_of_crops(folder: Path, tmp_path: Path) -> None:
    read = made(tmp_path, dataset(layout={"kind": "crop", "size": 20}))
    assert len(read.index) == 16 and read.images.shape == (16, 20, 20, 1)
    assert read.index.groupby(["class", "split"]).size().to_dict() == {
        (c, s): n for c in ("brick", "grass") for s, n in (("train", 6), ("test", 2))
    }
    for image, row in zip(read.images, read.index.itertuples(), strict=True):
        file = folder / row.source
        assert (image[..., 0] == np.asarray(Image.open(file))[:, 2:22]).all()  # 20 x 24: the middle
        assert read.made.inputs[row.source] == sha256_file(file)


def test_images_can_be_unzipped_into_class_folders(folder: Path, tmp_path: Path) -> None:
    read = made(tmp_path, dataset())
    with zipfile.ZipFile(tmp_path / "out.zip") as unpacked:
        for image, path in zip(read.images, read.index["path"], strict=True):
            assert (np.asarray(Image.open(io.BytesIO(unpacked.read(path)))) == image[..., 0]).all()


NAMES = ["a b", 'it\'s "q", ok', "$(touch x)", "été", "石", "x" * 200, "007", "1e5", "NA", "True", "-rf"]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_class_names_of_every_kind_survive(kind: str, tmp_path: Path) -> None:
    for name in NAMES:
        for k in range(3):
            save(tmp_path / "data" / name / f"{k}.png")
    path = "data"
    if kind == "zip":
        path = "data.zip"
        shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path / "data")
    read = made(tmp_path, dataset(path, kind))
    assert read.classes == sorted(NAMES)
    assert not (tmp_path / "x").exists()
    rows = zip(*(read.index[k] for k in ("path", "split", "class")), strict=True)
    assert all(path.startswith(f"{split}/{name}/") for path, split, name in rows)


def test_numbers_alone_as_class_names_stay_text(tmp_path: Path) -> None:
    for name in ("007", "010"):
        for k in range(3):
            save(tmp_path / "data" / name / f"{k}.png")
    assert made(tmp_path, dataset()).classes == ["007", "010"]


def test_zip_of_a_folder_is_the_same_data_set(folder: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "data"), "zip", folder)
    a, b = made(tmp_path, dataset("data.zip", "zip")), made(tmp_path, dataset())
    assert (a.images == b.images).all() and a.index.equals(b.index)
    assert a.made.inputs == {"data.zip": sha256_file(tmp_path / "data.zip")}


def test_most_training_images_a_class(folder: Path, tmp_path: Path) -> None:
    read = made(tmp_path, dataset(max_images_per_class=3))
    assert read.index.groupby(["class", "split"]).size().to_dict()["brick", "train"] == 3
    assert read.index.groupby(["class", "split"]).size().to_dict()["brick", "test"] == 2
    (tmp_path / "out.zip").unlink()
    assert "set it to 2 or more" in refused(tmp_path, dataset(max_images_per_class=1))


# --- the same input, the same bits --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [CROP, PATCHES])
def test_bits_do_not_depend_on_the_run_the_place_or_the_file_system(layout: dict[str, Any], tmp_path: Path) -> None:
    images = {f"{c}/{k}.png": noise(40, 40) for c in "ab" for k in range(4)}
    digests = set()
    for n, order in enumerate((list(images), list(images)[::-1])):
        base = tmp_path / f"place {n}"
        for name in order:
            save(base / "data" / name, images[name])
            os.utime(base / "data" / name, (n, n))
        (base / "data/a/bad.png").write_bytes(b"x")
        for _ in range(2):
            prepare(dataset(layout=layout, bad_images="skip"), base / "out.zip", base=base)
            digests.add(sha256_file(base / "out.zip"))
    assert len(digests) == 1


def test_split_of_crops_depends_on_seed_and_content_not_on_names(folder: Path, tmp_path: Path) -> None:
    def tested(seed: int) -> set[bytes]:
        return {i.tobytes() for i in made(tmp_path, dataset(seed=seed)).select(split="test").images}

    first = tested(0)
    assert any(tested(seed) != first for seed in (1, 2, 3))
    for k, path in enumerate(sorted(folder.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed {k}.png"))
    assert tested(0) == first


def test_copies_do_not_straddle_train_and_test(tmp_path: Path) -> None:
    originals = [noise() for _ in range(5)]
    for k in range(40):
        save(tmp_path / f"data/a/{k}.png", originals[k % 5])
    for seed in range(5):
        summary = prepare(dataset(seed=seed), tmp_path / "out.zip", base=tmp_path)
        read = archive.read(tmp_path / "out.zip", "dataset")
        train, test = ({i.tobytes() for i in read.select(split=s).images} for s in ("train", "test"))
        assert train and test and not train & test
    assert summary.duplicates == 35 and "35 images are copies" in str(summary)


# --- what is refused, or skipped ----------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    save(path, noise(64, 64))
    path.write_bytes(path.read_bytes()[:-500])


BAD: list[tuple[str, Callable[[Path], Any], str]] = [
    ("brick/bad.png", truncate, "damaged or truncated"),
    ("brick/bad.png", lambda p: p.write_bytes(b""), "an empty file"),
    ("brick/notes.txt", lambda p: p.write_text("hi"), "not a PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF image"),
    ("brick/bad.png", lambda p: save(p, noise(10, 40)), "40 x 10 pixels, smaller than the size of 16"),
    ("brick/bad.png", os.mkfifo, "not a regular file"),
    ("brick/bad.png", lambda p: p.symlink_to("nowhere"), "a broken link"),
    ("brick/bad.png", lambda p: Image.new("1", (10000, 10000)).save(p), "bomb"),
    ("README.md", lambda p: p.write_text("hi"), "lies beside the class folders"),
]


@pytest.mark.parametrize(("name", "spoil", "why"), BAD)
def test_bad_file_is_an_error_that_names_it_or_a_counted_skip(
    name: str, spoil: Callable[[Path], Any], why: str, folder: Path, tmp_path: Path
) -> None:
    clean = made(tmp_path, dataset()).index
    (tmp_path / "out.zip").unlink()
    spoil(folder / name)
    message = refused(tmp_path, dataset())
    assert str(folder / name) in message and why in message and "bad_images: skip" in message
    summary = prepare(dataset(bad_images="skip"), tmp_path / "out.zip", base=tmp_path)
    assert [s.source for s in summary.skipped] == [name] and why in summary.skipped[0].reason
    assert "1 files skipped" in str(summary) and name in str(summary)
    read = archive.read(tmp_path / "out.zip", "dataset")
    assert list(read.index["source"]) == list(clean["source"]) and name not in read.made.inputs
    with zipfile.ZipFile(tmp_path / "out.zip") as members:
        table = pd.read_csv(io.BytesIO(members.read(module.SKIPPED)))
    assert list(table["source"]) == [name] and why in table["reason"][0]


def test_all_bad_files_are_counted_and_the_first_are_named(folder: Path, tmp_path: Path) -> None:
    for k in range(25):
        (folder / f"brick/bad{k:02d}.png").write_bytes(b"x")
    message = refused(tmp_path, dataset())
    assert message.startswith("25 unusable file(s)") and "bad09" in message and "and 15 more" in message


def test_empty_class(folder: Path, tmp_path: Path) -> None:
    (folder / "empty").mkdir()
    assert "class 'empty' has no usable image" in refused(tmp_path, dataset())


def test_class_that_skipping_leaves_empty(folder: Path, tmp_path: Path) -> None:
    (folder / "gravel").mkdir()
    (folder / "gravel/1.png").write_bytes(b"x")
    message = refused(tmp_path, dataset(bad_images="skip"))
    assert "class 'gravel' has no usable image" in message and "gravel/1.png: not a PNG" in message


@pytest.mark.parametrize("number", [1, 2])
def test_class_with_too_few_images_to_pair_and_test(number: int, folder: Path, tmp_path: Path) -> None:
    for k in range(number):
        save(folder / f"few/{k}.png")
    message = refused(tmp_path, dataset())
    assert f"class 'few' has {number} distinct image(s)" in message and "few/0.png" in message


def test_three_copies_are_one_image(folder: Path, tmp_path: Path) -> None:
    for k in range(3):
        save(folder / f"few/{k}.png", np.full((20, 20), 7, np.uint8))
    assert "class 'few' has 1 distinct" in refused(tmp_path, dataset())


def test_photograph_too_small_to_split(tmp_path: Path) -> None:
    save(tmp_path / "data/a/1.png", noise(12, 12))
    message = refused(tmp_path, dataset(layout=PATCHES))
    assert "a/1.png" in message and "too small to split" in message


def test_photograph_with_one_training_patch_cannot_pair(tmp_path: Path) -> None:
    save(tmp_path / "data/a/1.png", noise(16, 17))
    message = refused(tmp_path, dataset(layout={**PATCHES, "stride": 9}))
    assert "class 'a': 1 training and 1 test images" in message


def test_mixed_modes(folder: Path, tmp_path: Path) -> None:
    save(folder / "brick/colour.png", noise(20, 20, 3))
    message = refused(tmp_path, dataset())
    assert "16 gray" in message and "brick/colour.png" in message and "mixed_modes: convert" in message
    assert made(tmp_path, dataset(mixed_modes="convert")).images.shape == (17, 16, 16, 1)
    assert made(tmp_path, dataset(mixed_modes="convert", mode="rgb")).images.shape == (17, 16, 16, 3)


def test_the_same_picture_in_two_classes(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "brick/3.png", folder / "grass/copy.png")
    message = refused(tmp_path, dataset())
    assert "brick/3.png" in message and "grass/copy.png" in message and "two classes" in message
    summary = prepare(dataset(bad_images="skip"), tmp_path / "out.zip", base=tmp_path)
    assert [(s.source, s.reason) for s in summary.skipped] == [
        (name, "the same picture in classes brick, grass") for name in ("brick/3.png", "grass/copy.png")
    ]


# --- ready-made halves, one class, pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", ["", "wrapped/"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_given_halves_are_kept_as_they_are(kind: str, wrapper: str, tmp_path: Path) -> None:
    for half, count in (("train", 5), ("val", 3), ("else", 2)):
        for name in ("brick", "grass"):
            for k in range(count):
                save(tmp_path / "data" / wrapper / half / name / f"{k}.png")
    shutil.copy(tmp_path / "data" / wrapper / "train/brick/0.png", tmp_path / "data" / wrapper / "val/brick/copy.png")
    if kind == "zip":
        shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path / "data")
    path = "data" if kind == "folder" else "data.zip"
    settings = dataset(test_fraction=0.9, source={"kind": kind, "path": path, "halves": ["train", "val"]})
    summary = prepare(settings, tmp_path / "out.zip", base=tmp_path)
    assert summary.counts == {"brick": {"train": 5, "test": 4}, "grass": {"train": 5, "test": 3}}
    assert "1 test images are training images, too" in str(summary)
    index = archive.read(tmp_path / "out.zip", "dataset").index
    assert (index["source"].str.contains("train/") == (index["split"] == "train")).all()
    assert not index["source"].str.contains("else/").any()


def test_halves_that_are_not_there_or_are_one_or_are_patches_are_refused(folder: Path, tmp_path: Path) -> None:
    source = {"kind": "folder", "path": "data", "halves": ["train", "test"]}
    assert "no folders 'train' and 'test'" in refused(tmp_path, dataset(source=source))
    with pytest.raises(ValueError, match="'a' twice"):
        dataset(source={**source, "halves": ["a", "a"]})
    with pytest.raises(ValueError, match=r"layout patches splits each image: take layout\.kind: crop"):
        dataset(source=source, layout=PATCHES)


def test_images_without_class_folders_are_of_the_one_class_that_is_named(tmp_path: Path) -> None:
    for k in range(8):
        save(tmp_path / "data" / f"{k}.png")
    read = made(tmp_path, dataset(source={"kind": "folder", "path": "data", "one_class": "things"}))
    assert read.classes == ["things"] and len(read.index) == 8
    save(tmp_path / "data/deeper/1.png")
    (tmp_path / "out.zip").unlink()
    assert "deeper: a folder beside the images of the only class" in refused(
        tmp_path, dataset(source={"kind": "folder", "path": "data", "one_class": "things"})
    )


def test_more_pages_than_the_first_are_told(folder: Path, tmp_path: Path) -> None:
    pages = [Image.fromarray(noise()) for _ in range(3)]
    pages[0].save(folder / "brick/pages.tif", save_all=True, append_images=pages[1:])
    summary = prepare(dataset(), tmp_path / "out.zip", base=tmp_path)
    assert summary.paged == 1 and "1 files have more pages or frames" in str(summary)


def test_a_flat_bmp_in_a_zip_is_no_bomb(folder: Path, tmp_path: Path) -> None:
    save(folder / "brick/flat.bmp", np.zeros((1200, 1200), np.uint8))
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in folder.rglob("*.*"):
            packed.write(file, file.relative_to(folder))
    read = made(tmp_path, dataset("data.zip", "zip"))
    assert "brick/flat.bmp" in set(read.index["source"])


def test_a_data_set_that_the_disk_would_not_hold_is_refused(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "Spool", lambda folder: spool.Spool(folder, kept=1000))
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**20))
    assert "make room, or use a larger stride" in refused(tmp_path, dataset())


def test_images_put_aside_in_files_make_the_same_archive(folder: Path, tmp_path: Path, monkeypatch) -> None:
    kept = made(tmp_path, dataset())
    monkeypatch.setattr(spool, "CHUNK", 5000)
    monkeypatch.setattr(module, "Spool", lambda folder: spool.Spool(folder, kept=1000))
    assert made(tmp_path, dataset()).made == kept.made


# --- a damaged archive --------------------------------------------------------------------------------------------


def test_damaged_archive_is_refused_or_whole(folder: Path, tmp_path: Path) -> None:
    """Bits flipped anywhere and ends cut off: a UserError, or (times, attributes) the very same content."""
    whole = made(tmp_path, dataset(max_images_per_class=2))
    path = tmp_path / "out.zip"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    harmless = 0
    for trial in range(500):
        spoilt = bytearray(data)
        if trial % 5:
            spoilt[rng.integers(len(data))] ^= 1 << rng.integers(8)
        else:
            del spoilt[rng.integers(len(data)) :]
        path.write_bytes(spoilt)
        try:
            read = archive.read(path, "dataset")
        except UserError as error:
            assert str(path) in str(error)
            continue
        harmless += 1
        assert (read.images == whole.images).all() and read.index.equals(whole.index) and read.made == whole.made
    assert harmless < 100
