"""Devices: which one, what its processor needs to be told, how pixels get there and back."""

import ctypes
import sys

import numpy as np
import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Ask the C allocator of Linux to keep freed memory: handing it back at each step costs up to half of the time."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def pick_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_images(pixels: np.ndarray) -> Tensor:
    """Pixels (N, H, W, C) uint8 -> images (N, C, H, W) float32 in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).contiguous()


def to_pixels(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W), clipped to [0, 1] -> pixels (N, H, W, C) uint8, rounded."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
