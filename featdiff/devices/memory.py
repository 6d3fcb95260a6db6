"""Out of memory on a GPU: what to tell, and what would fit."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from featdiff.errors import UserError


@contextmanager
def enough_for(size: int, setting: str, *, unit: int = 1, device: torch.device) -> Iterator[None]:
    """Work on ``size`` images at once, as ``setting`` says, a multiple of ``unit``.

    Raises :class:`UserError` when the device's memory does not hold that: it names the setting and the most that should
    fit.
    """
    try:
        yield
    except RuntimeError as error:
        if "out of memory" not in str(error):  # cuBLAS and cuDNN say it without torch's own kind of error
            raise
        fitting = should_fit(size, unit)
        asked = re.search(r"Tried to allocate ([0-9.]+ \w+)", str(error))
        more = f" and {asked[1]} more to hold" if asked else ""
        raise UserError(
            f"{device}: out of memory with {size} images at once{more}. "
            + (
                f"Set {setting} to {fitting}, and lower if other programs use this GPU"
                if fitting
                else f"{unit} images at once are the least: use a smaller network or images, or a GPU with more memory"
            )
        ) from None


def should_fit(size: int, unit: int) -> int | None:
    """The largest part of ``size`` that is at most half of it, divides it and is a multiple of ``unit``; None if none
    is."""
    return next((n for n in range(size // 2, 0, -1) if size % n == 0 and n % unit == 0), None)
