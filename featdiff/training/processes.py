"""The processes of a training: each with a device of its own, all with the same decisions."""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import PartialState
from accelerate.utils import broadcast_object_list

from featdiff.devices import devices
from featdiff.errors import UserError
from featdiff.settings.training import Training

AGREE_EVERY = 5  # steps between two agreements of several processes whether one was told to stop

T = TypeVar("T")


def accelerator_of(training: Training) -> Accelerator:
    """The processes of this run, each with a device of its own.

    Raises :class:`UserError` when the processes that were started together do not find each other: each would train
    alone.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    device = devices.pick_device()
    cpu = not devices.is_gpu(device)
    precision = devices.precision_of(training.precision, device)
    devices.allow_tf32(precision != "fp32")
    devices.be_exact(training.deterministic)
    accelerator = Accelerator(
        cpu=cpu,  # without it, accelerate takes processes on CPUs for strangers
        mixed_precision="bf16" if precision == "bf16" else "no",
        kwargs_handlers=[InitProcessGroupKwargs(backend="gloo")] if cpu and started > 1 else [],
    )
    if accelerator.num_processes != started:
        raise UserError(
            f"{started} processes were started (WORLD_SIZE), but {accelerator.num_processes} found together"
        )
    give(device, accelerator)
    return accelerator


def give(device: torch.device, accelerator: Accelerator) -> None:
    """Make it accelerate's device as well, whose own lacks the index; it is copied from the first of the two to the
    other."""
    PartialState().device = device
    accelerator.state.device = device


def from_first(accelerator: Accelerator, compute: Callable[[], T]) -> T:
    """What the first process computes, for all of them: machines may see a shared file at different ages."""
    if accelerator.num_processes == 1:
        return compute()
    results = [compute() if accelerator.is_main_process else None]
    return broadcast_object_list(results)[0]


def any_of(accelerator: Accelerator, here: bool, step: int) -> bool:
    """Whether this holds on any process; several agree only now and then, the answer in between is no."""
    if accelerator.num_processes == 1:
        return here
    if step % AGREE_EVERY:
        return False
    return bool(accelerator.reduce(torch.tensor(float(here), device=accelerator.device), "sum").item())
