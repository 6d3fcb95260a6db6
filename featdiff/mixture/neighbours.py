"""Results of neighbouring papers on exact laws, each through the package's own samplers and guidance.

- Bradley and Nakkiran (arXiv 2408.09000): for two Gaussians, guided DDPM, guided DDIM and the tilted density differ.
- Chidambaram et al. (arXiv 2409.13074): on two intervals, guidance pushes to the far edge, and in practice beyond.
- Karras et al. (arXiv 2406.02507) and Kynkaanniemi et al. (arXiv 2404.07724): autoguidance and limited intervals
against
  classifier-free guidance in the plane: outliers against lost modes.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from featdiff import seeds
from featdiff.diffusion import guidance, samplers
from featdiff.diffusion.denoiser import Denoiser
from featdiff.diffusion.levels import logarithmic
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.entropy import mean
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.paths import observed
from featdiff.mixture.uniform import UniformDenoiser
from featdiff.settings.mixture import Neighbours

Row = dict[str, Any]


def two_gaussians(settings: Neighbours) -> list[Row]:
    """Variances of samples guided from N(0, 2) to N(0, 1), beside what the paper derives."""
    source = seeds.generator(settings.seed, "two gaussians")
    levels = logarithmic(100.0, 0.01, settings.gaussian_steps)
    conditional, marginal = (MixtureDenoiser(GaussianMixture([[0.0]], [[v]])) for v in (1.0, 2.0))
    rows = []
    for g in settings.scales:
        guided = guidance.autoguidance(conditional, marginal, strength=g)
        predicted = {"ddim": 2 ** (1 - g), "ddpm": (2 - 2 ** (2 - 2 * g)) / (2 * g - 1)}
        for name, run in (("ddim", samplers.ddim), ("ddpm", samplers.ddpm)):
            noise = _noise(settings.gaussian_paths, 1, source)
            x = run(guided, levels[0] * noise(), levels, noise)
            value, error = x.square().mean().item(), (x.square().std() / math.sqrt(len(x))).item()
            rows.append(_row("two gaussians", name, g, "variance", value, error, predicted[name]))
        rows.append(_row("two gaussians", "tilted density", g, "variance", 2 / (g + 1), 0.0, 2 / (g + 1)))
    return rows


def two_intervals(settings: Neighbours) -> list[Row]:
    """Mean and share inside the support of samples guided to the upper of two intervals, by the probability flow.

    Seen at the last level, time 1e-5 of the Ornstein-Uhlenbeck process: the clean estimate itself never leaves the
    support.
    """
    denoiser = UniformDenoiser([(-2.0, -1.0), (1.0, 2.0)])
    levels = logarithmic(math.sqrt(math.expm1(20.0)), math.sqrt(math.expm1(2e-5)), settings.uniform_steps)
    etas = torch.tensor(settings.uniform_etas, dtype=torch.float64)
    rows = etas.repeat_interleave(settings.uniform_paths)
    start = _noise(settings.uniform_paths, 1, seeds.generator(settings.seed, "two intervals"))()
    seen: list[Tensor] = []
    guided = observed(
        guidance.classifier_free(denoiser, strength=1 + rows[:, None]), lambda x, t: seen.__setitem__(slice(None), [x])
    )
    x = (levels[0] * start).repeat(len(etas), 1)
    samplers.heun(guided, x, levels, lambda: x, torch.ones(len(x), dtype=torch.int64))
    last = seen[0] / math.sqrt(1 + levels[-1].item() ** 2)  # as the preserving process scales it
    table = []
    for eta, ends in zip(settings.uniform_etas, last.reshape(len(etas), -1), strict=True):
        inside = ((ends >= 1) & (ends <= 2)).double()
        table.append(_row("two intervals", "ddim", eta, "mean", *mean(ends), math.nan))
        table.append(_row("two intervals", "ddim", eta, "inside support", *mean(inside), math.nan))
    return table


class PlaneResult(NamedTuple):
    """Rows of the table, and the points (N, 2) by kind of guidance."""

    rows: list[Row]
    points: dict[str, Tensor]


def plane(settings: Neighbours) -> PlaneResult:
    """Guidance in the plane: a model that is a blurred version of the truth, and a weaker, more blurred one.

    An outlier lies where the true class density is below that of 99% of exact draws; a mode is lost that holds less
    than a quarter of its share.
    """
    true = two_trees(0.0)
    strong, weak = (MixtureDenoiser(two_trees(blur)) for blur in settings.plane_blurs)
    low, high = settings.plane_interval
    free = guidance.classifier_free(strong, strength=settings.plane_strength)
    kinds: dict[str, Denoiser] = {
        "none": strong,
        "classifier-free": free,
        "classifier-free, limited": guidance.limited_interval(free, strong, low=low, high=high),
        "autoguidance": guidance.autoguidance(strong, weak, strength=settings.plane_strength),
    }
    law, count = true.given(0), settings.plane_points
    exact, _ = law.sample(count, seeds.generator(settings.seed, "plane exact"))
    edge = law.log_density(law.sample(100_000, seeds.generator(settings.seed, "plane edge"))[0]).quantile(0.01)
    levels = logarithmic(20.0, 0.002, 100)
    points = {"exact": exact}
    for name, denoiser in kinds.items():
        noise = _noise(count, 2, seeds.generator(settings.seed, "plane"))
        classes = torch.zeros((), dtype=torch.int64).expand(count)
        points[name] = samplers.heun(denoiser, levels[0] * noise(), levels, noise, classes)
    rows = []
    for name, x in points.items():
        shares = law.posterior(x).argmax(1).bincount(minlength=law.count) / count
        lost = float((shares < law.weights / 4).sum())
        strength = 1.0 if name in ("exact", "none") else settings.plane_strength
        rows.append(_row("plane", name, strength, "outliers", *mean((law.log_density(x) < edge).double()), math.nan))
        rows.append(_row("plane", name, strength, "lost modes", lost, math.nan, math.nan))
        distance = (shares - law.weights).abs().sum().item() / 2
        rows.append(_row("plane", name, strength, "distance of mode shares", distance, math.nan, math.nan))
    return PlaneResult(rows, points)


def two_trees(blur: float, *, depth: int = 3) -> GaussianMixture:
    """Two classes, each a branching curve of narrow Gaussians in the plane, grown from one root; ``blur`` widens
    all."""
    means, covariances, weights, classes = [], [], [], []

    def grow(root: tuple[float, float], angle: float, level: int, y: int) -> None:
        length, beads = 0.9 * 0.7**level, 4
        away = (math.cos(angle), math.sin(angle))
        for i in range(beads):
            along = length * (i + 0.5) / beads
            means.append([root[0] + along * away[0], root[1] + along * away[1]])
            turn = torch.tensor([[away[0], -away[1]], [away[1], away[0]]], dtype=torch.float64)
            size = torch.tensor([length / beads / 2, 0.03], dtype=torch.float64) ** 2 + blur**2
            covariances.append(turn @ size.diag() @ turn.T)
            weights.append(2.0**-level / (depth * beads))
            classes.append(y)
        tip = (root[0] + length * away[0], root[1] + length * away[1])
        if level + 1 < depth:
            for side in (-0.45, 0.45):
                grow(tip, angle + side, level + 1, y)

    for y, angle in enumerate((0.6, 1.7)):
        grow((0.0, 0.0), angle, 0, y)
    total = sum(weights)
    return GaussianMixture(means, torch.stack(covariances), [w / total for w in weights], classes)


def _noise(count: int, dim: int, source: torch.Generator) -> Any:
    """Normals (count, dim) whose memory runs along the batch."""
    return lambda: torch.randn(dim, count, dtype=torch.float64, generator=source).T


def _row(study: str, method: str, strength: float, measure: str, value: float, error: float, predicted: float) -> Row:
    return {
        "study": study,
        "method": method,
        "strength": strength,
        "measure": measure,
        "value": value,
        "error": error,
        "predicted": predicted,
    }


def run_neighbours(settings: Neighbours) -> PlaneResult:
    """All three; the points are those of the plane."""
    shown = plane(settings)
    return PlaneResult([*two_gaussians(settings), *two_intervals(settings), *shown.rows], shown.points)
