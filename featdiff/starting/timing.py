"""How fast this machine trains and draws: the training's own steps on random images, for a few seconds.

On a CPU it is the processor's time that counts, not the clock's: what other programs take meanwhile is not held against
the machine.
"""

import contextlib
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from featdiff import artifacts
from featdiff.data.archive import ImageArchive
from featdiff.devices import devices
from featdiff.settings.training import TrainSpec
from featdiff.training import loop
from featdiff.training.batches import Batches
from featdiff.training.processes import accelerator_of

SECONDS = 1.5  # of training steps that are timed, after the first ones
WARM_UP = 3  # steps
HELD = 64  # random images
DRAWN = 64  # images of one network evaluation


@dataclass(frozen=True)
class Speed:
    """Training images and network evaluations a second; on a CPU by one thread, as the workflow runs them."""

    training: float
    evaluations: float


def device_name() -> str:
    """The device that the workflow's steps will choose, in words."""
    return devices.name_of(devices.pick_device())


def on_gpu() -> bool:
    """Whether the steps will run on a GPU."""
    return devices.is_gpu(devices.pick_device())


def measure(spec: TrainSpec, *, size: int, channels: int) -> Speed:
    """Time a model's training steps and its network; takes about three seconds on a CPU."""
    threads = torch.get_num_threads()
    devices.keep_freed_memory()
    if not on_gpu():
        torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            return _measure(spec, size, channels, Path(folder))
    finally:
        torch.set_num_threads(threads)


def _measure(spec: TrainSpec, size: int, channels: int, folder: Path) -> Speed:
    training = spec.training
    images = _noise(size, channels)
    accelerator = accelerator_of(training)
    batches = Batches(spec, images, accelerator.device)
    short = training.model_copy(update={"images": WARM_UP * training.batch, "save_every": 1 << 40, "compile": False})
    spec = spec.model_copy(update={"training": short})
    run, objective = loop.start(spec, loop.describe(images), accelerator, folder)

    device = accelerator.device

    def seconds(count: int) -> float:
        start = _now(device)
        longer = short.model_copy(update={"images": (run.step + count) * training.batch})
        loop.steps(run, longer, accelerator, objective, batches)
        devices.wait_for(device)
        return _now(device) - start

    seconds(WARM_UP)
    count = max(2, round(SECONDS / seconds(2) * 2))
    return Speed(count * training.batch / seconds(count), _evaluations(run, size, channels, device))


def _now(device: torch.device) -> float:
    return time.perf_counter() if devices.is_gpu(device) else time.process_time()


@torch.no_grad()
def _evaluations(run: loop.Run, size: int, channels: int, device: torch.device) -> float:
    x = torch.rand(DRAWN, channels, size, size, device=device)
    t = torch.full((DRAWN,), 0.5, device=device)
    run.denoiser(x, t)
    devices.wait_for(device)
    start, rounds = _now(device), 0
    while _now(device) - start < SECONDS / 4:
        run.denoiser(x, t)
        devices.wait_for(device)
        rounds += 1
    return rounds * DRAWN / (_now(device) - start)


def _noise(size: int, channels: int) -> ImageArchive:
    pixels = np.random.default_rng(0).integers(0, 256, (HELD, size, size, channels), np.uint8)
    index = pd.DataFrame({"path": "", "split": "train", "label": 0, "class": "noise"}, index=range(HELD))
    return ImageArchive(pixels, index, artifacts.manifest("dataset", {}))
