"""Centroids of few examples, moved towards the mean of the known classes by how far each column can be trusted.

The mean of n images is off by the spread of the images within a class over n; classes themselves spread about their
mean. Empirical Bayes (Efron and Morris 1973, after James and Stein 1961) weighs one against the other in each column.
"""

import torch
from torch import Tensor

from featdiff.errors import UserError
from featdiff.features.centroids import CentroidTable

FEWEST = 6  # known classes: below, their spread is known too badly for a gain that is sure


def between(known: CentroidTable) -> Tensor:
    """Variance of a new class's centroid about the mean of the known ones, of each level and column; (levels, feature
    dimension).

    The variance of the known centroids, less what their own finite counts of images add to it; times ``1 + 1 / K`` for
    the error of their mean, and ``(K - 1) / (K - 5)`` for that of the variance: so the expected squared error of
    :func:`towards_known` is at no true variance above the plain mean's. Raises :class:`UserError` for fewer than
    :data:`FEWEST` classes, and where the table does not say how images spread within a class.
    """
    count = len(known.values)
    if count < FEWEST:
        raise UserError(f"{count} known classes are too few to shrink towards: it takes {FEWEST}; set shrink to false")
    within, counts = _spread(known)
    own = within * counts.double().reciprocal().mean()
    found = (known.values.double().var(0) - own).clamp(min=0)
    return found * (1 + 1 / count) * (count - 1) / (count - 5)


def towards_known(means: Tensor, images: int, known: CentroidTable) -> Tensor:
    """Means (levels, feature dimension) of so many images of a new class, shrunk; float64.

    ``m + b / (b + w / n) (mean - m)`` in each column: m is the mean of the known centroids, b the variance
    :func:`between` classes, w that of images within a class. Raises :class:`UserError` as :func:`between` does.
    """
    if images < 1:
        raise UserError("a centroid needs at least one image")
    apart, noise = between(known), _spread(known)[0] / images
    total = apart + noise
    share = torch.where(total > 0, apart / total.where(total > 0, torch.ones_like(total)), torch.ones_like(total))
    middle = known.middle.double()
    return middle + share * (means.double() - middle)


def _spread(known: CentroidTable) -> tuple[Tensor, Tensor]:
    if known.within is None or known.counts is None:
        raise UserError(
            "these centroids do not tell how images spread within a class, as those of earlier versions: make them "
            "again, or do not shrink"
        )
    return known.within.double(), known.counts
