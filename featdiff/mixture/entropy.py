"""Differential entropy: the k-nearest-neighbour estimator, and what guidance takes from it along the ODE.

No kept library offers the estimator for points in several dimensions (SciPy's is for one), so it is here, tested on
Gaussians.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln
from torch import Tensor

from featdiff.errors import UserError
from featdiff.mixture.denoiser import MixtureDenoiser


class Estimate(NamedTuple):
    """A mean and its standard error."""

    value: float
    error: float


def mean(values: Tensor) -> Estimate:
    """The mean of independent ``values`` (N,) and its standard error."""
    return Estimate(values.mean().item(), values.std().item() / math.sqrt(len(values)))


def nearest_neighbour_entropy(points: np.ndarray, *, neighbours: int = 5) -> Estimate:
    """Kozachenko and Leonenko (1987): ``psi(N) - psi(k) + log V_d + d mean log r_k`` in nats, for ``points`` (N, d).

    ``r_k`` is the distance to the k-th neighbour and ``V_d`` the volume of the unit ball. Points that coincide have no
    density: their entropy is minus infinity.
    """
    count, dim = points.shape
    if not 1 <= neighbours < count:
        raise UserError(f"the {neighbours}-nearest-neighbour entropy needs more than {neighbours} points, got {count}")
    radius = cKDTree(points).query(points, k=neighbours + 1, workers=-1)[0][:, -1]
    if not radius.all():
        return Estimate(-math.inf, 0.0)
    ball = dim / 2 * math.log(math.pi) - gammaln(dim / 2 + 1)
    each = digamma(count) - digamma(neighbours) + ball + dim * np.log(radius)
    return Estimate(float(each.mean()), float(each.std() / math.sqrt(count)))


def lost_to_guidance(denoiser: MixtureDenoiser, x: Tensor, t: float, y: int) -> Tensor:
    """``div (score - score of class y)`` at ``x`` (N, d): the entropy a unit of guidance takes in a unit of time; (N,).

    Along the guided probability flow ``dH/ds = E div drift``, so with the Ornstein-Uhlenbeck process
    ``H_eta = H_0 - eta * integral E div (score - score_y) dt``. With one component a class and a shared covariance the
    integrand is ``tr(S^-1 Cov_q(m) S^-1)`` with the noisy means ``m = C mu`` and the posterior ``q``.
    """
    mixture, level = denoiser.mixture, denoiser.level(t)
    if mixture.shared and int((mixture.classes == y).sum()) == 1:
        own = int((mixture.classes == y).nonzero()[0])
        away = level.slope - level.slope[own]  # S^-1 (m_k - m_y), (K, d)
        posterior = level.posterior(x.T)  # (K, N)
        return away.square().sum(1) @ posterior - (away.T @ posterior).square().sum(0)
    noisy = mixture.at(denoiser.process, t)
    return noisy.score_divergence(x) - noisy.given(y).score_divergence(x)


def class_entropy(denoiser: MixtureDenoiser, y: int, *, draws: int, generator: torch.Generator) -> Estimate:
    """Entropy of class ``y`` in nats: exact for one Gaussian, else the mean of ``-log p`` over ``draws`` samples."""
    law = denoiser.mixture.given(y)
    if law.count == 1:
        return Estimate((torch.logdet(2 * math.pi * math.e * law.covariances[0]) / 2).item(), 0.0)
    return mean(-law.log_density(law.sample(draws, generator)[0]))
