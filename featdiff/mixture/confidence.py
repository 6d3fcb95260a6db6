"""The first two claims of arXiv 2403.01639: guidance raises confidence, path by path, and lowers differential
entropy."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from featdiff import seeds
from featdiff.diffusion.ornstein_uhlenbeck import euler_ode, euler_sde, times
from featdiff.errors import UserError
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.entropy import class_entropy, mean, nearest_neighbour_entropy
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.paths import Paths, guided_paths
from featdiff.mixture.processes import OrnsteinUhlenbeck
from featdiff.settings.mixture import GuidanceCase, MixtureLaw

SAMPLERS = {"ddim": euler_ode, "ddpm": euler_sde}


class CaseResult(NamedTuple):
    """Rows of the table, and the ends of the paths (strengths, N, d) by sampler."""

    rows: list[dict[str, Any]]
    ends: dict[str, Tensor]


def build(law: MixtureLaw) -> GaussianMixture:
    """The mixture that settings describe."""
    covariances: Any = law.covariances if law.covariance is None else law.covariance
    if covariances is None:
        covariances = torch.eye(len(law.means[0]), dtype=torch.float64)
    return GaussianMixture(law.means, covariances, law.weights, law.classes)


def run_case(name: str, case: GuidanceCase, *, threads: int = 1) -> CaseResult:
    """Run one case with both samplers."""
    mixture = build(case.law)
    if case.target not in mixture.classes:
        raise UserError(f"mixture case {name}: target {case.target} is no class of its law: {mixture.classes.tolist()}")
    denoiser = MixtureDenoiser(mixture, OrnsteinUhlenbeck())
    levels = times(case.time, case.steps)
    condition = smallest_inner_product(denoiser, case.target, levels)
    rows, ends = [], {}
    for sampler, run in SAMPLERS.items():
        paths = guided_paths(
            denoiser,
            run,
            y=case.target,
            etas=case.etas,
            levels=levels,
            count=case.paths,
            seed=case.seed,
            entropy=sampler == "ddim",
            threads=threads,
        )
        for row in _measure(denoiser, case, paths, exact_entropy=sampler == "ddim"):
            rows.append({"case": name, "sampler": sampler, **row, "inner_product": condition, "paths": case.paths})
        ends[sampler] = paths.ends
    return CaseResult(rows, ends)


def _measure(
    denoiser: MixtureDenoiser, case: GuidanceCase, paths: Paths, *, exact_entropy: bool
) -> list[dict[str, Any]]:
    mixture = denoiser.mixture
    odds = torch.stack([mixture.log_odds(ends, case.target) for ends in paths.ends])  # (strengths, N)
    unguided = class_entropy(
        denoiser, case.target, draws=100_000, generator=seeds.generator(case.seed, "class entropy")
    )
    rows = []
    for eta, own, lost, ends in zip(case.etas, odds, paths.lost, paths.ends, strict=True):
        confidence, taken = mean(own.sigmoid()), mean(lost)
        gain = mean((own > odds[0]).double())
        neighbours = nearest_neighbour_entropy(ends.numpy(), neighbours=case.neighbours)
        rows.append(
            {
                "eta": eta,
                "confidence": confidence.value,
                "confidence_error": confidence.error,
                "gaining": gain.value if eta > 0 else math.nan,
                "gaining_error": gain.error if eta > 0 else math.nan,
                "entropy": unguided.value - taken.value if exact_entropy else math.nan,
                "entropy_error": math.hypot(unguided.error, taken.error) if exact_entropy else math.nan,
                "entropy_knn": neighbours.value,
                "entropy_knn_error": neighbours.error,
            }
        )
    return rows


def smallest_inner_product(denoiser: MixtureDenoiser, y: int, levels: Tensor) -> float:
    """The least ``<S^-1 (m_y - m_a), S^-1 (m_y - m_b)>`` over pairs of other components and times, in units of its
    scale.

    ``m`` and ``S`` are the noisy means and covariance; for ``Sigma = s I`` this is the cosine of ``mu_y - mu_a`` and
    ``mu_y - mu_b``, the condition of the paper: where it is not negative, guidance raises every path's confidence. Not
    a number for own covariances or a class of several components, for which the paper has no condition.
    """
    mixture = denoiser.mixture
    own = (mixture.classes == y).nonzero().flatten()
    if not mixture.shared or len(own) != 1:
        return math.nan
    least = math.inf
    for t in levels[:: max(1, len(levels) // 50)].tolist():
        slope = denoiser.level(t).slope
        away = (slope[own] - slope)[torch.arange(mixture.count) != own]
        away = away / away.norm(dim=1, keepdim=True)
        least = min(least, (away @ away.T).min().item())
    return least if abs(least) > 1e-9 else 0.0
