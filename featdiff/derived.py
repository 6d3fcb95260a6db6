"""A seed for each purpose, and NumPy's generator from it; without torch, so that what only sorts files starts fast."""

import hashlib

import numpy as np


def derive(seed: int, *name: str | int) -> int:
    """A 63-bit seed for the purpose ``name``, independent of every other purpose."""
    digest = hashlib.sha256(repr((seed, *name)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_generator(seed: int, *name: str | int) -> np.random.Generator:
    """A NumPy generator."""
    return np.random.default_rng(derive(seed, *name))
