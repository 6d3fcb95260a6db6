"""Does a model copy its training images? Each image's nearest training image, in pixels.

The distance is the root mean square difference of the pixels in [0, 1], smallest over all training images of all
classes, over their left-right mirror images, and over shifts of up to ``shift`` pixels in each direction (overlapping
patches are a few pixels apart, and a convolutional network can copy in between; with a shift the borders are left out
on both sides).

A small distance alone proves nothing, since flat images are close to everything: real test images, which nobody copied,
give the scale. The share of copies is the share of samples nearer to a training image than 5% of the test images are
(``QUANTILE``); 0.05 is expected of a model that does not copy, at any count from 19 test images on.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from featdiff.errors import UserError
from featdiff.evaluation.distances import bar

QUANTILE = 0.05
BLOCK = 2048


class Nearest(NamedTuple):
    """For each image the distance to its nearest training image and that image's row."""

    distance: np.ndarray  # (N,) float64
    row: np.ndarray  # (N,) int64


class Copying(NamedTuple):
    """Median distance to the nearest training image, the same for real test images, and the share of copies."""

    median: float
    median_test: float
    share: float


def nearest_training(images: np.ndarray, training: np.ndarray, *, shift: int = 0) -> Nearest:
    """The nearest of ``training`` (M, H, W, C) uint8 to each of ``images`` (N, H, W, C) uint8, in blocks."""
    if images.shape[1:] != training.shape[1:]:
        raise UserError(f"images are {images.shape[1:]}, training images are {training.shape[1:]}: not comparable")
    height, width = images.shape[1:3]
    centre = images[:, shift : height - shift, shift : width - shift]
    best = np.full(len(images), np.inf)
    index = np.zeros(len(images), np.int64)
    with bar(len(images), len(training), "nearest training images") as shown:
        for start in range(0, len(images), BLOCK):
            query = _flat(centre[start : start + BLOCK])
            rows = slice(start, start + len(query))
            for first in range(0, len(training), BLOCK):
                _improve(query, training[first : first + BLOCK], first, shift, best[rows], index[rows])
            shown.update(len(query))
    return Nearest(np.sqrt(best), index)


def copying(distances: np.ndarray, test_distances: np.ndarray) -> Copying:
    """Judge the samples' nearest distances (N,) by those of real test images (M,)."""
    threshold = np.quantile(test_distances, QUANTILE, method="weibull")  # a new image is below it with that chance
    return Copying(
        median=float(np.median(distances)),
        median_test=float(np.median(test_distances)),
        share=float((distances < threshold).mean()),
    )


def _improve(
    query: np.ndarray, training: np.ndarray, first: int, shift: int, best: np.ndarray, index: np.ndarray
) -> None:
    """Lower ``best`` (mean squares) and set ``index`` in place where a view of the block comes nearer."""
    length = np.einsum("nd,nd->n", query, query)
    for view in _views(training, shift):
        flat = _flat(view)
        scores = query @ flat.T  # (N, M)
        np.subtract(np.einsum("nd,nd->n", flat, flat) / 2, scores, out=scores)  # half of distance^2 - |query|^2
        winner = scores.argmin(1)
        # float32 picks the candidate, float64 measures it: an exact copy is at exactly zero
        roughly = (2 * scores[np.arange(len(query)), winner] + length) / query.shape[1]
        promising = np.flatnonzero(roughly < best + 1e-4)
        exact = np.square(query[promising].astype(np.float64) - flat[winner[promising]]).mean(1)
        nearer = exact < best[promising]
        best[promising[nearer]] = exact[nearer]
        index[promising[nearer]] = first + winner[promising[nearer]]


def _views(training: np.ndarray, shift: int) -> Iterator[np.ndarray]:
    """Every shift of the images and of their mirror images, cropped by ``shift`` on each side."""
    height, width = training.shape[1] - 2 * shift, training.shape[2] - 2 * shift
    for images in (training, training[:, :, ::-1]):
        for y in range(2 * shift + 1):
            for x in range(2 * shift + 1):
                yield images[:, y : y + height, x : x + width]


def _flat(images: np.ndarray) -> np.ndarray:
    return (images.reshape(len(images), -1).astype(np.float32) - 127.5) / 255  # centred: less rounding
