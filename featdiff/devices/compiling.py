"""``torch.compile``: whether it pays, which mode on which device, what it needs from the machine, where compiled code
is kept.

On a GPU the compiled steps are replayed as CUDA graphs: one call instead of some hundred launches. On a CPU the
compiler joins what walks through memory one by one. Compiling takes a minute or two; the next process takes the result
from a folder.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from featdiff.devices.devices import is_gpu
from featdiff.errors import UserError

FOLDER = Path(".featdiff/compiled")  # from the project's root

# On an H100 with 10 million parameters a step of 128 pairs of 64 x 64 in colour took 31.0 ms plain and 14.6 ms
# compiled, all set up after 69 s (docs/results/gpu.md); the plain step waited for launches, as a smaller one's does.
# Measured under torch 2.11 when its tracer still lost gradients of normalised layers, which are a part of the work: the
# gain is to be measured again.
SET_UP = 69.0  # seconds
SAVED = {"step": 0.0164, "evaluation": 0.0055}  # seconds; a network's evaluation is a third of a training step
SURE = 2.0  # how often the set-up is earned before it is worth it


def chosen(wanted: bool | Literal["auto"], device: torch.device, *, count: int, what: str) -> bool:
    """Whether to compile a run of ``count`` of ``what`` ("step" or "evaluation"); says so on a GPU, and why.

    Decided by settings and kind of device alone, so that a run taken up again decides the same. Raises
    :class:`UserError` when it is asked for on a machine that can't.
    """
    if wanted != "auto":
        if wanted:
            require_compiler(device)
        return wanted
    if not is_gpu(device):
        return False
    saved = count * SAVED[what]
    if saved < SURE * SET_UP:
        why = f"{count} {what}s would save about {saved:.0f} s, compiling takes about {SET_UP:.0f} s"
        return _say(False, why)
    if missing := lacking(device):
        return _say(False, f"it would save about {saved:.0f} s, but {' and '.join(missing)} is missing")
    return _say(True, f"{count} {what}s save about {saved:.0f} s, compiling takes about {SET_UP:.0f} s, once")


def _say(decision: bool, why: str) -> bool:
    print(f"compile: auto -> {'on' if decision else 'off'}: {why}", file=sys.stderr)
    return decision


def keep_in(folder: Path) -> None:
    """Keep compiled code in ``folder``, for the next process, unless the environment names another."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder.absolute()))
    os.environ.setdefault("TRITON_CACHE_DIR", str((folder / "triton").absolute()))


def compiled(step: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """``step``, compiled at its first call for the shapes it sees; ``step`` itself and its module stay as they are."""
    if not is_gpu(device):
        return torch.compile(step, dynamic=False)
    import torch._inductor.config as inductor  # takes a while

    inductor.deterministic = (
        torch.are_deterministic_algorithms_enabled()
    )  # no choice by a race of kernels that round differently
    replayed = torch.compile(step, dynamic=False, mode="reduce-overhead")

    def replay(*arguments: Tensor | None) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return replayed(*arguments).clone()  # the next replay writes over what this one returned

    return replay


def require_compiler(device: torch.device) -> None:
    """Refuse, before any work, a machine on which compiling must fail."""
    if missing := lacking(device):
        raise UserError(
            f"'compile: true' needs {' and '.join(missing)}: install what is missing, or set compile to auto or false"
        )


def lacking(device: torch.device) -> list[str]:
    """What this machine lacks to compile for the device."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    missing = []
    if shutil.which(compiler.split()[0]) is None:
        missing.append(f"a C++ compiler ({compiler}; the variable CXX names another)")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append("Python's header files (Python.h; on Debian the package python3-dev)")
    if is_gpu(device) and importlib.util.find_spec("triton") is None:
        missing.append("triton, which comes with the CUDA build of torch")
    return missing
