"""Every random draw is named by (seed, purpose, index ...), so that it is the same whatever else is drawn, and when.

Sample 17 and training batch 900 are the same at any batch size, worker count or restart. Noise comes from streams that
have no state (:mod:`featdiff.philox`) and is made on the device that uses it; what is drawn once, on the CPU, from a
generator.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from featdiff import philox
from featdiff.derived import derive


def generator(seed: int, *name: str | int) -> torch.Generator:
    """A torch generator on the CPU."""
    return torch.Generator().manual_seed(derive(seed, *name))


class Streams:
    """A stream of random numbers for each of N names, on a device; the k-th block of a stream is asked for by its
    number."""

    def __init__(self, seed: int, names: Iterable[tuple[str | int, ...]], device: torch.device | str = "cpu"):
        self.keys = torch.tensor([derive(seed, *name) for name in names], dtype=torch.int64).to(device)

    def words(self, block: int, size: int, *, blocks: int = 1) -> Tensor:
        """Blocks ``block`` to ``block + blocks`` of ``size`` 32-bit words: (blocks, N, size) int64; ``size`` a multiple
        of 4."""
        drawn = philox.words(self.keys, blocks * size, offset=block * size)
        return drawn.view(-1, blocks, size).transpose(0, 1)

    def normal(self, block: int, shape: tuple[int, ...]) -> Tensor:
        """Block ``block`` of standard normal numbers: (N, *shape) float32."""
        size = math.prod(shape)
        return philox.normal(self.keys, size, offset=block * (-(-size // 4) * 4)).view(-1, *shape)


class SampleNoise:
    """Gaussian noise on a device, with a stream of its own for each image of a batch.

    Each call returns the next ``(len(names), *shape)`` block; row i depends on ``(seed, *names[i])`` and the number of
    the call alone, not on its neighbours in the batch.
    """

    def __init__(
        self,
        seed: int,
        names: Iterable[tuple[str | int, ...]],
        shape: tuple[int, ...],
        device: torch.device | str = "cpu",
    ):
        self.streams = Streams(seed, (("sample", *name) for name in names), device)
        self.shape = shape
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return self.streams.normal(self.calls - 1, self.shape)
