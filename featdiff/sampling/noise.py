"""Noise for a GPU: the next block is drawn on a thread while the device computes, the same draws in the same order."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from featdiff.devices import devices
from featdiff.diffusion.denoiser import Noise


@contextmanager
def ahead_of(noise: Noise, device: torch.device, *, ahead: bool | None = None) -> Iterator[Noise]:
    """``noise`` on the device, drawn one call ahead; ``ahead`` of None does so beside a GPU alone, where it pays.

    What goes wrong in the thread is raised by the call that asks for that block. ``noise`` is not to be called meanwhile.
    """
    if not (device.type == "cuda" if ahead is None else ahead):
        yield noise
        return
    waiting: list[Future[Tensor]] = []

    def draw() -> Tensor:
        drawn = noise()
        return drawn.pin_memory() if device.type == "cuda" else drawn

    def prepared() -> Tensor:
        now = waiting.pop() if waiting else pool.submit(draw)
        drawn = now.result()
        waiting.append(pool.submit(draw))
        return drawn.to(device, non_blocking=True)

    pool = ThreadPoolExecutor(1, "noise", initializer=devices.stand_at, initargs=(device,))
    try:
        yield prepared
    finally:
        pool.shutdown(cancel_futures=True)
