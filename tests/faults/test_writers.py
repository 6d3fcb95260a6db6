"""A full, read-only or vanished disk: one error that names the file and the fix, and what stood there before still
stands."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from featdiff import artifacts
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.network import Network
from featdiff.settings.training import Training, TrainSpec
from featdiff.training import resume

ROOT = Path(__file__).resolve().parents[2]
SPEC = TrainSpec(network=Network(widths=(8, 12)), training=Training(images=64, batch=16), condition="none", seed=0)
DESCRIPTION = DataDescription(classes=("a", "b"), channels=1, size=8, mean=0.5, std=0.2)
NOISE = np.random.default_rng(0).integers(0, 256, (1024, 8, 8, 1), dtype=np.uint8)  # does not compress


def write_images(path: Path) -> None:
    names = [f"train/a/{i:06d}.png" for i in range(len(NOISE))]
    index = pd.DataFrame({"path": names, "split": "train", "label": 0, "class": "a"})
    archive.write(path, NOISE, index, artifacts.manifest("dataset", {}))


def write_state(path: Path) -> None:
    denoiser = checkpoint.new_denoiser(SPEC, DESCRIPTION)
    optimizer = torch.optim.AdamW(denoiser.parameters())
    sum(p.sum() for p in denoiser.parameters()).backward()
    optimizer.step()
    made = {
        "model": denoiser,
        "average": {n: t.clone() for n, t in denoiser.state_dict().items()},
        "optimizer": optimizer,
    }
    resume.save_state(path.parent, step=1, losses=torch.zeros(1), **made)


WRITERS: dict[str, Callable[[Path], None]] = {
    "archive of images": write_images,
    "arrays": lambda p: artifacts.write_arrays(p, {"x": np.zeros(2**18)}, artifacts.manifest("features", {})),
    "JSON": lambda p: artifacts.write_json(p, {"x": "y" * 2**20}, artifacts.manifest("evaluation", {})),
    "text": lambda p: artifacts.write_text(p, "y" * 2**20),
    "checkpoint": lambda p: checkpoint.write(
        p, {"w": torch.zeros(2**18)}, DESCRIPTION, artifacts.manifest("checkpoint", SPEC)
    ),
    "resume state": write_state,
}


@pytest.mark.fault(
    "the disk is full, in each writer",
    "FILE: can't be written (No space left on device): make room on its disk and run again; the old file stays",
)
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_and_the_old_file_stays(small_disk, name):
    path = small_disk / (resume.FILE if name == "resume state" else "artifact")
    path.write_bytes(b"good")
    (small_disk / "ballast").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize - 8192))
    with pytest.raises(UserError, match=rf"{path.name}: can't be written \(No space left on device\): make room"):
        WRITERS[name](path)
    assert path.read_bytes() == b"good"
    assert sorted(f.name for f in small_disk.iterdir()) == sorted([path.name, "ballast"]), "something was left behind"
    (small_disk / "ballast").unlink()
    if name in ("resume state", "archive of images"):  # the others are larger than the disk
        WRITERS[name](path)
        assert path.read_bytes() != b"good"


@pytest.mark.fault(
    "results are read-only, in each writer",
    "FILE: can't be written (Read-only file system): mend the permissions; the old file stays",
)
@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_disk_is_told(small_disk, name):
    path = small_disk / "artifact"
    path.write_bytes(b"good")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"can't be written \(Read-only file system\): mend the permissions"):
        WRITERS[name](path)
    assert path.read_bytes() == b"good"


@pytest.mark.fault("a file without permission to read", "FILE: can't be read (why); mend its permissions")
def test_what_may_not_be_read_or_written_is_told(tmp_path):
    (tmp_path / "folder.json").mkdir()
    for read in (
        lambda p: artifacts.read_json(p, "evaluation"),
        lambda p: artifacts.read_zip(p, "dataset"),
        artifacts.kind_of,
        artifacts.sha256_file,
        checkpoint.read,
    ):
        with pytest.raises(UserError, match=r"folder\.json"):
            read(tmp_path / "folder.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"artifact: can't be written"):
        artifacts.write_text(tmp_path / "file" / "artifact", "x")


@pytest.mark.fault(
    "the folder of a result is deleted while it is written",
    "FILE: can't be written, its folder was deleted meanwhile: run the same command again",
)
def test_a_folder_deleted_under_a_writer_is_told(tmp_path):
    path = tmp_path / "results" / "artifact"
    with pytest.raises(UserError, match="its folder was deleted meanwhile"), artifacts.atomic(path) as aside:
        aside.write_text("x")
        aside.unlink()
        path.parent.rmdir()
    artifacts.write_text(path, "x")
    assert path.read_text() == "x"


@pytest.mark.fault("a command is given a full disk", "exit 2 and one line, no traceback")
def test_the_command_ends_with_one_line(small_disk, tmp_path):
    out = small_disk / "dataset.zip"
    settings = (
        '{"source": {"kind": "packaged"}, "layout": {"kind": "patches", "size": 16, '
        '"stride": 4, "test_stride": 8, "scale": 0.5}}'
    )
    done = subprocess.run(
        [sys.executable, "-m", "featdiff.cli", "prepare", "--settings", settings, "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"featdiff: error: {out}: can't be written (No space left on device)")
    assert done.stderr.count("\n") == 1
    assert not list(small_disk.iterdir())
