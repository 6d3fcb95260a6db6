"""Euclidean distances between many vectors, a block of rows at a time: memory does not grow with n times m."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

LONG = 10**8  # pairs from which on a search shows how far it is
BLOCK_VALUES = 1 << 24  # distances held at once: 128 MB in float64
TILE = 4096


def squared_distance_blocks(a: np.ndarray, b: np.ndarray, what: str = "") -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows of ``a``, squared distances (rows, M) float64 to all of ``b``) for ``a`` (N, D) and ``b`` (M, D).

    ``what`` is said beside a bar on stderr where the search is long.
    """
    with bar(len(a), len(b), what) as shown:
        for rows, distances in _blocks(a, b):
            yield rows, distances
            shown.update(len(distances))


def bar(count: int, others: int, what: str) -> "tqdm[None]":
    """A bar that goes through ``count`` images, each of which is compared with ``others``; none where that is quick."""
    return tqdm(total=count, desc=what, unit="image", mininterval=2, disable=count * others < LONG)


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    rows = max(1, BLOCK_VALUES // max(1, len(b)))
    squares = np.concatenate([_squares(part) for _, part in tiles(b)])  # (M,)
    for start in range(0, len(a), rows):
        block = a[start : start + rows].astype(np.float64)
        distances = np.empty((len(block), len(b)))
        for where, part in tiles(b):
            np.matmul(block, part.T, out=distances[:, where])
        distances *= -2
        distances += squares
        distances += _squares(block)[:, None]
        yield slice(start, start + len(block)), np.maximum(distances, 0, out=distances)


def tiles(vectors: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, vectors (rows, D) float64) in turn, so that no float64 copy of all vectors is needed."""
    for start, part in zip(range(0, len(vectors), TILE), pieces(vectors), strict=True):
        yield slice(start, start + len(part)), part.astype(np.float64)


def pieces(vectors: np.ndarray) -> list[np.ndarray]:
    """The same rows in turn, as they are."""
    return [vectors[start : start + TILE] for start in range(0, len(vectors), TILE)]


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", vectors, vectors)
