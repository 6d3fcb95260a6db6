"""The batches of a training: drawn by seed and put together on the device that computes.

Image i of batch k has streams of its own for what chance says of it and for its noise, so a batch depends on (seed, k)
alone and each process of a distributed run draws its slice of it. The training images lie on the device as uint8; those
that don't fit there stay in memory, or mapped from a file, and threads gather the next batches while the device
computes.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from featdiff import philox
from featdiff.data.archive import ImageArchive, Pixels, Rows
from featdiff.data.groups import Groups
from featdiff.devices import devices
from featdiff.diffusion import levels
from featdiff.errors import UserError
from featdiff.seeds import Streams
from featdiff.settings.training import TrainSpec

AHEAD = 4  # batches being gathered while the device computes
AT_ONCE = 64  # batches whose words are drawn together: on their own they are small
STAGED = 8192  # images of a mapped file that go to a GPU at once
WORDS = 8  # random words of an image: level (2), mirror, label or target hidden, class and place, share, one to spare


class Gathered(NamedTuple):
    """The images of a batch where the training images lie: rows (B,), pixels (B, H, W, C) uint8, which are to be
    mirrored."""

    rows: Tensor
    pixels: Tensor
    mirrored: Tensor | None


Batch = tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]


class Batches:
    """Batch k of a run on the device: images (B, C, H, W), levels (B,), noise (1 or 2, B, C, H, W), and labels to
    tell, targets to hide (bool) or None, and the partners' shares of the levels or None.

    ``share`` is the index of this process and the count of all; each has an equal slice of the batch.
    """

    def __init__(self, spec: TrainSpec, images: ImageArchive, device: torch.device, *, share: tuple[int, int] = (0, 1)):
        self.spec, self.device = spec, device
        self.no_label = len(images.classes)
        self.group = spec.training.partners + 1 if spec.condition == "feature" else 1
        self.same_level = self.group if spec.training.partner_noise == "same" else 1
        size, (index, count) = spec.training.batch, share
        if size % (count * self.group):
            raise UserError(
                f"the batch of {size} images in groups of {self.group} can't be shared by {count} processes"
            )
        self.mapped = isinstance(images.images, Rows)
        self.resident = devices.has_room(device, images.images.nbytes)
        self.images, self.rows = _held(images.images, device if self.resident else devices.CPU)
        self.groups = Groups(torch.tensor(images.labels), size=self.group, device=self.images.device)
        mine = range(index * size // count, (index + 1) * size // count)
        names = [("batch", i) for i in mine]
        self.chance = Streams(spec.seed, names, device)
        self.choice = Streams(spec.seed, names, self.images.device)  # the same words, where the images are
        kinds = ("noise", "partner noise") if spec.condition == "feature" else ("noise",)
        self.noise = Streams(spec.seed, [(kind, i) for kind in kinds for i in mine], device)
        self.shape = (len(kinds), len(mine), *(self.images.shape[axis] for axis in (3, 1, 2)))
        self._words: dict[torch.device, tuple[int, Tensor]] = {}

    def words(self, streams: Streams, k: int) -> Tensor:
        """The random words (B, WORDS) of batch ``k``, where its streams are."""
        part, drawn = self._words.get(streams.keys.device, (-1, streams.keys))
        if part != k // AT_ONCE:  # two threads may both draw it: the same words
            part, drawn = k // AT_ONCE, streams.words(k // AT_ONCE * AT_ONCE, WORDS, blocks=AT_ONCE)
            self._words[streams.keys.device] = part, drawn
        return drawn[k % AT_ONCE]

    def choose(self, k: int) -> tuple[Tensor, Tensor | None]:
        """The rows (B,) of batch ``k`` and which of them are mirrored, or None, where the images are."""
        drawn = self.words(self.choice, k)
        rows = self.groups.choose(drawn[:: self.group, 4], drawn[:, 5].view(-1, self.group))
        return rows, philox.uniform(drawn[:, 2]) <= 0.5 if self.spec.training.flip else None

    def levels(self, k: int) -> Tensor:
        """The noise levels (B,) of batch ``k``, or the levels of its corruption; a group may share one."""
        drawn = self.words(self.chance, k)[:: self.same_level]
        if self.spec.corruption is not None:
            t = philox.uniform(drawn[:, 0])
        else:
            t = levels.draw(self.spec.training.noise, drawn[:, :2])
        return t.repeat_interleave(self.same_level)

    def shares(self, k: int) -> Tensor | None:
        """The partners' levels of batch ``k`` as shares (B,) of their images', where the settings draw them: one a
        group, 0 for half of them, whose partners are clean."""
        if self.spec.condition != "feature" or self.spec.training.partner_noise != "between":
            return None
        share = 2 * philox.uniform(self.words(self.chance, k)[:: self.group, 6]) - 1
        return share.clamp(min=0).repeat_interleave(self.group)

    def told(self, k: int, rows: Tensor) -> Tensor | None:
        """The labels (B,) that a network with labels is told of batch ``k``, some of them hidden; of a network that is
        told features, whose targets are hidden (bool), or None if no one's may be."""
        if self.spec.condition == "feature" and (share := self.spec.training.target_dropout):
            return philox.uniform(self.words(self.chance, k)[:, 3]) <= share
        if self.spec.condition != "label":
            return None
        labels = self.groups.labels[rows].to(self.device, non_blocking=True)
        hidden = philox.uniform(self.words(self.chance, k)[:, 3]) <= self.spec.training.label_dropout
        return torch.where(hidden, self.no_label, labels)

    def gather(self, k: int) -> Gathered:
        """The images of batch ``k``; beside a GPU in memory that it copies from without anyone waiting."""
        rows, mirrored = self.choose(k)
        pixels = self.images.index_select(0, rows if self.rows is None else self.rows[rows])
        if not self.resident:
            pixels = pixels.pin_memory()
        return Gathered(rows, pixels, mirrored)

    def scaled(self, gathered: Gathered) -> Tensor:
        """The images (B, C, H, W), float32 in [0, 1]: uint8 until they are on the device, mirrored there."""
        pixels, mirrored = gathered.pixels.to(self.device, non_blocking=True), gathered.mirrored
        if mirrored is not None:
            turned = mirrored.to(self.device, non_blocking=True)[:, None, None, None]
            pixels = torch.where(turned, pixels.flip(2), pixels)
        return pixels.permute(0, 3, 1, 2).float().div_(255)

    def finish(self, k: int, gathered: Gathered) -> Batch:
        """Batch ``k`` of images that were gathered."""
        z = self.noise.normal(k, self.shape[2:]).view(self.shape)
        return self.scaled(gathered), self.levels(k), z, self.told(k, gathered.rows), self.shares(k)

    def batch(self, k: int) -> Batch:
        """Batch ``k``, gathered and put together now."""
        return self.finish(k, self.gather(k))

    def upcoming(self, steps: range, *, ahead: int | None = None) -> Generator[Batch, None, None]:
        """The batches of ``steps`` in order, ``ahead`` of them gathered on threads before they are asked for.

        None is :data:`AHEAD` where the images do not lie on the device or are mapped from a file, else 0. What goes
        wrong in a thread is raised here when its batch's turn comes; close the iterator, and no thread is left.
        """
        if ahead is None:
            ahead = AHEAD if self.mapped or not self.resident else 0
        if not ahead:
            yield from map(self.batch, steps)
            return
        waiting: deque[tuple[int, Future[Gathered]]] = deque()
        pool = ThreadPoolExecutor(ahead, "batch")
        try:
            for k in steps:
                waiting.append((k, pool.submit(self._gather_on_thread, k)))
                if len(waiting) > ahead:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            pool.shutdown(cancel_futures=True)

    def _gather_on_thread(self, k: int) -> Gathered:
        devices.stand_at(self.device)
        return self.gather(k)

    def _next(self, waiting: deque[tuple[int, Future[Gathered]]]) -> Batch:
        k, gathered = waiting.popleft()
        return self.finish(k, gathered.result())


def _held(images: Pixels, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Images on ``device``, and which of them they are if others lie between them: a mapped file stays where it is on a
    CPU."""
    if not isinstance(images, Rows):
        return torch.from_numpy(images).to(device), None
    if not devices.is_gpu(device):
        return torch.from_numpy(images.base), torch.from_numpy(images.rows)
    held = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for first in range(0, len(images), STAGED):
        held[first : first + STAGED] = torch.from_numpy(images[first : first + STAGED]).to(device)
    return held, None
