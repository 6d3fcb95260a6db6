"""Every random draw comes from a generator named by (seed, purpose, index ...).

So sample 17 and training batch 900 are the same at any batch size, worker count or restart.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def derive(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the purpose ``name``, independent of every other purpose."""
    digest = hashlib.sha256(repr((seed, *name)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, *name: str | int) -> torch.Generator:
    """A torch generator on the CPU."""
    return torch.Generator().manual_seed(derive(seed, *name))


def numpy_generator(seed: int, *name: str | int) -> np.random.Generator:
    """A NumPy generator."""
    return np.random.default_rng(derive(seed, *name))


class SampleNoise:
    """Gaussian noise with a generator of its own for each image of a batch.

    Each call draws the next ``(len(names), *shape)`` block; row i depends on ``(seed, *names[i])`` and the number of the
    call alone, not on its neighbours in the batch.
    """

    def __init__(self, seed: int, names: Sequence[tuple[str | int, ...]], shape: tuple[int, ...]):
        self.generators = [generator(seed, "sample", *name) for name in names]
        self.shape = shape

    def __call__(self) -> Tensor:
        return torch.stack([torch.randn(self.shape, generator=g) for g in self.generators])
