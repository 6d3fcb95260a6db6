"""The archive gives back what was put in, and nothing else."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featdiff import artifacts
from featdiff.data import archive
from featdiff.errors import UserError

NAMES = ["007", "1e5", "NA", "True", "石 '\"$x, y"]


def write(path: Path, channels: int) -> tuple[np.ndarray, pd.DataFrame]:
    images = np.random.default_rng(0).integers(0, 256, (len(NAMES), 8, 8, channels), np.uint8)
    rows = [(f"train/{name}/0.png", "train", k, name, 0.1 * k) for k, name in enumerate(NAMES)]
    index = pd.DataFrame(rows, columns=[*archive.COLUMNS, "number"])
    archive.write(path, images, index, artifacts.manifest("dataset", {}), extra={"notes.csv": b"not read"})
    return images, index


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_keeps_pixels_names_and_numbers(channels: int, tmp_path: Path) -> None:
    images, index = write(tmp_path / "x.zip", channels)
    read = archive.read(tmp_path / "x.zip", "dataset")
    assert (read.images == images).all() and read.classes == NAMES
    pd.testing.assert_frame_equal(read.index, index, check_dtype=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_archive_is_mapped_and_gives_the_same_rows(channels: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(archive, "LARGE", 100)
    images, index = write(tmp_path / "x.zip", channels)
    read = archive.read(tmp_path / "x.zip", "dataset")
    assert isinstance(read.images, archive.Rows) and isinstance(read.images.base, np.memmap)
    assert (np.asarray(read.images) == images).all() and read.images.shape == images.shape
    assert read.images.nbytes == images.nbytes and (read.images[1:3] == images[1:3]).all()
    assert read.classes == NAMES and read.index["number"].tolist() == index["number"].tolist()
    assert (read.select(label=3).images[0] == images[3]).all() and not len(read.select(split="test").images)
    with zipfile.ZipFile(tmp_path / "x.zip") as whole, whole.open("images.npy") as member:
        assert (np.load(member) == images).all()


def test_a_byte_changed_in_a_large_archive_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(archive, "LARGE", 100)
    images, _ = write(tmp_path / "x.zip", 1)
    data = bytearray((tmp_path / "x.zip").read_bytes())
    data[data.index(images.tobytes()) + 70] ^= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        archive.read(tmp_path / "x.zip", "dataset")


def test_other_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.zip", 1)
    with pytest.raises(UserError, match="is a dataset artifact, a samples artifact was expected"):
        archive.read(tmp_path / "x.zip", "samples")


def test_each_flipped_bit_of_the_zip_headers_is_refused_or_harmless(tmp_path: Path) -> None:
    images, index = write(tmp_path / "x.zip", 1)
    data = (tmp_path / "x.zip").read_bytes()
    starts = [i for i in range(len(data)) if data[i : i + 4] in (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")]
    for byte in sorted({i + k for i in starts[::3] for k in range(46) if i + k < len(data)}):
        for bit in range(8):
            spoilt = bytearray(data)
            spoilt[byte] ^= 1 << bit
            (tmp_path / "y.zip").write_bytes(spoilt)
            try:
                read = archive.read(tmp_path / "y.zip", "dataset")
            except UserError:
                continue
            assert (read.images == images).all() and list(read.index["class"]) == list(index["class"])


def test_more_images_than_one_task_decodes_come_back_in_their_places(tmp_path):
    count = archive.CHUNK + 5
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    index = pd.DataFrame(
        {"path": [f"train/a/{i}.png" for i in range(count)], "split": "train", "label": 0, "class": "a"}
    )
    archive.write(tmp_path / "many.zip", images, index, artifacts.manifest("dataset", {}))
    assert np.array_equal(archive.read(tmp_path / "many.zip", "dataset").images, images)


def test_images_of_two_sizes_are_refused(tmp_path):
    index = pd.DataFrame({"path": ["a.png", "b.png"], "split": "train", "label": 0, "class": "a"})
    images = [np.zeros((8, 8, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)]
    archive.write(tmp_path / "two.zip", images, index, artifacts.manifest("dataset", {}))
    with pytest.raises(UserError, match="differ in shape"):
        archive.read(tmp_path / "two.zip", "dataset")


def test_rows_by_label_are_those_that_selecting_each_label_gives(tmp_path):
    images, index = write(tmp_path / "some.zip", 1)
    images, index = np.concatenate([images] * 2), pd.concat([index] * 2, ignore_index=True)
    several = archive.ImageArchive(images, index.assign(label=[3, 0, 0, -1, 3, 3, 0, 1, 1, -1]), None)
    rows = several.rows_by_label()
    assert list(rows) == [-1, 0, 1, 3]
    for label, found in rows.items():
        assert np.array_equal(several.images[found], several.select(label=label).images)
        assert list(found) == sorted(found)


def test_rows_by_label_of_a_split_are_those_of_that_split_alone():
    draw = np.random.default_rng(0)
    index = pd.DataFrame({"label": draw.integers(-1, 9, 400), "split": draw.choice(["train", "test"], 400)})
    index = index[(index["label"] != 5) | (index["split"] == "train")].reset_index(drop=True)
    for split in ("train", "test"):
        rows = archive.rows_by_label(index, split)
        assert list(rows) == list(range(-1, 9))
        for label, found in rows.items():
            assert found.tolist() == index.index[(index["label"] == label) & (index["split"] == split)].tolist()
    assert len(rows[5]) == 0
