"""Samplers, all through one signature: ``sampler(denoiser, x, levels, noise, condition) -> sample``.

``x`` starts at noise level ``levels[0]``; the last level's clean estimate is the sample, so n levels cost n network
evaluations (Heun: 2n - 1). Levels are kept in float64; the arithmetic on ``x`` is in the dtype of ``x``.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from featdiff.diffusion.denoiser import Denoiser, Noise
from featdiff.errors import UserError


def check_levels(levels: Tensor) -> None:
    """Refuse levels that do not decrease or are not positive."""
    if levels.ndim != 1 or len(levels) < 1 or not bool((levels > 0).all()) or not bool((levels.diff() < 0).all()):
        raise UserError(f"noise levels must decrease and stay positive, got {[round(v, 6) for v in levels.tolist()]}")


def ddim(
    denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None, *, nu: float = 0.0
) -> Tensor:
    """DDIM (arXiv 2010.02502, equation 12) in variance-exploding form; ``nu = 0`` draws no noise, ``nu = 1`` is DDPM.

    From level t to s: ``x0_hat + sqrt(s^2 - v^2) (x - x0_hat) / t + v n`` with ``v = nu s sqrt(1 - s^2 / t^2)``.
    """
    check_levels(levels)
    for t, s in pairwise(levels.tolist()):
        clean = denoiser(x, level(t, x), condition)
        fresh = nu * s * (1 - (s / t) ** 2) ** 0.5
        x = clean + (s**2 - fresh**2) ** 0.5 / t * (x - clean)
        if fresh:
            x = x + fresh * noise().to(x)
    return denoiser(x, level(levels[-1].item(), x), condition)


def ddpm(denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None) -> Tensor:
    """DDPM's ancestral step (arXiv 2006.11239, equation 7) in variance-exploding form."""
    return ddim(denoiser, x, levels, noise, condition, nu=1.0)


def heun(denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None) -> Tensor:
    """Heun's second-order step on the probability flow (arXiv 2206.00364, algorithm 1 without churn)."""
    check_levels(levels)
    for t, s in pairwise(levels.tolist()):
        x = heun_step(denoiser, x, t, s, condition)
    return denoiser(x, level(levels[-1].item(), x), condition)


def heun_step(denoiser: Denoiser, x: Tensor, t: float, s: float, condition: Any = None) -> Tensor:
    """Images of level t at level s, by the mean of the flow's slopes at both."""
    slope = (x - denoiser(x, level(t, x), condition)) / t
    euler = x + (s - t) * slope
    corrected = (euler - denoiser(euler, level(s, x), condition)) / s
    return x + (s - t) * (slope + corrected) / 2


def dpm_solver_2m(denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None) -> Tensor:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2) with ``lambda = -log t``; the first step is DDIM's."""
    check_levels(levels)
    before: Tensor | None = None
    last_step = 0.0
    steps = levels.log().neg().diff().tolist()
    for (t, s), h in zip(pairwise(levels.tolist()), steps, strict=True):
        clean = denoiser(x, level(t, x), condition)
        ahead = clean if before is None else clean + h / (2 * last_step) * (clean - before)
        x = ahead + s / t * (x - ahead)
        before, last_step = clean, h
    return denoiser(x, level(levels[-1].item(), x), condition)


def ascent(
    denoiser: Denoiser,
    x: Tensor,
    levels: Tensor,
    noise: Noise,
    condition: Any = None,
    *,
    step: float = 0.1,
    beta: float = 0.5,
    max_steps: int = 2000,
) -> Tensor:
    """Stochastic coarse-to-fine ascent (arXiv 2410.11646, algorithm 2; Kadkhodaie and Simoncelli, arXiv 2007.13640).

    Needs no schedule: each image estimates its own noise level from the residual, ``sigma = ||x - x0_hat|| / sqrt(N)``,
    and stops below ``levels[-1]``. A step removes the share ``step`` (h) of the residual and adds noise so that sigma
    contracts by ``1 - beta h``; ``beta = 1`` adds none. Raises :class:`UserError` if sigma does not get there.
    """
    check_levels(levels)
    start, end = levels[0].item(), levels[-1].item()
    rows = (-1, *[1] * (x.ndim - 1))
    gain = ((1 - beta * step) ** 2 - (1 - step) ** 2) ** 0.5
    sigma = torch.full((len(x),), start, dtype=x.dtype, device=x.device)
    running = torch.ones_like(sigma, dtype=torch.bool)
    sample = x
    for _ in range(max_steps):
        residual = x - denoiser(x, sigma, condition)
        estimate = residual.flatten(1).square().mean(1).sqrt()
        sample = torch.where(running.view(rows), x - residual, sample)  # an image that has stopped stays as it is
        running = running & (estimate >= end)
        if not running.any():
            return sample
        sigma = estimate.clamp(min=end, max=start)
        x = x - step * residual + (gain * sigma).view(rows) * noise().to(x)
    raise UserError(
        f"the ascent did not reach sigma {end} in {max_steps} steps (largest is {sigma.max().item():.3g}): "
        "raise max_steps, step or noise (beta), or raise sigma_end"
    )


def level(t: float, x: Tensor) -> Tensor:
    """The level t for each image of a batch."""
    return torch.full((len(x),), t, dtype=x.dtype, device=x.device)
