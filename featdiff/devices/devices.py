"""Devices: which one, what its processor needs to be told, how pixels get there and back.

Here alone a device is chosen, named and told from others; a GPU always has its index. ``torch.cuda`` refuses one
without, as accelerate's is, where it has to stand at it, and two that are the same compare as different.
"""

import ctypes
import os
import platform
import sys
from functools import cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from featdiff.devices.claims import claim

CPU = torch.device("cpu")
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Ask the C allocator of Linux to keep freed memory: handing it back at each step costs up to half of the time."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


@cache
def pick_device() -> torch.device:
    """A GPU of this process's own if there is one, else the CPU; the same at each call.

    Where one GPU is visible (one in the machine, one given by Slurm or by CUDA_VISIBLE_DEVICES) it is that. Of several,
    one that no other featdiff process has claimed. A process of a distributed run has the one of its rank on this
    machine.
    """
    if not torch.cuda.is_available():
        return CPU
    index = int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else _own(1)[0]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once: its sums in one order
    device = torch.device("cuda", index)
    stand_at(device)
    allow_tf32(False)
    be_exact(True)
    return device


def is_gpu(device: torch.device) -> bool:
    """Whether it is a GPU, which computes while Python goes on."""
    return device.type == "cuda"


def name_of(device: torch.device) -> str:
    """The device in words."""
    return torch.cuda.get_device_name(device) if is_gpu(device) else "this CPU"


def be_exact(exact: bool) -> None:
    """On a GPU: whether the same command gives the same bits, on the same kind of GPU with the same libraries.

    cuDNN otherwise chooses its algorithms by a race, which another process may decide otherwise, and some add up
    gradients in the order in which threads arrive. CPUs are exact by themselves and never told. An operation that has
    no exact form is named in a warning.
    """
    torch.backends.cudnn.benchmark = not exact
    torch.backends.cudnn.deterministic = exact
    if torch.cuda.is_available():
        torch.use_deterministic_algorithms(exact, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it was told; a CPU has by then."""
    if is_gpu(device):
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that tensors of this process have taken on a GPU so far; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) if is_gpu(device) else None


def allow_tf32(allowed: bool) -> None:
    """Whether GPUs may compute float32 with 10 bits of mantissa (TF32): several times as fast, and other results.

    What a setting calls ``fp32`` is float32, in convolutions too, where torch would take TF32 by itself. It is allowed
    beside bf16 (8 bits) and where the settings say ``tf32``. CPUs are never told: some would take it to mean bf16.
    """
    torch.set_float32_matmul_precision("high" if allowed and torch.cuda.is_available() else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def precision_of(wanted: str, device: torch.device) -> str:
    """The precision of a setting as this device has it: bf16 that it would only imitate is slower than fp32, and
    becomes that."""
    if wanted != "bf16" or has_bf16(device.type):
        return wanted
    print(
        f"this {'GPU' if is_gpu(device) else 'CPU'} has no bf16 arithmetic of its own: fp32 is used instead",
        file=sys.stderr,
    )
    return "fp32"


@cache
def has_bf16(kind: str) -> bool:
    """Whether the CPU or the GPU ("cpu", "cuda") multiplies in bf16 by itself."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine() in ("x86_64", "AMD64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def stand_at(device: torch.device) -> None:
    """Make the device that of this thread: a new thread stands at the first GPU, whichever its process has claimed."""
    if is_gpu(device):
        torch.cuda.set_device(device)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on the device; a GPU fetches it when its turn comes, and nobody waits."""
    return tensor.pin_memory().to(device, non_blocking=True) if is_gpu(device) else tensor.to(device)


def has_room(device: torch.device, size: int) -> bool:
    """Whether ``size`` bytes can lie on the device all the time: in half of what is free on a GPU."""
    return not is_gpu(device) or 2 * size <= torch.cuda.mem_get_info(device)[0]


def claim_visible(count: int) -> str | None:
    """Claim ``count`` GPUs for processes that this one starts: their CUDA_VISIBLE_DEVICES, or None where there is no
    GPU."""
    if not torch.cuda.is_available():
        return None
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    return ",".join(names[index] for index in _own(count))


def _own(count: int) -> list[int]:
    """Indices of ``count`` visible GPUs that no other process has claimed. A single one is shared, as it always was."""
    visible = torch.cuda.device_count()
    if count == visible == 1:
        return [0]
    return claim([str(torch.cuda.get_device_properties(index).uuid) for index in range(visible)], count)


def to_images(pixels: ArrayLike) -> Tensor:
    """Pixels (N, H, W, C) uint8 -> images (N, C, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.asarray(pixels)).permute(0, 3, 1, 2).float().div(255).contiguous()


def to_pixels(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W), clipped to [0, 1] -> pixels (N, H, W, C) uint8, rounded."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
