"""Forward processes ``x_t = C_t x_0 + sigma_t n`` under which a Gaussian mixture stays one.

Three kinds: variance exploding (``C = 1``), Ornstein-Uhlenbeck (arXiv 2403.01639) and soft, with matrices ``C_t`` for
blur and mask (arXiv 2209.05442).
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from featdiff.diffusion.corruptions import GaussianBlur, SoftMask, matrix
from featdiff.errors import UserError


class Process(Protocol):
    """``operator(t)`` is ``C_t``, a scalar () or a matrix (d, d) in float64; ``sigma(t)`` the noise's deviation."""

    def operator(self, t: float) -> Tensor: ...

    def sigma(self, t: float) -> float: ...

    def rows(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The same for levels ``t`` (B,) at once: operators (B,) or (B, d, d), deviations (B,)."""
        ...


class VarianceExploding:
    """``x_t = x_0 + t n``: the level is the noise's standard deviation, the convention of the package's networks."""

    def operator(self, t: float) -> Tensor:
        return torch.tensor(1.0, dtype=torch.float64)

    def sigma(self, t: float) -> float:
        return _level(t)

    def rows(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), t


class OrnsteinUhlenbeck:
    """``dx = -x dt + sqrt(2) dB``: ``x_t = e^-t x_0 + sqrt(1 - e^-2t) n`` (variance preserving)."""

    def operator(self, t: float) -> Tensor:
        return torch.tensor(math.exp(-_level(t)), dtype=torch.float64)

    def sigma(self, t: float) -> float:
        return math.sqrt(-math.expm1(-2 * _level(t)))

    def rows(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.exp(-t), torch.expm1(-2 * t).neg().sqrt()


class Soft:
    """Any linear corruption: ``operators(t)`` gives the matrix ``C_t`` (d, d), ``sigmas(t)`` the noise's deviation."""

    def __init__(self, operators: Callable[[float], Tensor], sigmas: Callable[[float], float]):
        self.operators = operators
        self.sigmas = sigmas

    def operator(self, t: float) -> Tensor:
        return self.operators(_level(t)).to(torch.float64)

    def sigma(self, t: float) -> float:
        return self.sigmas(_level(t))

    def rows(self, t: Tensor) -> tuple[Tensor, Tensor]:
        levels = t.tolist()
        sigmas = torch.tensor([self.sigma(level) for level in levels], dtype=torch.float64)
        return torch.stack([self.operator(level) for level in levels]), sigmas


def blur_matrix(side: int, width: float) -> Tensor:
    """Gaussian blur of ``width`` pixels on images of ``side`` x ``side``, as (side^2, side^2)."""
    return matrix(GaussianBlur(), width, side)


def fade_matrix(side: int, strength: float) -> Tensor:
    """A soft radial mask on images of ``side`` x ``side``, as (side^2, side^2)."""
    return matrix(SoftMask(), strength, side)


def _level(t: float) -> float:
    if not t >= 0 or math.isinf(t):
        raise UserError(f"a forward process starts at level 0: got level {t}")
    return t
