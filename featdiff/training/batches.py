"""The batches of a training: drawn by seed on the CPU, put together where the network computes.

The training images lie on the device as uint8; what crosses over for a batch are row numbers, coin throws and noise. Batch k
depends on (seed, k) alone, so beside a GPU the next ones are drawn on threads while it computes, and it changes no bit.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from featdiff import seeds
from featdiff.data.archive import ImageArchive
from featdiff.data.groups import GroupBatches
from featdiff.devices import devices
from featdiff.diffusion import levels
from featdiff.errors import UserError
from featdiff.settings.training import TrainSpec

AHEAD = 4  # batches being drawn while a GPU computes; on a CPU a thread for it would only take the network's time


class Drawn(NamedTuple):
    """What chance says of a batch (B,): all that its images, levels and noise are made from."""

    rows: Tensor
    mirrored: Tensor | None
    t: Tensor
    z: Tensor  # (2, B, C, H, W)
    labels: Tensor | None  # to be told

    def pinned(self) -> "Drawn":
        """The same in memory from which a GPU copies without anyone waiting."""
        optional = [None if part is None else part.pin_memory() for part in (self.mirrored, self.labels)]
        return Drawn(self.rows.pin_memory(), optional[0], self.t.pin_memory(), self.z.pin_memory(), optional[1])


Batch = tuple[Tensor, Tensor, Tensor, Tensor | None]


class Batches:
    """Batch k of a run, this process's slice of it, on the device: images, noise levels, noise, labels to tell or None."""

    def __init__(self, spec: TrainSpec, images: ImageArchive, accelerator: Accelerator):
        self.spec = spec
        self.no_label = len(images.classes)
        self.group = spec.training.partners + 1 if spec.condition == "feature" else 1
        self.same_level = 1 if spec.training.partner_noise == "clean" else self.group
        self.batches = GroupBatches(
            images.images, images.labels, group=self.group, seed=spec.seed, flip=spec.training.flip
        )
        self.device = accelerator.device
        if devices.has_room(self.device, self.batches.images.nbytes):
            self.batches.images = self.batches.images.to(self.device)
        size, count = spec.training.batch, accelerator.num_processes
        if size % (count * self.group):
            raise UserError(
                f"the batch of {size} images in groups of {self.group} can't be shared by {count} processes"
            )
        self.rows = slice(accelerator.process_index * size // count, (accelerator.process_index + 1) * size // count)

    def draw(self, k: int) -> Drawn:
        """What chance says of batch ``k``, on the CPU."""
        size, law = self.spec.training.batch, self.spec.training.noise
        rows, mirrored = self.batches.choose(k, size)
        generator = seeds.generator(self.spec.seed, "noise", k)
        count, corrupted = size // self.same_level, self.spec.corruption is not None
        t = torch.rand(count, generator=generator) if corrupted else levels.draw(law, count, generator)
        t = t.repeat_interleave(self.same_level)
        z = torch.randn((2, size, *self.batches.images.shape[1:]), generator=generator)
        labels = None
        if self.spec.condition == "label":
            hidden = torch.rand(size, generator=generator) < self.spec.training.label_dropout
            labels = torch.where(hidden, self.no_label, self.batches.labels[rows])[self.rows]
        mine = self.rows
        return Drawn(rows[mine], None if mirrored is None else mirrored[mine], t[mine], z[:, mine], labels)

    def on_device(self, drawn: Drawn) -> Batch:
        """The batch that was drawn, on the device; on a GPU nobody waits for it."""
        x = self.batches.take(drawn.rows, drawn.mirrored, self.device)
        t, z = (part.to(self.device, non_blocking=True) for part in (drawn.t, drawn.z))
        return x, t, z, None if drawn.labels is None else drawn.labels.to(self.device, non_blocking=True)

    def batch(self, k: int) -> Batch:
        """Batch ``k``, drawn and put together now."""
        return self.on_device(self.draw(k))

    def upcoming(self, steps: range, *, ahead: int | None = None) -> Generator[Batch, None, None]:
        """The batches of ``steps`` in order, ``ahead`` of them drawn on threads before they are asked for.

        None is :data:`AHEAD` beside a GPU, else 0. What goes wrong in a thread is raised here when its batch's turn comes;
        close the iterator, and no thread is left.
        """
        if ahead is None:
            ahead = AHEAD if self.device.type == "cuda" else 0
        if not ahead:
            yield from map(self.batch, steps)
            return
        waiting: deque[Future[Drawn]] = deque()
        pool = ThreadPoolExecutor(ahead, "batch", initializer=devices.stand_at, initargs=(self.device,))
        try:
            for k in steps:
                waiting.append(pool.submit(self._prepared, k))
                if len(waiting) > ahead:
                    yield self.on_device(waiting.popleft().result())
            while waiting:
                yield self.on_device(waiting.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)

    def _prepared(self, k: int) -> Drawn:
        drawn = self.draw(k)
        return drawn.pinned() if self.device.type == "cuda" else drawn
