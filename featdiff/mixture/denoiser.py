"""A Gaussian mixture as an exact denoiser, with the protocol of a network: ``denoiser(x, t, condition) -> E[x_0 |
x_t]``.

For component k, ``E[x_0 | x_t, k] = mu_k + G_k (x_t - C mu_k)`` with ``G_k = Sigma_k C' S_k^-1`` and
``S_k = C Sigma_k C' + sigma^2 I``; the mixture weighs them by the posterior. Unlike Tweedie's formula this needs no
inverse of ``C``. With a shared covariance the posterior's logits are linear in ``x``, so a call is three small matrix
products and a softmax.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from featdiff.errors import UserError
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.processes import Process, VarianceExploding

CACHED_LEVELS = 20_000
FEW_LEVELS = 8  # in one call: below, preparing each level costs less than a matrix for each row


class MixtureDenoiser:
    """``denoiser(x, t, condition)``: ``x`` (B, ...) with d numbers a row, levels ``t`` (B,), classes (B,) or None; -1
    is none.

    The arithmetic is in float64 on the mixture's device; the estimate has the dtype of ``x``. It is fastest on an ``x``
    whose memory runs along the batch (a transposed (d, B) tensor) and on one level for all rows.
    """

    def __init__(self, mixture: GaussianMixture, process: Process | None = None):
        self.mixture = mixture
        self.process = process or VarianceExploding()
        self._levels: dict[float, Affine] = {}
        self._given: dict[int, MixtureDenoiser] = {}

    def given(self, y: int) -> "MixtureDenoiser":
        """The unconditional denoiser of class ``y``."""
        if y not in self._given:
            self._given[y] = MixtureDenoiser(self.mixture.given(y), self.process)
        return self._given[y]

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        if condition is not None:
            return self._conditional(x, t, torch.as_tensor(condition, device=x.device))
        flat = x.to(self.mixture.means).flatten(1)  # (B, d)
        if flat.shape[1] != self.mixture.dim:
            raise UserError(f"rows of {flat.shape[1]} numbers do not fit a mixture in {self.mixture.dim} dimensions")
        if not len(t):
            return x.clone()
        one = _common(t)
        clean = self.level(one).clean(flat.T).T if one is not None else self._each_its_level(flat, t)
        return clean.to(x.dtype).reshape(x.shape) if x.ndim != 2 else clean.to(x.dtype)

    def level(self, t: float) -> "Affine":
        """What a call at level ``t`` needs, computed once."""
        if t not in self._levels:
            if len(self._levels) >= CACHED_LEVELS:
                self._levels.clear()
            self._levels[t] = affine(self.mixture, self.process, t)
        return self._levels[t]

    def _conditional(self, x: Tensor, t: Tensor, classes: Tensor) -> Tensor:
        if classes.shape != (len(x),):
            raise UserError(f"classes of shape {tuple(classes.shape)} do not fit {len(x)} rows: give one a row")
        one = _common(classes) if len(x) else -1
        if one is not None:
            return self(x, t) if one < 0 else self.given(int(one))(x, t)
        clean = torch.empty_like(x)
        for y in classes.unique().tolist():
            rows = classes == y
            clean[rows] = self(x[rows], t[rows]) if y < 0 else self.given(y)(x[rows], t[rows])
        return clean

    def _each_its_level(self, x: Tensor, t: Tensor) -> Tensor:
        """As :class:`Affine`, for rows of several levels: level by level if they are few, else all rows at once."""
        levels, which = t.unique(return_inverse=True)
        if len(levels) <= FEW_LEVELS:
            clean = torch.empty_like(x)
            for i, level in enumerate(levels.tolist()):
                clean[which == i] = self.level(level).clean(x[which == i].T).T
            return clean
        return _clean_by_row(self.mixture, self.process, x, t)


@dataclass(frozen=True)
class Affine:
    """One level of one mixture: the logits and the clean estimate as small matrices acting on ``x`` (d, B)."""

    gain: Tensor  # (d, d) shared, (K, d, d) own: G
    offset: Tensor  # (d, K) shared, (K, d, 1) own: mu_k - G C mu_k
    slope: Tensor  # (K, d) shared: mu_k' C' S^-1; (K d, d) own: the inverse Cholesky factors
    centre: Tensor  # (K, 1) shared: the logits' constant; (K d, 1) own: minus the white means
    constant: Tensor  # (K, 1): log weight, and own: minus half the log determinant
    shared: bool

    def posterior(self, x: Tensor) -> Tensor:
        """``P(component | x)``, of shape (K, B)."""
        if self.shared:
            return _softmax(torch.addmm(self.centre, self.slope, x))
        white = torch.addmm(self.centre, self.slope, x).view(len(self.constant), -1, x.shape[1])
        return _softmax(torch.add(self.constant, white.square_().sum(1), alpha=-0.5))

    def clean(self, x: Tensor) -> Tensor:
        """``E[x_0 | x_t]``, of shape (d, B)."""
        if len(self.constant) == 1:
            offset, gain = (self.offset, self.gain) if self.shared else (self.offset[0], self.gain[0])
            return torch.addmm(offset, gain, x)
        posterior = self.posterior(x)
        if self.shared:
            return torch.addmm(self.offset @ posterior, self.gain, x)
        each = self.gain @ x + self.offset  # (K, d, B)
        return (posterior[:, None] * each).sum(0)


def _softmax(logits: Tensor) -> Tensor:
    """Over the first axis, in place: with few components several times as fast as the library's."""
    weights = logits.sub_(logits.amax(0)).exp_()
    return weights.mul_(weights.sum(0).reciprocal_())


def affine(mixture: GaussianMixture, process: Process, t: float) -> Affine:
    """The matrices of level ``t``."""
    operator = process.operator(t).to(mixture.means)
    matrix = operator * torch.eye(mixture.dim).to(mixture.means) if operator.ndim == 0 else operator  # C (m, d)
    noisy = mixture.at(process, t)
    gain = torch.cholesky_solve(matrix @ mixture.covariances, noisy.factors).mT  # (1 or K, d, m)
    offset = (mixture.means[..., None] - gain @ noisy.means[..., None])[..., 0]  # (K, d)
    if mixture.shared:
        slope = torch.cholesky_solve(noisy.means.T, noisy.factors[0]).T  # (K, m)
        constant = mixture.log_weights[:, None]
        centre = constant - (slope * noisy.means).sum(1, keepdim=True) / 2
        return Affine(gain[0], offset.T.contiguous(), slope, centre, constant, shared=True)
    eye = torch.eye(noisy.dim).to(mixture.means).expand_as(noisy.factors)
    inverse = torch.linalg.solve_triangular(noisy.factors, eye, upper=False)  # (K, m, m)
    centre = -(inverse @ noisy.means[..., None]).flatten(0, 1)  # (K m, 1)
    log_det = noisy.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = (mixture.log_weights - log_det)[:, None]
    return Affine(gain, offset[..., None], inverse.flatten(0, 1), centre, constant, shared=False)


def _clean_by_row(mixture: GaussianMixture, process: Process, x: Tensor, t: Tensor) -> Tensor:
    """Every row its own level, ``x`` (B, m): the formulas of the module's docstring, batched over rows and
    components."""
    operators, sigmas = (values.to(mixture.means) for values in process.rows(t.to(mixture.means)))
    noise = sigmas**2
    if operators.ndim == 1:
        return _clean_in_eigenbasis(mixture, operators, noise, x)
    crossed = operators[:, None] @ mixture.covariances  # (B, 1 or K, m, d)
    eye = torch.eye(operators.shape[1]).to(mixture.means)
    factors = torch.linalg.cholesky(crossed @ operators[:, None].mT + noise[:, None, None, None] * eye)
    away = x[:, None] - torch.einsum("bmd,kd->bkm", operators, mixture.means)  # (B, K, m)
    solved = torch.cholesky_solve(away[..., None], factors.expand(-1, mixture.count, -1, -1))[..., 0]
    log_det = factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    posterior = (mixture.log_weights - log_det - (away * solved).sum(-1) / 2).softmax(1)
    each = mixture.means + torch.einsum("bkmd,bkm->bkd", crossed.expand(-1, mixture.count, -1, -1), solved)
    return torch.einsum("bk,bkd->bd", posterior, each)


def _clean_in_eigenbasis(mixture: GaussianMixture, scale: Tensor, noise: Tensor, x: Tensor) -> Tensor:
    """As :func:`_clean_by_row` for ``C = scale`` (B,): in each component's eigenbasis all is diagonal."""
    sizes, turns = torch.linalg.eigh(mixture.covariances)  # (1 or K, d), (1 or K, d, d)
    turns = turns.expand(mixture.count, -1, -1)
    away = torch.einsum("bkd,kde->bke", x[:, None] - scale[:, None, None] * mixture.means, turns)
    variance = scale[:, None, None] ** 2 * sizes + noise[:, None, None]  # (B, 1 or K, d)
    exponent = (away.square() / variance + variance.log()).sum(-1) / 2
    posterior = (mixture.log_weights - exponent).softmax(1)
    pulled = away * (scale[:, None, None] * sizes / variance)
    each = mixture.means + torch.einsum("bke,kde->bkd", pulled, turns)
    return torch.einsum("bk,bkd->bd", posterior, each)


def _common(values: Tensor) -> float | None:
    """The value all entries share, or None."""
    if values.stride(0) == 0 or len(values) == 1 or bool((values == values[0]).all()):
        return values[0].item()
    return None
