"""Fidelity and coverage from k-nearest-neighbour balls.

Precision and recall: Kynkaanniemi et al. 2019; density and coverage: Naeem et al. 2020. A ball around an image
reaches to its k-th nearest neighbour in its own set.

- precision: share of generated images inside some real ball; recall: share of real images inside some generated ball
- density: real balls a generated image lies in, over k; coverage: share of real balls with a generated image
"""

from typing import NamedTuple

import numpy as np

from featdiff.errors import UserError
from featdiff.evaluation.distances import squared_distance_blocks


class Manifold(NamedTuple):
    """The four measures; precision and density judge fidelity, recall and coverage judge diversity."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(*, real: np.ndarray, generated: np.ndarray, neighbours: int) -> Manifold:
    """Measure ``generated`` features (M, D) against ``real`` ones (N, D), in blocks of rows."""
    real_radii, generated_radii = _radii(real, neighbours), _radii(generated, neighbours)
    inside_real = np.zeros(len(generated), np.int64)  # real balls that hold each generated image
    recalled = np.zeros(len(real), bool)
    covered = np.zeros(len(real), bool)
    for rows, distances in squared_distance_blocks(real, generated, "real against generated"):  # (rows, M)
        inside = distances < real_radii[rows, None]
        inside_real += inside.sum(0)
        covered[rows] = inside.any(1)
        recalled[rows] = (distances < generated_radii).any(1)
    return Manifold(
        precision=float((inside_real > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside_real.mean() / neighbours),
        coverage=float(covered.mean()),
    )


def _radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each row to its k-th nearest neighbour, itself not counted: (N,)."""
    if len(features) <= neighbours:
        raise UserError(
            f"{len(features)} images are too few for their {neighbours} nearest neighbours; "
            f"lower evaluation.neighbours or give more images"
        )
    radii = np.empty(len(features))
    for rows, distances in squared_distance_blocks(features, features, "nearest neighbours"):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = 0  # itself, exactly
        distances.partition(neighbours, axis=1)
        radii[rows] = distances[:, neighbours]
    return radii
