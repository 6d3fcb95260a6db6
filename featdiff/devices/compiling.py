"""``torch.compile``, where the settings ask for it: which mode on which device, and what it needs from the machine.

On a GPU the compiled steps are replayed as CUDA graphs: one call instead of some hundred launches. On a CPU the compiler joins
what walks through memory one by one. Compiling takes a minute or two; the next process takes the result from a cache.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from featdiff.errors import UserError


def compiled(step: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """``step``, compiled at its first call for the shapes it sees; ``step`` itself and its module stay as they are."""
    if device.type != "cuda":
        return torch.compile(step, dynamic=False)
    replayed = torch.compile(step, dynamic=False, mode="reduce-overhead")

    def replay(*arguments: Tensor | None) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return replayed(*arguments).clone()  # the next replay writes over what this one returned

    return replay


def require_compiler(device: torch.device) -> None:
    """Refuse, before any work, a machine on which compiling must fail."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    missing = []
    if shutil.which(compiler.split()[0]) is None:
        missing.append(f"a C++ compiler ({compiler}; the variable CXX names another)")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append("Python's header files (Python.h; on Debian the package python3-dev)")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        missing.append("triton, which comes with the CUDA build of torch")
    if missing:
        raise UserError(
            f"'compile: true' needs {' and '.join(missing)}: install what is missing, or set compile to false"
        )
