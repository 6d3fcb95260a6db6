"""A mixture of intervals as an exact denoiser: densities with bounded support, where guidance reaches the edge.

``x_0`` is uniform on interval k with probability ``w_k`` (arXiv 2409.13074 studies two); given ``x = x_0 + t n`` it is
a truncated Gaussian, whose mean and mass are in closed form. All by logarithms, so that it holds far outside and at t =
1e-4.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from featdiff.errors import UserError


class UniformDenoiser:
    """``denoiser(x, t, condition)`` for ``x`` (B, 1): intervals (K, 2), weights (K,); the condition is the interval."""

    def __init__(self, intervals: Sequence[tuple[float, float]], weights: Sequence[float] | None = None):
        self.intervals = torch.tensor(intervals, dtype=torch.float64)
        count = len(self.intervals)
        self.weights = torch.tensor(weights or [1 / count] * count, dtype=torch.float64)
        if not bool((self.intervals[:, 0] < self.intervals[:, 1]).all()):
            raise UserError(f"an interval's start must lie below its end, got {intervals}")
        if self.weights.shape != (count,) or bool((self.weights < 0).any()) or abs(self.weights.sum() - 1) > 1e-6:
            raise UserError(f"weights of {count} intervals must not be negative and sum to one, got {weights}")

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        low, high = ((edge - x) / t[:, None] for edge in self.intervals.T)  # (B, K)
        mass = _log_mass(low, high)
        each = x + t[:, None] * (_log_normal(low) - mass).exp() - t[:, None] * (_log_normal(high) - mass).exp()
        each = each.clamp(*self.intervals.T)
        if condition is not None:
            return each.gather(1, torch.as_tensor(condition).view(-1, 1))
        lengths = self.intervals[:, 1] - self.intervals[:, 0]
        posterior = (mass + (self.weights / lengths).log()).softmax(1)
        return (posterior * each).sum(1, keepdim=True)


def _log_normal(z: Tensor) -> Tensor:
    return -z.square() / 2 - math.log(2 * math.pi) / 2


def _log_mass(low: Tensor, high: Tensor) -> Tensor:
    """``log(Phi(high) - Phi(low))``, mirrored to the left tail, where the difference of logarithms is exact."""
    mirrored = low > 0
    low, high = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    top = torch.special.log_ndtr(high)
    return top + torch.log(-torch.expm1(torch.special.log_ndtr(low) - top))
