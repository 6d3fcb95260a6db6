"""The Ornstein-Uhlenbeck process ``dx = -x dt + sqrt(2) dB`` in reverse, in Euler steps (arXiv 2403.01639, section 2).

Levels are times: ``x_t = e^-t x_0 + sqrt(1 - e^-2t) n``. Fine steps are the continuous processes, coarse ones the
paper's discrete ones: each level is one step, the last one ends at time zero. The signature is that of every sampler.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from featdiff.diffusion.denoiser import Denoiser, Noise
from featdiff.diffusion.samplers import check_levels
from featdiff.errors import UserError


def times(end: float, steps: int) -> Tensor:
    """``steps`` times of equal distance, from ``end`` down to ``end / steps``."""
    if steps < 1 or not end > 0:
        raise UserError(f"a time grid needs at least 1 step and an end above 0, got {steps} steps to time {end}")
    return torch.arange(steps, 0, -1, dtype=torch.float64) * (end / steps)


def euler_ode(denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None) -> Tensor:
    """DDIM: the probability flow ``dx/ds = x + score`` in reverse time s; draws no noise."""
    return _euler(denoiser, x, levels, noise, condition, share=1)


def euler_sde(denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None) -> Tensor:
    """DDPM: the reverse diffusion ``dx = (x + 2 score) ds + sqrt(2) dB`` in reverse time s."""
    return _euler(denoiser, x, levels, noise, condition, share=2)


def _euler(denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any, *, share: int) -> Tensor:
    """``x + h (x + share score) + sqrt(2 h (share - 1)) n``, with ``score = (e^-t x0_hat - x) / (1 - e^-2t)``."""
    check_levels(levels)
    for t, s in pairwise([*levels.tolist(), 0.0]):
        step, pull = t - s, share * (t - s) / -math.expm1(-2 * t)
        clean = denoiser(x, torch.full((), t, dtype=x.dtype, device=x.device).expand(len(x)), condition)
        x = torch.add((1 + step - pull) * x, clean, alpha=pull * math.exp(-t))
        if share > 1:
            x = torch.add(x, noise().to(x), alpha=math.sqrt(2 * step))
    return x


def variance_preserving(denoiser: Denoiser) -> Denoiser:
    """A denoiser of ``x_0 + sigma n`` as one of the Ornstein-Uhlenbeck process: ``D(e^t x, sqrt(e^2t - 1))``."""

    def changed(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        grow = t.exp().view(-1, *[1] * (x.ndim - 1))
        return denoiser(grow * x, torch.expm1(2 * t).sqrt(), condition)

    return changed
