"""Several processes train what one trains: same losses, same weights, whatever their number before and after a stop.

Two real processes over gloo on the loopback, started by torchrun.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.models import checkpoint
from featdiff.models.checkpoint import DataDescription
from featdiff.settings.training import TrainSpec
from featdiff.training import loop, processes, resume

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0  # seconds, on a machine that is busy
CLOSE = 1e-5  # of the largest value of a tensor, or of a loss: sums in another order, in fp32

# Train as `featdiff train` does, in a process of torchrun; the last argument is what happens to the second process.
WORKER = """
import os, signal, sys, time
from contextlib import contextmanager
from pathlib import Path
import torch
from featdiff.settings.training import TrainSpec
from featdiff.training import loop
settings, data, folder, event = sys.argv[1:]
second, calls, told = os.environ["RANK"] == "1", [], []
forward, terminated, steps = loop.Objective.forward, loop._terminated, loop.steps

@contextmanager
def watched():
    with terminated() as received:
        told.append(received)
        yield received

def eventful(self, *batch):
    calls.append(1)
    if second and len(calls) == 26 and event == "stop":
        os.kill(os.getpid(), signal.SIGTERM)
        while not told[0]:
            time.sleep(0.01)
    broken = second and len(calls) == 26 and event == "broken"
    return forward(self, *batch) * (float("nan") if broken else 1.0)

def kept(run, *rest):
    steps(run, *rest)
    torch.save({"average": run.averages(), "model": run.denoiser.state_dict()}, f"{folder}/rank{os.environ['RANK']}.pt")

loop._terminated, loop.Objective.forward, loop.steps = watched, eventful, kept
spec, out = TrainSpec.model_validate_json(settings), Path(folder, "checkpoint.safetensors")
loop.train(spec, Path(data), out, state=Path(folder, "state"))
"""


def environment() -> dict[str, str]:
    own = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **own}


def train_in_two(spec: TrainSpec, data: Path, folder: Path, event: str = "none") -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "worker.py").write_text(WORKER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    rest = [folder / "worker.py", spec.model_dump_json(), data, folder, event]
    command = [*torchrun, "--nproc-per-node=2", *map(str, rest)]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=folder
    )


def command(spec: TrainSpec, data: Path, folder: Path, *options: str) -> list[str]:
    files = ["--data", data, "--out", folder / "checkpoint.safetensors", "--state", folder / "state"]
    own = [sys.executable, "-m", "featdiff.cli", "train", "--settings", spec.model_dump_json()]
    return [*own, *map(str, files), *options]


def state_of(folder: Path) -> resume.State:
    (file,) = (folder / "state").glob(f"*/{resume.FILE}")
    state = resume.read_state(file.parent)
    assert state is not None
    return state


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Of all tensors, relative to the largest value of each."""
    assert one.keys() == other.keys()
    return max(((one[n] - other[n]).abs().max() / one[n].abs().max().clamp_min(1e-6)).item() for n in one)


def assert_same_run(folder: Path, alone: Path) -> None:
    """Losses of all steps, weights, averages and the optimizer's state, as one process had them."""
    state, reference = state_of(folder), state_of(alone)
    assert state.step == reference.step == len(state.tensors["losses"])
    losses, expected = state.tensors["losses"], reference.tensors["losses"]
    assert ((losses - expected).abs() / expected.abs()).max().item() < CLOSE
    assert largest_difference(reference.tensors, state.tensors) < CLOSE
    files = (load_file(f / "checkpoint.safetensors") for f in (alone, folder))
    assert largest_difference(*files) < CLOSE


@pytest.mark.slow
def test_two_processes_have_the_losses_and_weights_of_one_and_agree_to_the_bit(
    tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path
):
    done = train_in_two(tiny_spec, tiny_dataset, tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path, tiny_checkpoint.parent)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for part in ("average", "model"):
        assert all(torch.equal(first[part][n], second[part][n]) for n in first[part])


@pytest.mark.slow
def test_one_process_that_is_told_to_stop_stops_both_and_one_alone_goes_on(
    tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path
):
    done = train_in_two(tiny_spec, tiny_dataset, tmp_path, "stop")
    assert done.returncode != 0
    assert state_of(tmp_path).step == 30, done.stderr
    assert not (tmp_path / "checkpoint.safetensors").exists()
    loop.train(tiny_spec, tiny_dataset, tmp_path / "checkpoint.safetensors", state=tmp_path / "state")
    assert_same_run(tmp_path, tiny_checkpoint.parent)


@pytest.mark.slow
def test_two_processes_go_on_where_one_was_stopped(tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path, monkeypatch):
    save = resume.save_state

    def save_and_die(path, *, step, **rest):
        save(path, step=step, **rest)
        if step == 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resume, "save_state", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            loop.train(tiny_spec, tiny_dataset, tmp_path / "checkpoint.safetensors", state=tmp_path / "state")
    done = train_in_two(tiny_spec, tiny_dataset, tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path, tiny_checkpoint.parent)


@pytest.mark.slow
def test_a_loss_that_breaks_on_one_process_ends_both_and_keeps_the_last_good_state(tiny_dataset, tiny_spec, tmp_path):
    done = train_in_two(tiny_spec, tiny_dataset, tmp_path, "broken")
    assert done.returncode != 0
    assert done.stderr.count("UserError: the training loss is nan within the last 50 steps before step 30") == 2
    state = state_of(tmp_path)
    assert state.step == 20
    assert all(bool(torch.isfinite(t).all()) for t in state.tensors.values())


@pytest.mark.slow
def test_the_launcher_passes_sigterm_on_and_kill_9_leaves_no_process_behind(tiny_dataset, tiny_spec, tmp_path):
    endless = tiny_spec.training.model_copy(update={"images": 10_000_000, "save_every": 160})
    spec = tiny_spec.model_copy(update={"training": endless})
    steps = []
    for number, status in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        process = subprocess.Popen(
            command(spec, tiny_dataset, tmp_path, "--processes", "2"), env=environment(), stderr=subprocess.PIPE
        )
        wait_for(lambda: list((tmp_path / "state").glob(f"*/{resume.FILE}")), process)
        reached = state_of(tmp_path).step
        wait_for(lambda least=reached: state_of(tmp_path).step > least, process)
        workers = children(process.pid)
        assert len(workers) == 2
        process.send_signal(number)
        assert process.wait(PATIENCE) == status
        wait_for(lambda pids=workers: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        steps.append(state_of(tmp_path).step)
        assert len(state_of(tmp_path).tensors["losses"]) == steps[-1]
    assert 10 < steps[0] < steps[1]


def wait_for(condition, process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


# --- without processes --------------------------------------------------------------------------------------------


def objective(condition: str) -> loop.Objective:
    from featdiff.settings.network import Network
    from featdiff.settings.training import Training

    data = DataDescription(classes=("a", "b"), channels=1, size=8, mean=0.5, std=0.2)
    network = Network(widths=(4, 6), noise_embedding=8, zero_output=False)
    training = Training(images=64, batch=16, partners=3, partner_loss=0.5)
    spec = TrainSpec(network=network, training=training, condition=condition, seed=0)
    return loop.Objective(checkpoint.new_denoiser(spec, data), spec).double()


@pytest.mark.parametrize("condition", ["feature", "label", "none"])
def test_the_gradient_of_a_batch_is_the_mean_of_its_slices_gradients(condition):
    """The groups of four stay whole; what a slice's group matches does not reach into another slice. No weight is
    idle."""
    module = objective(condition)
    g = torch.Generator().manual_seed(0)
    x = torch.rand(16, 1, 8, 8, generator=g, dtype=torch.float64)
    t, z = torch.rand(16, generator=g).double(), torch.randn(2, 16, 1, 8, 8, generator=g).double()
    labels = torch.arange(16) % 3  # of two classes, and none
    trained = [p for p in module.parameters() if p.requires_grad]

    def gradient(rows: slice) -> torch.Tensor:
        told = labels[rows] if condition == "label" else None
        parts = torch.autograd.grad(module(x[rows], t[rows], z[:, rows], told), trained)
        return torch.cat([part.flatten() for part in parts])

    mean = (gradient(slice(0, 8)) + gradient(slice(8, 16))) / 2
    whole = gradient(slice(0, 16))
    assert (whole - mean).abs().max() < 1e-10 * whole.abs().max()


@pytest.mark.parametrize("told", ["label", "feature"])
def test_the_slices_of_all_processes_are_the_batch_of_one(tiny_spec, tiny_dataset, told):
    images = archive.read(tiny_dataset, "dataset").select(split="train")
    training = tiny_spec.training.model_copy(update={"partner_noise": "between", "target_dropout": 0.5})
    spec = tiny_spec.model_copy(update={"condition": told, "training": training})
    whole = loop.Batches(spec, images, torch.device("cpu")).batch(7)
    slices = [loop.Batches(spec, images, torch.device("cpu"), share=(index, 4)).batch(7) for index in range(4)]
    assert [part is None for part in whole] == [False] * 4 + [told == "label"]
    for part, (axis, expected) in enumerate(zip((0, 0, 1, 0, 0), whole, strict=True)):
        if expected is not None:
            assert torch.equal(torch.cat([s[part] for s in slices], axis), expected)
    with pytest.raises(UserError, match=r"batch of 16 images in groups of 4 can't be shared by 3 processes"):
        loop.Batches(tiny_spec, images, torch.device("cpu"), share=(0, 3))


def test_processes_that_did_not_find_each_other_do_not_train_alone(tiny_spec, monkeypatch):
    found = SimpleNamespace(num_processes=1, state=SimpleNamespace())
    monkeypatch.setattr(processes, "Accelerator", lambda **options: found)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were started"):
        processes.accelerator_of(tiny_spec.training)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert processes.accelerator_of(tiny_spec.training) is found
