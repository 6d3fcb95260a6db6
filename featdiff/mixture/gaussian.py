"""Exact Gaussian mixtures: sample, density, score, posterior, divergence, in float64 and by log-sum-exp throughout.

A mixture pushed through a linear corruption ``x_t = C_t x_0 + sigma_t n`` is a Gaussian mixture again, so every
quantity at every time is this class's, of ``mixture.at(process, t)``. Components belong to classes (by default each its
own); the law of one class, ``mixture.given(y)``, is a mixture too.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from featdiff.errors import UserError
from featdiff.mixture.processes import Process

Array = Tensor | np.ndarray | Sequence


class GaussianMixture:
    """``sum_k w_k N(mu_k, Sigma_k)``: means (K, d), covariances (d, d) shared or (K, d, d) own, weights (K,).

    ``weights`` default to equal, ``classes`` (K,) to each component its own class. Raises :class:`UserError` for
    whatever is not a mixture: a covariance that is not symmetric and positive definite, weights that are negative or do
    not sum to one, dimensions that disagree.
    """

    def __init__(self, means: Array, covariances: Array, weights: Array | None = None, classes: Array | None = None):
        self.means = _matrix("means", means)  # (K, d)
        count = len(self.means)
        self.covariances = _covariances(covariances, self.means)  # (1 or K, d, d)
        self.shared = self.covariances.shape[0] == 1
        self.factors = _cholesky(self.covariances)  # (1 or K, d, d), lower
        self.log_weights = _log_weights(weights, count, self.means)  # (K,)
        self.classes = _classes(classes, count, self.means)  # (K,)

    @property
    def count(self) -> int:
        return self.means.shape[0]

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @property
    def device(self) -> torch.device:
        return self.means.device

    @property
    def weights(self) -> Tensor:
        return self.log_weights.exp()

    def to(self, device: torch.device | str) -> "GaussianMixture":
        """The same mixture on another device."""
        parts = (self.means, self.covariances, self.weights, self.classes)
        return GaussianMixture(*(part.to(device) for part in parts))

    def given(self, y: int) -> "GaussianMixture":
        """The law of class ``y``, its weights summing to one."""
        rows = (self.classes == y).nonzero().flatten()
        if not len(rows):
            raise UserError(f"the mixture has no class {y}; its classes are {sorted(set(self.classes.tolist()))}")
        covariances = self.covariances if self.shared else self.covariances[rows]
        weights = torch.softmax(self.log_weights[rows], 0)
        return GaussianMixture(self.means[rows], covariances, weights, self.classes[rows])

    def at(self, process: Process, t: float) -> "GaussianMixture":
        """The law of ``x_t``: means ``C mu_k``, covariances ``C Sigma_k C' + sigma^2 I``."""
        operator, sigma = process.operator(t).to(self.means), process.sigma(t)
        means = self.means * operator if operator.ndim == 0 else self.means @ operator.T
        spread = self.covariances * operator**2 if operator.ndim == 0 else operator @ self.covariances @ operator.T
        noise = sigma**2 * torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
        return GaussianMixture(means, spread + noise, self.weights, self.classes)

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw ``count`` points (count, d) and their components (count,), on the device of ``generator`` (the CPU)."""
        if count < 0:
            raise UserError(f"cannot draw {count} points; the number must not be negative")
        source = generator.device if generator is not None else torch.device("cpu")
        if not count:
            return self.means[:0], torch.zeros(0, dtype=torch.int64, device=self.device)
        drawn = torch.multinomial(self.weights.to(source), count, replacement=True, generator=generator)
        components = drawn.to(self.device)
        normal = torch.randn(count, self.dim, dtype=torch.float64, device=source, generator=generator).to(self.device)
        if self.shared:
            return self.means[components] + normal @ self.factors[0].T, components
        return self.means[components] + torch.einsum("nij,nj->ni", self.factors[components], normal), components

    def joint_log_density(self, x: Tensor) -> Tensor:
        """``log w_k + log N(x; mu_k, Sigma_k)``, of shape (N, K)."""
        white = torch.linalg.solve_triangular(self.factors, self._offsets(x), upper=False)  # (K, d, N)
        log_det = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (1 or K,)
        constant = self.log_weights - log_det - self.dim / 2 * math.log(2 * math.pi)
        return (constant[:, None] - white.square().sum(1) / 2).T

    def log_density(self, x: Tensor) -> Tensor:
        """``log p(x)``, of shape (N,)."""
        return self.joint_log_density(x).logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """``P(component | x)``, of shape (N, K)."""
        return self.joint_log_density(x).softmax(1)

    def log_odds(self, x: Tensor, y: int) -> Tensor:
        """``log P(y|x) - log(1 - P(y|x))`` of class ``y``, exact also where ``P(y|x)`` rounds to one; shape (N,)."""
        joint, mine = self.joint_log_density(x), self.classes == y
        return joint[:, mine].logsumexp(1) - joint[:, ~mine].logsumexp(1)

    def component_scores(self, x: Tensor) -> Tensor:
        """``grad log N(x; mu_k, Sigma_k)``, of shape (N, K, d)."""
        return -torch.cholesky_solve(self._offsets(x), self.factors.expand(self.count, -1, -1)).permute(2, 0, 1)

    def score(self, x: Tensor) -> Tensor:
        """``grad log p(x)``, of shape (N, d)."""
        return torch.einsum("nk,nkd->nd", self.posterior(x), self.component_scores(x))

    def guided_score(self, x: Tensor, y: int, eta: float) -> Tensor:
        """``(1 + eta) grad log p(x|y) - eta grad log p(x)`` (arXiv 2403.01639, equation 3), of shape (N, d)."""
        return (1 + eta) * self.given(y).score(x) - eta * self.score(x)

    def score_divergence(self, x: Tensor) -> Tensor:
        """``tr Hessian log p(x) = sum_k q_k (|s_k|^2 - tr Sigma_k^-1) - |s|^2``, of shape (N,)."""
        posterior, scores = self.posterior(x), self.component_scores(x)
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        traces = torch.cholesky_solve(eye.expand_as(self.factors), self.factors).diagonal(dim1=-2, dim2=-1).sum(-1)
        mean = torch.einsum("nk,nkd->nd", posterior, scores)
        spread = (scores - mean[:, None]).square().sum(2)  # (N, K): the variance form does not cancel
        return (posterior * (spread - traces)).sum(1)

    def mean(self) -> Tensor:
        """``E x``, of shape (d,)."""
        return self.weights @ self.means

    def covariance(self) -> Tensor:
        """``Cov x``, of shape (d, d)."""
        centred = self.means - self.mean()
        between = torch.einsum("k,ki,kj->ij", self.weights, centred, centred)
        return between + (self.weights[:, None, None] * self.covariances).sum(0)

    def _offsets(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise UserError(
                f"points of shape {tuple(x.shape)} do not fit a mixture in {self.dim} dimensions: give (N, d)"
            )
        return (x.to(self.means)[None] - self.means[:, None]).mT  # (K, d, N)


def _tensor(name: str, values: Array) -> Tensor:
    try:
        tensor = torch.as_tensor(np.asarray(values) if not isinstance(values, Tensor) else values, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"mixture {name}: not an array of numbers ({error})") from None
    if not bool(tensor.isfinite().all()):
        raise UserError(f"mixture {name}: every number must be finite")
    return tensor


def _matrix(name: str, values: Array) -> Tensor:
    tensor = _tensor(name, values)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise UserError(f"mixture {name}: give one row a component, shape (K, d), not {tuple(tensor.shape)}")
    return tensor


def _covariances(values: Array, means: Tensor) -> Tensor:
    tensor, (count, dim) = _tensor("covariances", values).to(means.device), means.shape
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.shape[1:] != (dim, dim) or tensor.shape[0] not in (1, count):
        raise UserError(
            f"mixture covariances of shape {tuple(tensor.shape)} do not fit means of shape {(count, dim)}: "
            f"give one shared ({dim}, {dim}) or one a component ({count}, {dim}, {dim})"
        )
    scale = tensor.abs().amax(dim=(1, 2), keepdim=True)
    if bool(((tensor - tensor.mT).abs() > 1e-9 * scale).any()):
        raise UserError("mixture covariances must be symmetric")
    return (tensor + tensor.mT) / 2


def _cholesky(covariances: Tensor) -> Tensor:
    factors, info = torch.linalg.cholesky_ex(covariances)
    bad = info.nonzero().flatten().tolist()
    if bad:
        smallest = torch.linalg.eigvalsh(covariances[bad[0]])[0].item()
        raise UserError(
            f"mixture covariance {bad[0]} is not positive definite (smallest eigenvalue {smallest:.3g}): "
            "all eigenvalues must be above zero"
        )
    return factors


def _log_weights(values: Array | None, count: int, means: Tensor) -> Tensor:
    if values is None:
        return torch.full((count,), -math.log(count), dtype=means.dtype, device=means.device)
    weights = _tensor("weights", values).to(means.device)
    if weights.shape != (count,):
        raise UserError(f"mixture weights of shape {tuple(weights.shape)} do not fit {count} components")
    if bool((weights < 0).any()):
        raise UserError(f"mixture weights must not be negative, got {weights.tolist()}")
    total = weights.sum().item()
    if abs(total - 1) > 1e-6:
        raise UserError(f"mixture weights must sum to one, they sum to {total:.8g}: divide each by it")
    return (weights / total).log()


def _classes(values: Array | None, count: int, means: Tensor) -> Tensor:
    if values is None:
        return torch.arange(count, device=means.device)
    classes = torch.as_tensor(values, dtype=torch.int64, device=means.device)
    if classes.shape != (count,) or bool((classes < 0).any()):
        raise UserError(f"mixture classes must be {count} numbers from 0, one a component, got {classes.tolist()}")
    return classes
