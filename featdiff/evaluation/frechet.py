"""The Frechet distance between Gaussians fitted to two sets of features (Dowson and Landau 1982; Heusel et al. 2017).

    d^2 = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

No matrix square root is taken: with ``R`` the symmetric root of ``S1``, ``tr (S1 S2)^(1/2)`` is the sum of the roots
of the eigenvalues of the symmetric ``R S2 R``. For fewer images than features the same number is the sum of the
singular values of ``A B^T``, A and B the centred features over ``sqrt(n - 1)``: an (n, m) matrix instead of a (D, D)
one. Both hold at any rank. The distance is biased upwards by few images: compare only distances of equal counts.
"""

import numpy as np

from featdiff.evaluation.distances import tiles


class Moments:
    """Mean and covariance of features that arrive in batches, in float64 (Chan, Golub, LeVeque 1979)."""

    def __init__(self, size: int):
        self.count = 0
        self.mean = np.zeros(size)  # (D,)
        self._scatter = np.zeros((size, size))  # (D, D) sum of outer products about the mean

    def add(self, batch: np.ndarray) -> "Moments":
        """Take in a batch (B, D); the result does not depend on how the features are cut into batches."""
        batch = np.asarray(batch, np.float64)
        if not len(batch):
            return self
        centre = batch.mean(0)
        centred, step = batch - centre, centre - self.mean
        total = self.count + len(batch)
        self._scatter += centred.T @ centred + np.outer(step, step) * (self.count * len(batch) / total)
        self.mean += step * (len(batch) / total)
        self.count = total
        return self

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance (D, D)."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two images at least, {self.count} came")
        return self._scatter / (self.count - 1)


def moments(features: np.ndarray) -> Moments:
    """Moments of features (N, D)."""
    total = Moments(features.shape[1])
    for _, part in tiles(features):
        total.add(part)
    return total


def distance_of_moments(real: Moments, generated: Moments) -> float:
    """The squared Frechet distance between two sets of moments, by symmetric eigenvalues."""
    s1, s2 = real.covariance, generated.covariance
    half = root(s1)
    product = half @ s2 @ half
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    overlap = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    return _combine(real.mean - generated.mean, np.trace(s1), np.trace(s2), overlap)


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """The squared Frechet distance between features (N, D) and (M, D), by whichever form is smaller."""
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"two images at least on each side, not {len(real)} and {len(generated)}")
    if max(len(real), len(generated)) >= real.shape[1]:
        return distance_of_moments(moments(real), moments(generated))
    (m1, a), (m2, b) = centred(real), centred(generated)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return _combine(m1 - m2, np.square(a).sum(), np.square(b).sum(), overlap)


def _combine(difference: np.ndarray, trace1: float, trace2: float, overlap: float) -> float:
    return max(0.0, float(difference @ difference + trace1 + trace2 - 2 * overlap))


def centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (D,) of features (N, D), and their deviations from it over ``sqrt(N - 1)``, float64."""
    features = features.astype(np.float64)
    mean = features.mean(0)
    return mean, (features - mean) / np.sqrt(len(features) - 1)


def root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric root of a covariance (D, D) of any rank."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    smallest = eigenvalues[-1] * len(eigenvalues) * np.finfo(float).eps  # what is below is rounding
    roots = np.sqrt(np.where(eigenvalues > smallest, eigenvalues, 0))
    return (vectors * roots) @ vectors.T
