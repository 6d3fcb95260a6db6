"""Pictures to load and to prepare: made by seed, smooth with some noise, so that they compress as photographs do."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("a", "b", "c")


def write(folder: Path, count: int, size: int, suffix: str) -> Path:
    """``count`` RGB pictures of ``size`` x ``size`` in folders of classes."""
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for i in range(count):
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), np.int16)
        noisy = (smooth + generator.integers(-6, 7, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / CLASSES[i % len(CLASSES)] / f"{i:06d}.{suffix}")
    return folder
