"""How far each image moves a Frechet distance, and with it the distance's standard error and its value at infinitely
many images.

The standard error is the infinitesimal jackknife's (Jaeckel 1972; Efron 1982, chapter 6): with ``d_i`` the derivative
of the distance to the weight of image i, the variance is ``sum d_i^2`` over the images of both sides. A bootstrap over
images would not do: a resampled set holds fewer different images, and few images move the distance upwards by more than
its error. The interval is one for the *expected distance at this count*; it knows nothing of the bias of few images.

What the bias hides is estimated by the straight line in 1/N of FID-infinity (Chong and Forsyth, arXiv:1911.07023),
here through the distances of all n images and of their halves. The line holds where there are images enough: with
fewer than there are features about half of the bias is left (docs/explanation/measures.md), and the line is not drawn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from featdiff.evaluation.distances import tiles
from featdiff.evaluation.frechet import Moments, centred, moments, root

NORMAL = 1.959964  # two-sided 95% of a normal law
SMALLEST = 1e-6  # singular values below this share of the largest are rounding (they are roots of eigenvalues)


class Influences(NamedTuple):
    """A distance, and its derivative to the weight of each image over their number: the images of a side add up to
    zero."""

    value: float
    real: np.ndarray  # (N,)
    generated: np.ndarray  # (M,)

    def of(self, side: int) -> np.ndarray:
        """Those of the real images (0) or of the generated ones (1)."""
        return (self.real, self.generated)[side]


def influences(real: np.ndarray, generated: np.ndarray) -> Influences:
    """The squared Frechet distance between features (N, D) and (M, D), as :mod:`featdiff.evaluation.frechet` has it,
    with its influences."""
    if min(len(real), len(generated)) < 2:
        raise ValueError(f"two images at least on each side, not {len(real)} and {len(generated)}")
    if max(len(real), len(generated)) >= real.shape[1]:
        return _by_moments(real, generated)
    return _by_images(real, generated)


def extrapolated(real: np.ndarray, generated: np.ndarray, whole: Influences) -> Influences:
    """The intercept at 1/N = 0 of the line through ``whole`` and the mean distance of two halves of both sides.

    The halves are every other row, so that they hold as many of each class where the rows are in the order of classes.
    """
    count = min(len(real), len(generated))
    half = count // 2
    excess = half / (count - half)  # of all images over infinitely many, in steps from all to half: 1 for an even count
    value = (1 + excess) * whole.value
    of_real, of_generated = (1 + excess) * whole.real, (1 + excess) * whole.generated
    for start in (0, 1):
        x, y = (np.arange(start, len(side), 2)[: len(side) // 2] for side in (real, generated))
        part = influences(real[x], generated[y])
        value -= excess / 2 * part.value
        of_real[x] -= excess / 2 * part.real
        of_generated[y] -= excess / 2 * part.generated
    return Influences(value, of_real, of_generated)


class Draw(NamedTuple):
    """One draw of both sides: their rows, their strata (:class:`featdiff.evaluation.selection.Side`), and how the
    images move the value."""

    rows: tuple[np.ndarray, np.ndarray]
    strata: tuple[Sequence[int], Sequence[int]]
    moved: Influences


def half_width(draws: Sequence[Draw]) -> float:
    """Half of the 95% interval of the mean value of some draws.

    An image that is in several draws counts with the sum of its influences: draws that share images make no narrower
    interval. What all images of a class of fixed size share is no error.
    """
    variance = 0.0
    for side in (0, 1):
        rows = np.concatenate([draw.rows[side] for draw in draws])
        parts = [_without_means(draw.moved.of(side), draw.strata[side]) for draw in draws]
        images, place = np.unique(rows, return_inverse=True)
        of_image = np.bincount(place, np.concatenate(parts) / len(draws), len(images))
        variance += float(np.square(of_image).sum()) * len(images) / (len(images) - 1)
    return NORMAL * float(np.sqrt(variance))


def _without_means(moved: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    parts = np.split(moved, np.cumsum(sizes)[:-1]) if len(sizes) else [moved]
    return np.concatenate([part - part.mean() for part in parts if len(part)])


def _by_images(real: np.ndarray, generated: np.ndarray) -> Influences:
    """By the singular vectors of ``A B^T``: the overlap's derivative to a weight is the image's share of it."""
    (m1, a), (m2, b) = centred(real), centred(generated)
    product = a @ b.T  # (N, M)
    left, values, right = np.linalg.svd(product, full_matrices=False)
    share = (left @ right) * product  # adds up to the sum of the singular values
    step = m1 - m2
    value = step @ step + np.square(a).sum() + np.square(b).sum() - 2 * values.sum()
    of_real, of_generated = _of_side(a, step, share.sum(1)), _of_side(b, -step, share.sum(0))
    return Influences(max(0.0, float(value)), of_real, of_generated)


def _of_side(deviations: np.ndarray, step: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    count = len(deviations)
    moved = 2 * np.sqrt(count - 1) / count * (deviations @ step) + np.square(deviations).sum(1) - overlap
    return moved - moved.mean()


def _by_moments(real: np.ndarray, generated: np.ndarray) -> Influences:
    """By the derivatives of the overlap to the covariances: the linear maps that carry one Gaussian onto the other."""
    m1, m2 = moments(real), moments(generated)
    first, second = m1.covariance, m2.covariance
    overlap, map1, map2 = _maps(first, second)
    step = m1.mean - m2.mean
    value = step @ step + np.trace(first) + np.trace(second) - 2 * overlap
    of_real, of_generated = _moved(real, m1, step, map1), _moved(generated, m2, -step, map2)
    return Influences(max(0.0, float(value)), of_real, of_generated)


def _maps(first: np.ndarray, second: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """``tr (S1 S2)^(1/2)`` and twice its derivatives to S1 and to S2, each (D, D)."""
    half = root(first)
    product = half @ second @ half
    eigenvalues, vectors = np.linalg.eigh((product + product.T) / 2)
    values = np.sqrt(np.maximum(eigenvalues, 0))
    kept = values > SMALLEST * values[-1]
    lifted = half @ vectors[:, kept]
    carried = second @ lifted
    map1 = carried / values[kept] ** 3 @ carried.T
    return float(values.sum()), map1, lifted / values[kept] @ lifted.T


def _moved(features: np.ndarray, found: Moments, step: np.ndarray, carried: np.ndarray) -> np.ndarray:
    moved = np.empty(len(features))
    for rows, part in tiles(features):
        z = part - found.mean
        squares = np.square(z).sum(1) - ((z @ carried) * z).sum(1)
        moved[rows] = 2 * z @ step / found.count + squares / (found.count - 1)
    return moved - moved.mean()
