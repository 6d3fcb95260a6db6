"""Samplers for any linear corruption ``x_t = C_t x_0 + sigma_t n`` (Soft diffusion, arXiv 2209.05442, sections 3.4 and
4).

The signature is that of every sampler, with the process as a keyword. Levels decrease to a level that is (nearly)
clean; the last one's clean estimate is the sample, so n levels cost n network evaluations. Primes are the lower level.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from featdiff.diffusion.corruptions import Process
from featdiff.diffusion.denoiser import Denoiser, Noise
from featdiff.errors import UserError


class Step(NamedTuple):
    """From level ``t`` (B,) with noise ``sigma`` down to level ``below`` (B,) with noise ``after``."""

    t: Tensor
    below: Tensor
    sigma: float
    after: float

    @property
    def removed(self) -> float:
        """Variance of noise that the step takes away."""
        return self.sigma**2 - self.after**2


def naive(
    denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None, *, process: Process
) -> Tensor:
    """Corrupt the clean estimate anew: ``x' = C' x0_hat + sigma' n``. It loses variance; the paper's point of
    comparison."""
    for step in steps(process, levels, x):
        clean = denoiser(x, step.t, condition)
        x = process.apply(clean, step.below) + step.after * noise().to(x)
    return denoiser(x, last(levels, x), condition)


def momentum(
    denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None, *, process: Process
) -> Tensor:
    """The momentum sampler (algorithm 1).

    ``x' = x + (C' - C) x0_hat + (1 - sigma'^2 / sigma^2) (C x0_hat - x) + sqrt(sigma^2 - sigma'^2) n``. With ``C = I``
    it is the reverse variance-exploding step (arXiv 2011.13456, appendix E); with constant sigma, Cold Diffusion's
    algorithm 2 (arXiv 2208.09392).
    """
    for step in steps(process, levels, x):
        clean = denoiser(x, step.t, condition)
        here, there = process.apply(clean, step.t), process.apply(clean, step.below)
        x = x + (there - here) + step.removed / step.sigma**2 * (here - x)
        if step.removed > 0:
            x = x + step.removed**0.5 * noise().to(x)
    return denoiser(x, last(levels, x), condition)


def flow(
    denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None, *, process: Process
) -> Tensor:
    """Euler steps of the probability flow: ``x' = x + (C' - C) x0_hat + 1/2 (1 - sigma'^2 / sigma^2) (C x0_hat -
    x)``."""
    for step in steps(process, levels, x):
        clean = denoiser(x, step.t, condition)
        here, there = process.apply(clean, step.t), process.apply(clean, step.below)
        x = x + (there - here) + 0.5 * step.removed / step.sigma**2 * (here - x)
    return denoiser(x, last(levels, x), condition)


def soft_ddim(
    denoiser: Denoiser,
    x: Tensor,
    levels: Tensor,
    noise: Noise,
    condition: Any = None,
    *,
    process: Process,
    nu: float = 0.0,
) -> Tensor:
    """DDIM for a corruption: ``x' = C' x0_hat + sqrt(sigma'^2 - s^2) / sigma (x - C x0_hat) + s n``.

    ``s = nu sigma' sqrt(1 - sigma'^2 / sigma^2)``; ``nu = 0`` draws no noise. With ``C = I`` it is
    :func:`samplers.ddim`.
    """
    for step in steps(process, levels, x):
        clean = denoiser(x, step.t, condition)
        here, there = process.apply(clean, step.t), process.apply(clean, step.below)
        fresh = nu * step.after * (step.removed / step.sigma**2) ** 0.5
        x = there + (step.after**2 - fresh**2) ** 0.5 / step.sigma * (x - here)
        if fresh:
            x = x + fresh * noise().to(x)
    return denoiser(x, last(levels, x), condition)


def steps(process: Process, levels: Tensor, x: Tensor) -> Iterator[Step]:
    """The steps of a grid of levels, each with its rows (B,) in the dtype of ``x``; refuses a grid that makes no
    sense."""
    grid = levels.double()
    if grid.ndim != 1 or len(grid) < 1 or not bool((grid >= 0).all()) or not bool((grid.diff() < 0).all()):
        raise UserError(
            f"levels must decrease and not fall below 0, got {[round(v, 6) for v in levels.tolist()]}: "
            "the first is the most corrupted"
        )
    sigmas = process.sigma(grid)
    if not bool((sigmas > 0).all()):
        raise UserError(
            f"the noise is zero at level {grid[sigmas <= 0][0].item():g}, where a sampler would divide by it: give the "
            "noise a positive minimum, or end the levels above it"
        )
    if bool((sigmas.diff() > 0).any()):
        raise UserError("the noise must not grow while the level falls: use a noise schedule that rises with the level")
    for (t, below), (sigma, after) in zip(pairwise(grid.tolist()), pairwise(sigmas.tolist()), strict=True):
        yield Step(row(t, x), row(below, x), sigma, after)


def last(levels: Tensor, x: Tensor) -> Tensor:
    """The last level, once for each image."""
    return row(levels[-1].item(), x)


def row(t: float, x: Tensor) -> Tensor:
    """A level for each image of ``x``, of shape (B,)."""
    return torch.full((len(x),), t, dtype=x.dtype, device=x.device)
