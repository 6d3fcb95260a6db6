"""Every sampler of the package against the exact conditional law of a random mixture, and its order in the number of
steps.

Each sampler starts from exact draws of the noisy law, so what is left is the sampler's own error: the sliced
Wasserstein distance of its samples to as many exact draws, beside the distance that other exact draws have by chance.
The order is the slope of the error in the number of steps: for samplers that draw no noise the median distance to the
same path in very fine steps (a mean would be ruled by the few paths that end at another component), for the others the
distance in law less the part that chance explains. The ascent guesses its noise level from the residual, so it
converges to another law: a good one only in many dimensions.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from featdiff import seeds
from featdiff.diffusion import ornstein_uhlenbeck as ou
from featdiff.diffusion import samplers
from featdiff.diffusion.corruptions import variance_exploding
from featdiff.diffusion.denoiser import Sampler
from featdiff.diffusion.levels import karras
from featdiff.kinds.samplers import SAMPLERS, Discrete
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.distances import directions, sliced_wasserstein
from featdiff.mixture.entropy import Estimate
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.paths import GRAIN, fill_cache, in_blocks
from featdiff.mixture.processes import OrnsteinUhlenbeck, Process, VarianceExploding
from featdiff.settings.mixture import Convergence

FINE = 8  # the reference of the path error has this many times the most steps
FOLLOWED = 1000  # paths of the path error


class Kind(NamedTuple):
    """A sampler by its number of steps, with its process, its grid of levels, and whether it draws noise."""

    sampler: Callable[[int], Sampler]
    process: Process
    levels: Callable[[int], Tensor]
    noisy: bool
    fewest: int = 1


class ConvergenceResult(NamedTuple):
    rows: list[dict[str, Any]]
    orders: list[dict[str, Any]]


def kinds(settings: Convergence) -> dict[str, Kind]:
    """The samplers by name: those of networks in the exploding process, Euler's in the Ornstein-Uhlenbeck process."""
    exploding, preserving = VarianceExploding(), OrnsteinUhlenbeck()
    grid = partial(karras, settings.sigma_start, settings.sigma_end)
    even = partial(ou.times, settings.time)
    contraction = math.log(settings.sigma_start / settings.sigma_end)

    def discrete(kind: type[Discrete], steps: int) -> Sampler:
        return kind.model_validate({"kind": kind.called(), "steps": steps}).function(variance_exploding())

    def ascent(steps: int) -> Sampler:
        return partial(samplers.ascent, step=2 * contraction / steps, beta=0.5, max_steps=20 * steps)

    of_steps = {name: kind for name, kind in SAMPLERS.items() if issubclass(kind, Discrete)}
    noiseless_first = sorted(of_steps, key=lambda name: of_steps[name].noisy)
    return {
        **{
            name: Kind(partial(discrete, of_steps[name]), exploding, grid, noisy=of_steps[name].noisy)
            for name in noiseless_first
        },
        "euler ode": Kind(lambda steps: ou.euler_ode, preserving, even, noisy=False),
        "euler sde": Kind(lambda steps: ou.euler_sde, preserving, even, noisy=True),
        "ascent": Kind(ascent, exploding, grid, noisy=True, fewest=math.ceil(2 * contraction)),
    }


def random_mixture(components: int, dim: int, seed: int) -> GaussianMixture:
    """Means at distance about 4, own covariances of condition up to about 30, uneven weights, two classes."""
    source = seeds.generator(seed, "random mixture", components, dim)
    means = 3 / math.sqrt(dim) * torch.randn(components, dim, dtype=torch.float64, generator=source) * math.sqrt(2)
    turns = torch.linalg.qr(torch.randn(components, dim, dim, dtype=torch.float64, generator=source)).Q
    sizes = 0.2 + 0.8 * torch.rand(components, dim, dtype=torch.float64, generator=source)
    covariances = turns @ torch.diag_embed(sizes**2) @ turns.mT
    weights = 0.5 + torch.rand(components, dtype=torch.float64, generator=source)
    classes = (torch.arange(components) * 2 // components).tolist()
    return GaussianMixture(means, (covariances + covariances.mT) / 2, weights / weights.sum(), classes)


def run_convergence(settings: Convergence, *, threads: int = 1) -> ConvergenceResult:
    """Measure every sampler in every dimension at every number of steps."""
    rows, orders = [], []
    for dim in settings.dims:
        mixture = random_mixture(settings.components, dim, settings.seed)
        law = mixture.given(0)
        exact, _ = law.sample(settings.points, seeds.generator(settings.seed, "exact", dim))
        along = directions(settings.projections, dim, seeds.generator(settings.seed, "projections", dim))
        chance = _chance(law, exact, along, settings, threads)
        for name, kind in kinds(settings).items():
            measured = _measure(mixture, kind, exact, along, settings, threads)
            for steps, (distance, path) in measured.items():
                rows.append(
                    {
                        "dim": dim,
                        "sampler": name,
                        "steps": steps,
                        "distance": distance,
                        "chance": chance.value,
                        "chance_spread": chance.error,
                        "path_error": path,
                    }
                )
            orders.append({"dim": dim, "sampler": name, **_order(measured, chance, kind)})
    return ConvergenceResult(rows, orders)


def _chance(law: GaussianMixture, exact: Tensor, along: Tensor, settings: Convergence, threads: int) -> Estimate:
    """Distances of further exact draws: their mean and standard deviation."""
    sources = [seeds.generator(settings.seed, "chance", law.dim, i) for i in range(settings.redraws)]
    with ThreadPoolExecutor(threads) as pool:
        draws = (law.sample(settings.points, source)[0] for source in sources)
        found = torch.tensor(list(pool.map(lambda draw: sliced_wasserstein(draw, exact, along), draws)))
    return Estimate(found.mean().item(), found.std().item())


def _measure(
    mixture: GaussianMixture, kind: Kind, exact: Tensor, along: Tensor, settings: Convergence, threads: int
) -> dict[int, tuple[float, float]]:
    """Distance in law and path error by the number of steps."""
    denoiser, dim = MixtureDenoiser(mixture, kind.process), mixture.dim
    top = kind.levels(min(settings.steps))[0].item()
    source = seeds.generator(settings.seed, "start", dim)
    start, _ = mixture.given(0).at(kind.process, top).sample(settings.points, source)
    fine = None if kind.noisy else _fine(mixture, kind.process, top, start[:FOLLOWED], settings)

    def run(steps: int, index: int, size: int) -> Tensor:
        source = seeds.generator(settings.seed, "noise", dim, steps, index)
        x = start[index * GRAIN :][:size].T.contiguous().T  # memory along the batch
        classes = torch.zeros((), dtype=torch.int64).expand(size)
        normal = partial(torch.randn, dim, size, dtype=torch.float64, generator=source)
        return kind.sampler(steps)(denoiser, x, kind.levels(steps), lambda: normal().T, classes)

    found = {}
    for steps in (n for n in settings.steps if n >= kind.fewest):
        fill_cache(denoiser, 0, kind.levels(steps))
        end = torch.cat(in_blocks(settings.points, partial(run, steps), threads=threads))
        path = math.nan if fine is None else (end[: len(fine)] - fine).norm(dim=1).median().item()
        found[steps] = (sliced_wasserstein(end, exact, along), path)
    return found


def _fine(mixture: GaussianMixture, process: Process, top: float, x: Tensor, settings: Convergence) -> Tensor:
    """Where the probability flow takes ``x``: Heun's method in very fine steps, after a change to the exploding
    process."""
    scale = process.operator(top).item()
    levels = karras(process.sigma(top) / scale, settings.sigma_end, FINE * max(settings.steps))
    classes = torch.zeros((), dtype=torch.int64).expand(len(x))
    x = (x / scale).T.contiguous().T
    return samplers.heun(MixtureDenoiser(mixture), x, levels, lambda: x, classes)


def _order(measured: dict[int, tuple[float, float]], chance: Estimate, kind: Kind) -> dict[str, Any]:
    """Minus the slope of ``log error`` against ``log steps``: for path errors over the three finest grids, for
    distances in law over the grids whose error rises three deviations above chance."""
    if kind.noisy:
        errors = {n: d - chance.value for n, (d, _) in measured.items() if d > chance.value + 3 * chance.error}
    else:
        errors = {n: measured[n][1] for n in sorted(measured)[-3:]}
    if len(errors) < 2:
        return {"order": math.nan, "from_steps": 0, "to_steps": 0}
    steps = torch.tensor(list(errors), dtype=torch.float64).log()
    sizes = torch.tensor(list(errors.values()), dtype=torch.float64).log()
    slope = ((steps - steps.mean()) @ sizes / (steps - steps.mean()).square().sum()).item()
    return {"order": -slope, "from_steps": min(errors), "to_steps": max(errors)}
