"""Groups of different images of one class, for training the projected score (arXiv 2410.11646).

Batch k depends on (seed, "batch", k) alone, so training can stop anywhere and go on exactly. Images stay uint8 in memory; a
batch is one gather, whatever the number of classes.
"""

import numpy as np
import torch
from torch import Tensor

from featdiff import seeds
from featdiff.errors import UserError


class GroupBatches:
    """Draws batches of groups: the class uniformly, then ``group`` different images of it (2 is the paper's pair).

    ``images`` are (N, H, W, C) uint8, ``labels`` (N,) integers from 0; ``flip`` mirrors each image left-right with
    probability 1/2. Raises :class:`UserError` when there are no images or a class has fewer than ``group``.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, *, group: int, seed: int, flip: bool):
        self.images = torch.from_numpy(np.moveaxis(images, -1, 1).copy())  # (N, C, H, W)
        self.labels = torch.tensor(labels, dtype=torch.long)
        self.classes, self.counts = torch.unique(self.labels, return_counts=True)
        self.group, self.seed, self.flip = group, seed, flip
        if not len(self.classes) or self.classes[0] < 0:
            raise UserError("there are no labelled training images to draw groups of a class from")
        if self.counts.min() < group:
            label = int(self.classes[self.counts.argmin()])
            raise UserError(
                f"the class with label {label} has {int(self.counts.min())} training image(s), fewer than the {group} of a "
                "group: add images or lower 'partners'"
            )
        self.order = torch.argsort(self.labels, stable=True)  # images by class
        self.starts = self.counts.cumsum(0) - self.counts

    def indices(self, generator: torch.Generator, size: int) -> Tensor:
        """Which images a batch of ``size`` is made of: (size,), ``group`` neighbours of one class."""
        chosen = torch.randint(len(self.classes), (size // self.group,), generator=generator)
        draws = torch.rand(self.group, len(chosen), generator=generator, dtype=torch.float64)
        within = distinct(draws, self.counts[chosen])  # (group, size / group)
        return self.order[self.starts[chosen] + within].T.flatten()

    def choose(self, k: int, size: int) -> tuple[Tensor, Tensor | None]:
        """Which images batch ``k`` is made of (size,), and which of them are mirrored (size,), or None without mirroring."""
        generator = seeds.generator(self.seed, "batch", k)
        rows = self.indices(generator, size)
        return rows, torch.rand(size, generator=generator) < 0.5 if self.flip else None

    def take(self, rows: Tensor, mirrored: Tensor | None, device: torch.device) -> Tensor:
        """Those images (N, C, H, W), float32 in [0, 1] on ``device``: as uint8 until they are there, mirrored there."""
        x = self.images.index_select(0, rows.to(self.images.device, non_blocking=True)).to(device)
        if mirrored is not None:
            turned = mirrored.to(device, non_blocking=True)[:, None, None, None]
            x = torch.where(turned, x.flip(-1), x)
        return x.float().div_(255)

    def batch(self, k: int, size: int) -> tuple[Tensor, Tensor]:
        """Batch ``k``: images (size, C, H, W) float32 in [0, 1] and labels (size,); ``size`` is a multiple of ``group``."""
        rows, mirrored = self.choose(k, size)
        return self.take(rows, mirrored, self.images.device), self.labels[rows]


def distinct(draws: Tensor, counts: Tensor) -> Tensor:
    """From uniform ``draws`` (k, n) in [0, 1), k different integers below ``counts`` (n,) in each column, all equally likely.

    The i-th draw picks one of the ``counts - i`` integers that are left; stepping over the earlier ones in increasing order
    tells which.
    """
    taken: list[Tensor] = []
    for i, draw in enumerate(draws):
        value = (draw * (counts - i)).long()
        for earlier in torch.stack(taken).sort(0).values if taken else ():
            value = value + (value >= earlier).long()
        taken.append(value)
    return torch.stack(taken)
