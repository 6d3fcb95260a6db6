"""Kernel distance (KID, Binkowski et al. 2018): unbiased squared MMD with the kernel ``(x.y / D + 1)^3``.

Unlike the Frechet distance it has no bias with the number of images, so it may come out slightly negative. That holds
for independent images. A set with a fixed number of each class holds too few pairs of one class, ``n_c - 1`` others of
its own class for each image where ``n_c`` would be expected; there each pair of one class counts ``n_c / (n_c - 1)``
times (and, where some classes have but one image, as much more as classes are without a pair). The sum is then that of
the mixture with equal shares, ``sum_cd E k(x_c, x_d) / C^2``, each term estimated without bias by its own pairs.
"""

from collections.abc import Sequence

import numpy as np

from featdiff.evaluation.distances import pieces


def polynomial_mmd(real: np.ndarray, generated: np.ndarray) -> float:
    """Unbiased squared MMD between independent features (N, D) and (M, D), summed in blocks."""
    n, m = len(real), len(generated)
    if min(n, m) < 2:
        raise ValueError(f"two images at least on each side, not {n} and {m}")
    within = (_sum(real, real) - _diagonal(real)) / (n * (n - 1))
    within += (_sum(generated, generated) - _diagonal(generated)) / (m * (m - 1))
    return float(within - 2 * _sum(real, generated) / (n * m))


def kid(
    real: np.ndarray,
    generated: np.ndarray,
    *,
    subsets: int,
    size: int,
    generator: np.random.Generator,
    strata: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> np.ndarray:
    """The distance on each of ``subsets`` pairs of random subsets of ``size`` images (all, where there are fewer).

    ``strata`` are for each side the fixed sizes of its classes, in the order of the rows; empty for independent images.
    """
    size = min(size, len(real), len(generated))
    values = np.empty(subsets)
    classes = [np.repeat(np.arange(len(sizes)), sizes) for sizes in strata]
    for i in range(subsets):
        rows = [generator.choice(len(side), size, replace=False) for side in (real, generated)]
        if any(len(of_side) for of_side in classes):
            values[i] = _mmd_of_strata((real[rows[0]], generated[rows[1]]), rows, classes, strata)
        else:
            values[i] = polynomial_mmd(real[rows[0]], generated[rows[1]])
    return values


def _mmd_of_strata(
    sides: Sequence[np.ndarray],
    rows: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    strata: Sequence[Sequence[int]],
) -> float:
    """Unbiased squared MMD of subsets, images of a class weighted by one over the number that the whole set has."""
    weights, within = [], 0.0
    for features, chosen, of_side, sizes in zip(sides, rows, classes, strata, strict=True):
        labels = of_side[chosen] if len(sizes) else np.arange(len(chosen))
        weight = 1 / np.asarray(sizes)[labels] if len(sizes) else np.ones(len(chosen))
        pairs = np.outer(weight, weight)
        if len(sizes):
            pairs *= np.where(labels[:, None] == labels, _of_one_class(np.asarray(sizes))[labels], 1)
        np.fill_diagonal(pairs, 0)
        within += float((pairs * _kernel(features, features)).sum() / pairs.sum())
        weights.append(weight / weight.sum())
    return within - 2 * float(weights[0] @ _kernel(*sides) @ weights[1])


def _of_one_class(sizes: np.ndarray) -> np.ndarray:
    """How many times a pair of one class counts, by class (C,); 0 for a class of one image, which has no pair."""
    paired = sizes > 1
    return np.where(paired, sizes / np.maximum(sizes - 1, 1) * len(sizes) / paired.sum(), 0)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _cubed(a @ b.T, a.shape[1])  # (N, M), of a subset


def _sum(a: np.ndarray, b: np.ndarray) -> float:
    """The sum of the kernel over all pairs of rows, in blocks, each row's part added up in float64.

    Products are taken in the precision of the features: in float32 the distance is right to about 1e-6 of the kernel's
    mean, in half the time.
    """
    blocks = ((x, y) for x in pieces(a) for y in pieces(b))
    sums = (_cubed(x @ y.T, a.shape[1]).sum(1).sum(dtype=np.float64) for x, y in blocks)
    return float(sum(sums))


def _diagonal(a: np.ndarray) -> float:
    return float(_cubed(np.einsum("nd,nd->n", a, a), a.shape[1]).sum(dtype=np.float64))


def _cubed(products: np.ndarray, size: int) -> np.ndarray:
    """``(products / size + 1)^3``; overwrites ``products``."""
    products /= size
    products += 1
    cubes = products * products
    cubes *= products  # many times quicker than ** 3
    return cubes
