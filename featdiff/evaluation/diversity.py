"""Vendi score (Friedman and Dieng 2023): the effective number of different images in a set.

``exp(-sum_i l_i log l_i)`` with l_i the eigenvalues of ``K / n``, K the cosine similarities of the features. It is 1
for n equal images and n for n orthogonal ones. The non-zero eigenvalues of ``X X^T`` and ``X^T X`` are the same, so
the smaller of (n, n) and (D, D) is decomposed.
"""

import numpy as np
import torch

from featdiff.evaluation.distances import tiles


def vendi_score(features: np.ndarray) -> float:
    """The effective number of images among features (N, D)."""
    matrix = torch.from_numpy(_gram(features) / len(features))
    eigenvalues = torch.linalg.eigvalsh(matrix).numpy()  # its LAPACK is up to twice as fast as numpy's
    positive = eigenvalues[eigenvalues > np.finfo(float).eps]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def _gram(features: np.ndarray) -> np.ndarray:
    if len(features) <= features.shape[1]:
        unit = _normalised(features.astype(np.float64))
        return unit @ unit.T  # (N, N)
    total = np.zeros((features.shape[1],) * 2)
    for _, part in tiles(features):
        unit = _normalised(part)
        total += unit.T @ unit  # (D, D)
    return total


def _normalised(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)
