"""Training resumes exactly: killed at random moments and started again, it ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.models import checkpoint
from featdiff.settings.base import determining
from featdiff.settings.training import TrainSpec
from featdiff.training import loop, resume


def command(spec: TrainSpec, data: Path, folder: Path) -> list[str]:
    options = ["--data", data, "--out", folder / "checkpoint.safetensors", "--state", folder / "state"]
    return [sys.executable, "-m", "featdiff.cli", "train", "--settings", spec.model_dump_json(), *map(str, options)]


def start(spec: TrainSpec, data: Path, folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(command(spec, data, folder), stderr=subprocess.PIPE, env=environment)


def state_file(folder: Path) -> Path | None:
    return next(iter((folder / "state").glob(f"*/{resume.FILE}")), None)


def wait_for_state(folder: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while state_file(folder) is None and process.poll() is None:
        assert time.monotonic() < deadline, "no resume state appeared"
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_at_random_moments_the_weights_are_those_of_an_uninterrupted_run(
    tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path
):
    """kill -9 twice somewhere after the first state of a fivefold longer run; the last start finishes it."""
    longer = tiny_spec.training.model_copy(update={"images": 4800, "save_every": 16})
    spec = tiny_spec.model_copy(update={"training": longer})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(spec, tiny_dataset, whole).wait(300) == 0
    moments = random.Random(0)
    for _ in range(2):
        process = start(spec, tiny_dataset, killed)
        wait_for_state(killed, process)
        time.sleep(moments.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert not (killed / "checkpoint.safetensors").exists() or process.returncode == 0
    assert start(spec, tiny_dataset, killed).wait(300) == 0
    digests = [artifacts.sha256_file(folder / "checkpoint.safetensors") for folder in (whole, killed)]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_sigterm_saves_a_state_first_and_exits_with_143(tiny_dataset, tiny_spec, tmp_path):
    endless = tiny_spec.training.model_copy(update={"images": 1_000_000, "save_every": 320})
    spec = tiny_spec.model_copy(update={"training": endless})
    process = start(spec, tiny_dataset, tmp_path)
    wait_for_state(tmp_path, process)
    before = state_file(tmp_path).stat().st_mtime_ns
    process.terminate()
    assert process.wait(60) == 143
    assert state_file(tmp_path).stat().st_mtime_ns > before


def test_a_run_stopped_in_the_middle_goes_on_bit_for_bit(
    tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path, killed_at_step_30
):
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state")
    assert not out.exists()
    loop.train(tiny_spec, tiny_dataset, out, state=tmp_path / "state")
    assert killed_at_step_30 == [10, 20, 30, 40, 50, 60, 60]
    assert artifacts.sha256_file(out) == artifacts.sha256_file(tiny_checkpoint)


def test_another_seed_takes_up_no_foreign_state(tiny_dataset, tiny_spec):
    folders = {
        resume.folder("state", artifacts.manifest("checkpoint", spec, {"dataset": tiny_dataset}))
        for spec in (tiny_spec, tiny_spec.model_copy(update={"seed": 1}))
    }
    assert len(folders) == 2


def test_a_truncated_state_is_not_taken_up(tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path):
    made = artifacts.manifest("checkpoint", tiny_spec, {"dataset": tiny_dataset})
    folder = resume.folder(tmp_path, made)
    folder.mkdir(parents=True)
    (folder / resume.FILE).write_bytes(tiny_checkpoint.read_bytes()[:1000])
    loop.train(tiny_spec, tiny_dataset, tmp_path / "out.safetensors", state=tmp_path)
    assert artifacts.sha256_file(tmp_path / "out.safetensors") == artifacts.sha256_file(tiny_checkpoint)


def test_a_loss_that_is_not_finite_stops_with_the_step_the_last_good_state_and_likely_causes(
    tiny_dataset, tiny_spec, tmp_path, monkeypatch
):
    forward = loop.Objective.forward
    calls = []

    def poisoned(self, *batch):
        calls.append(1)
        return forward(self, *batch) * (float("nan") if len(calls) > 25 else 1.0)

    monkeypatch.setattr(loop.Objective, "forward", poisoned)
    with pytest.raises(UserError, match=r"step 30.*last good state is of step 20 .*learning_rate too high"):
        loop.train(tiny_spec, tiny_dataset, tmp_path / "out.safetensors", state=tmp_path)
    assert not (tmp_path / "out.safetensors").exists()
    kept = load_file(next(tmp_path.glob(f"*/{resume.FILE}")))
    assert all(bool(torch.isfinite(t).all()) for t in kept.values())


def test_a_checkpoint_says_what_made_it_and_refuses_to_lie(tiny_checkpoint, tiny_spec, tiny_dataset, tmp_path):
    trained = checkpoint.read(tiny_checkpoint)
    assert determining(trained.spec) == determining(tiny_spec)
    assert "save_every" not in trained.made.settings["training"]
    assert trained.made.inputs["dataset"] == artifacts.sha256_file(tiny_dataset)
    assert trained.data.classes == ("flat", "stripes")
    flipped = bytearray(tiny_checkpoint.read_bytes())
    flipped[-5] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(tmp_path / "flipped.safetensors")
    (tmp_path / "short.safetensors").write_bytes(tiny_checkpoint.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(tmp_path / "short.safetensors")
    with pytest.raises(UserError, match="no such file"):
        checkpoint.read(tmp_path / "missing.safetensors")


def test_a_finished_run_started_again_does_no_work(tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "Batches", None)
    before = tiny_checkpoint.stat().st_mtime_ns
    loop.train(tiny_spec, tiny_dataset, tiny_checkpoint, state=tmp_path)
    assert tiny_checkpoint.stat().st_mtime_ns == before
