"""How well squared centroid distances follow density distances: ``A d^2 <= || phi_y - phi_y' ||^2 <= B d^2``.

The Euclidean embedding property of arXiv 2410.11646, section 3.3, in numbers.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats


class Embedding(NamedTuple):
    """Correlations over pairs of classes, and the constants A (``low``) and B (``high``) with their errors."""

    spearman: float
    pearson: float
    low: float
    high: float
    low_error: float
    high_error: float
    pairs: int


def compare(centroid: np.ndarray, density: np.ndarray, error: np.ndarray) -> Embedding:
    """Rank and linear correlation, and A and B: the least and the largest ratio of ``centroid`` to ``density`` (P,).

    The errors of A and B are those of the ratio at the pair that attains them, to first order in ``error``.
    """
    ratio = centroid / density
    spread = ratio * error / density
    low, high = int(ratio.argmin()), int(ratio.argmax())
    many = len(ratio) > 2
    return Embedding(
        spearman=float(stats.spearmanr(centroid, density).statistic) if many else math.nan,
        pearson=float(stats.pearsonr(centroid, density).statistic) if many else math.nan,
        low=float(ratio[low]),
        high=float(ratio[high]),
        low_error=float(spread[low]),
        high_error=float(spread[high]),
        pairs=len(ratio),
    )
