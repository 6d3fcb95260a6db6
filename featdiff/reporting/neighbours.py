"""The real training images nearest to samples, in pixels: what a sample may have been copied from."""

from typing import NamedTuple

import numpy as np

from featdiff.data.archive import Pixels

BLOCK = 1024  # training images compared at once
WORK = 10**11  # products of pixels that a page may cost


class Near(NamedTuple):
    """Rows (N, count) of the nearest training images, the nearest first, and how many were looked through."""

    rows: np.ndarray
    candidates: int


def nearest(samples: np.ndarray, training: Pixels, count: int) -> Near:
    """The ``count`` training images (M, H, W, C) uint8 nearest to each sample (N, H, W, C), whole or mirrored, by the
    mean square difference of their pixels.

    Of very many training images evenly spaced ones are looked through.
    """
    queries = _flat(samples)
    most = max(count, WORK // max(1, 2 * queries.size))
    places = np.unique(np.linspace(0, len(training) - 1, min(len(training), most)).round().astype(int))
    best = np.full((len(queries), count), np.inf, np.float32)
    rows = np.zeros((len(queries), count), np.int64)
    for first in range(0, len(places), BLOCK):
        some = places[first : first + BLOCK]
        images = np.asarray(training[some])
        distance = np.minimum(_distances(queries, _flat(images)), _distances(queries, _flat(images[:, :, ::-1])))
        every, at = np.hstack([best, distance]), np.hstack([rows, np.broadcast_to(some, distance.shape)])
        order = np.argsort(every, axis=1, kind="stable")[:, :count]
        best, rows = np.take_along_axis(every, order, 1), np.take_along_axis(at, order, 1)
    return Near(rows[:, : min(count, len(places))], len(places))


def under(samples: np.ndarray, training: Pixels, found: Near) -> np.ndarray:
    """Each sample with its nearest images below it: (N, (1 + count) H, W, C) uint8."""
    columns = [samples, *(np.asarray(training[found.rows[:, k]]) for k in range(found.rows.shape[1]))]
    return np.concatenate(columns, axis=1)


def _flat(images: np.ndarray) -> np.ndarray:
    return (images.reshape(len(images), -1).astype(np.float32) - 127.5) / 255


def _distances(queries: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Squared distances (N, M) of rows, without the part that is the same for all images."""
    return np.einsum("nd,nd->n", images, images) - 2 * queries @ images.T
