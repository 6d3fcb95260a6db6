"""Data sets are gone through part by part: what is written, read or prepared never lies in memory as a whole."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featdiff import artifacts
from featdiff.data import archive, spool
from featdiff.data import prepare as module
from featdiff.data.parallel import in_order
from featdiff.data.prepare import prepare
from featdiff.errors import UserError
from featdiff.settings.data import Dataset
from featdiff.versions import verify

MADE = artifacts.manifest("dataset", {})


class Noise(Sequence[np.ndarray]):
    """Images that are made when they are asked for."""

    def __init__(self, count: int, side: int = 32):
        self.count, self.side = count, side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: Any) -> Any:
        return np.random.default_rng(place).integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)

    @property
    def nbytes(self) -> int:
        return self.count * self.side**2 * 3


def index_of(count: int) -> pd.DataFrame:
    splits = np.where(np.arange(count) % 8 == 0, "test", "train")
    return pd.DataFrame(
        {"path": [f"{s}/a/{k}.png" for k, s in enumerate(splits)], "split": splits, "label": 0, "class": "a"}
    )


def peak(work: Callable[[], Any]) -> int:
    """The most bytes that Python and NumPy held at once beyond what they held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(params=["png", "array"])
def form(request, monkeypatch) -> str:
    """Both forms of an archive, whatever its size."""
    monkeypatch.setattr(archive, "LARGE", 2**31 if request.param == "png" else 1)
    monkeypatch.setattr(archive, "CHUNK", 32)
    return str(request.param)


def test_an_archive_is_written_verified_and_read_in_a_fraction_of_its_memory(form, tmp_path):
    images, path = Noise(1500, 64), tmp_path / "x.zip"
    assert peak(lambda: archive.write(path, images, index_of(1500), MADE)) < images.nbytes / 3
    assert peak(lambda: verify.manifest_of(path)) < images.nbytes / 3
    held = images.nbytes / 8 if form == "png" else 0
    assert peak(lambda: archive.read(path, "dataset", split="test")) < held + images.nbytes / 3


def test_a_split_read_alone_is_the_split_of_the_whole(form, tmp_path):
    archive.write(tmp_path / "x.zip", Noise(100, 8), index_of(100), MADE)
    for split, count in (("train", 87), ("test", 13), ("none", 0)):
        alone = archive.read(tmp_path / "x.zip", "dataset", split=split)
        chosen = archive.read(tmp_path / "x.zip", "dataset").select(split=split)
        assert alone.images.shape == (count, 8, 8, 3)
        assert np.array_equal(np.asarray(alone.images), np.asarray(chosen.images))
        pd.testing.assert_frame_equal(alone.index, chosen.index)


def test_an_image_of_another_split_that_was_changed_is_refused(form, tmp_path):
    path = tmp_path / "x.zip"
    archive.write(path, Noise(20, 8), index_of(20), MADE)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as whole:
        content = Noise(20, 8)[8].tobytes() if form == "array" else whole.read("test/a/8.png")
    assert data.count(content) == 1
    changed = bytearray(data)
    changed[data.index(content) + 70] ^= 1
    path.write_bytes(changed)
    with pytest.raises(UserError, match="damaged"):
        archive.read(path, "dataset", split="train")


def test_a_zip_written_member_by_member_is_that_written_from_a_known_manifest(tmp_path):
    members: dict[str, bytes] = {"b.txt": b"second", "a.txt": b"first" * 1000, "石.txt": b""}
    artifacts.write_zip(tmp_path / "x.zip", iter(members.items()), MADE)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    content = hashlib.sha256("".join(f"{len(n)}:{n}:{hashes[n]};" for n in sorted(hashes)).encode()).hexdigest()
    whole = {artifacts.MANIFEST: MADE.sealed(content).model_dump_json(indent=2).encode(), **members}
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as plain:
        for name, data in whole.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            plain.writestr(entry, data)
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for k in range(150):
            pixels = Noise(1, 96)[k + 1000 * (name == "b")]
            Image.fromarray(pixels).save(tmp_path / f"data/{name}/{k}.png", compress_level=0)
    return tmp_path / "data"


def test_a_data_set_is_prepared_in_a_fraction_of_its_memory(pictures, form, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Spool", lambda folder: spool.Spool(folder, kept=0))
    monkeypatch.setattr(module.os, "cpu_count", lambda: 2)
    source = {"kind": "folder", "path": str(pictures)}
    settings = Dataset.model_validate({"source": source, "layout": {"kind": "crop", "size": 96}, "mode": "rgb"})
    assert peak(lambda: prepare(settings, tmp_path / "out.zip")) < 300 * 96 * 96 * 3 / 2
    assert len(archive.read(tmp_path / "out.zip", "dataset").images) == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out.zip"], "files put aside are left"


def test_a_killed_process_leaves_nothing_of_what_it_put_aside(tmp_path):
    code = (
        "import sys, time, numpy as np; from featdiff.data.spool import Spool; "
        "kept = Spool(sys.argv[1], kept=0).put(np.ones((9, 9), np.uint8)); print(kept.sum(), flush=True); time.sleep(9)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "81\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not list(tmp_path.iterdir())


def test_results_come_in_order_and_few_items_are_taken_before_they_are_needed():
    taken = []

    def items():
        for k in range(50):
            taken.append(k)
            yield k

    for k, result in enumerate(in_order(lambda k: time.sleep(0.002 * (k % 3)) or k * k, items(), under_way=5)):
        assert result == k * k and len(taken) <= k + 5
    assert len(taken) == 50


def test_an_error_on_a_thread_is_raised_in_its_turn_and_no_thread_is_left():
    before = threading.active_count()
    results = in_order(lambda k: 1 // (3 - k), range(50))
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before
