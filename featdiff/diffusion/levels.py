"""Noise levels: the laws they are drawn from in training, the grids they follow in sampling."""

import math

import torch
from torch import Tensor

from featdiff import philox
from featdiff.diffusion.corruptions import Process
from featdiff.errors import UserError
from featdiff.settings.training import LogNormalNoise, SquaredUniformNoise

CLEAN = 1e-3
"""The level that stands for a clean image: a quarter of a gray level, so that log sigma stays finite."""

BELOW = -0.125
"""The same under a corruption, for clean partners: a level below all of its levels, 0 to 1.

At level 0 itself the network would meet partners, whose features it reads and whose noise it leaves, and images to be
cleaned, seldom. It learns to tell the two by a jump next to 0, and the last step of a sampler, at 0, cleans nothing.
"""


def draw(law: LogNormalNoise | SquaredUniformNoise, words: Tensor) -> Tensor:
    """Training noise levels (count,) from random 32-bit words (count, 2).

    Log-normal (arXiv 2206.00364, section 5) or ``sigma = maximum * u^2`` (arXiv 2410.11646, appendix A), the latter
    kept above 1e-4.
    """
    if law.kind == "lognormal":
        return (law.mean + law.std * philox.box_muller(words[:, 0], words[:, 1])[0]).exp()
    return (law.maximum * philox.uniform(words[:, 0]) ** 2).clamp(min=1e-4)


def karras(start: float, end: float, steps: int, *, rho: float = 7.0) -> Tensor:
    """``steps`` decreasing levels from ``start`` to ``end``, even in ``sigma^(1/rho)`` (arXiv 2206.00364, equation
    5)."""
    _check(start, end, steps)
    ramp = torch.linspace(start ** (1 / rho), end ** (1 / rho), steps, dtype=torch.float64)
    return ramp**rho


def logarithmic(start: float, end: float, steps: int) -> Tensor:
    """``steps`` levels from ``start`` to ``end``, even in ``log sigma``."""
    _check(max(start, end), min(start, end), steps)
    return torch.linspace(math.log(start), math.log(end), steps, dtype=torch.float64).exp()


def spaced(process: Process, steps: int, spacing: str) -> Tensor:
    """``steps`` decreasing levels of a process, from full corruption to none, by how its strength is spaced.

    ``linear``: even in the strength; ``cosine``: the strength goes with ``sin^2``, slow at both ends (after arXiv
    2102.09672); ``logarithmic``: even in its logarithm. The strength is the blur's width, the mask's strength or,
    without an operator, the noise.
    """
    if steps < 2:
        raise UserError(f"a grid of levels needs at least 2 steps, not {steps}")
    low, high = process.strength.low, process.strength.high
    ramp = torch.linspace(1, 0, steps, dtype=torch.float64)
    if spacing == "linear":
        strength = low + (high - low) * ramp
    elif spacing == "cosine":
        strength = low + (high - low) * (ramp * math.pi / 2).sin() ** 2
    elif spacing == "logarithmic":
        strength = low * (high / low) ** ramp
    else:
        raise UserError(f"levels are spaced linear, cosine or logarithmic, not '{spacing}'")
    return process.strength.inverse(strength)


def _check(start: float, end: float, steps: int) -> None:
    if steps < 2:
        raise UserError(f"a grid of noise levels needs at least 2 steps, not {steps}")
    if not 0 < end < start:
        raise UserError(f"noise levels must decrease and stay positive: got start {start} and end {end}")
