"""The third claim of arXiv 2403.01639: in coarse steps, strong guidance splits the centre of three aligned means in
two.

Near the centre a step is linear: with ``a = exp(-e^-2t mu^2 / 2)`` and ``f = e^-2t mu^2 2a / (1 + 2a)`` it multiplies
by ``1 - eta h f`` (DDIM) or ``1 - h - 2 eta h f`` (DDPM), so the centre repels once that is below minus one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import gaussian_kde
from torch import Tensor

from featdiff.diffusion.ornstein_uhlenbeck import times
from featdiff.mixture.confidence import SAMPLERS
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.paths import guided_paths
from featdiff.mixture.processes import OrnsteinUhlenbeck
from featdiff.settings.mixture import Splitting

VALLEY, WIDTH = 0.5, 0.5  # split: the centre has less than half the density of the humps, which are this far out


class SplittingResult(NamedTuple):
    """Rows of the two tables, and the ends of the paths by (row of the settings, strength)."""

    rows: list[dict[str, Any]]
    thresholds: list[dict[str, Any]]
    ends: dict[str, Tensor]


def run_splitting(settings: Splitting, *, threads: int = 1) -> SplittingResult:
    """Sample each row at its strengths, and find the strength at which it splits by bisection."""
    rows, thresholds, ends = [], [], {}
    for row in settings.rows:
        levels = times(settings.time, round(settings.time / row.step))
        predicted = centre_threshold(settings.mu, row.step, levels, row.sampler)

        def sampled(etas: tuple[float, ...], row=row, levels=levels) -> Tensor:  # type: ignore[no-untyped-def]
            return _ends(settings, row.sampler, levels, etas, threads)

        for eta, x in zip(row.etas, sampled(row.etas), strict=True):
            shape = hump_shape(x.numpy())
            rows.append({"sampler": row.sampler, "step": row.step, "eta": eta, **shape._asdict()})
            ends[f"{row.sampler} {row.step} {eta}"] = x
        measured = _bisect(lambda eta, sampled=sampled: hump_shape(sampled((eta,))[0].numpy()).split, predicted)
        thresholds.append({"sampler": row.sampler, "step": row.step, "centre_repels": predicted, "splits": measured})
    return SplittingResult(rows, thresholds, ends)


def centre_threshold(mu: float, step: float, levels: Tensor, sampler: str) -> float:
    """The least strength at which the centre repels at some level: ``2 / (h f)`` or ``(2 - h) / (2 h f)``."""
    u = torch.exp(-2 * levels) * mu**2
    a = torch.exp(-u / 2)
    f = (u * 2 * a / (1 + 2 * a)).max().item()
    return 2 / (step * f) if sampler == "ddim" else (2 - step) / (2 * step * f)


class Shape(NamedTuple):
    """One hump or two: the spread, the density at the centre over the highest one, and the verdict."""

    spread: float
    valley: float
    split: bool


def hump_shape(points: np.ndarray) -> Shape:
    """Whether a symmetric cloud (N,) is split, by a Gaussian kernel density (Scott's width) on a grid."""
    spread = float(points.std())
    if spread < 1e-9:  # collapsed to the centre: no density to speak of
        return Shape(spread, 1.0, split=False)
    density = gaussian_kde(points)
    grid = np.linspace(-3, 3, 241) * spread
    valley = float(density(0.0)[0] / density(grid).max())
    return Shape(spread, valley, split=valley < VALLEY and spread > WIDTH)


def _ends(settings: Splitting, sampler: str, levels: Tensor, etas: tuple[float, ...], threads: int) -> Tensor:
    law = GaussianMixture([[-settings.mu], [0.0], [settings.mu]], [[1.0]])
    paths = guided_paths(
        MixtureDenoiser(law, OrnsteinUhlenbeck()),
        SAMPLERS[sampler],
        y=1,
        etas=etas,
        levels=levels,
        count=settings.paths,
        seed=settings.seed,
        threads=threads,
    )
    return paths.ends[..., 0]


def _bisect(splits: Any, start: float) -> float:
    """The strength at which a yes begins, to 2%; not a number if there is none up to 32 times ``start``."""
    low, high = start / 4, start
    while not splits(high):
        low, high = high, 2 * high
        if high > 32 * start:
            return math.nan
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if splits(middle) else (middle, high)
    return math.sqrt(low * high)
