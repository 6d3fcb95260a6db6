"""Choosing corruption levels from the data (Soft diffusion, arXiv 2209.05442, section 4.3).

Many candidate levels; the distance of two is the Wasserstein distance of the corrupted images' distributions; the
chosen levels are the shortest path from clean to fully corrupted whose hops are at most eps, with eps bisected until
the path has the wanted number of nodes. Between nodes the level is interpolated linearly. The same for blur, mask and
noise.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from featdiff.diffusion.corruptions import Process
from featdiff.errors import UserError

TIE = 1e-9  # what a hop costs beside its length, as a share of the largest distance: decides between equal lengths

NEAR = 50  # how many values of eps on each side of the bisection's end are tried for the very number of nodes


class Choice(NamedTuple):
    """Chosen levels (nodes,), rising from clean to fully corrupted; the eps and the length of the path they are."""

    levels: Tensor
    eps: float
    length: float


def sliced_distances(process: Process, images: Tensor, candidates: Tensor, *, projections: Tensor, z: Tensor) -> Tensor:
    """Exact sliced Wasserstein-2 distances of the corrupted images at all pairs of levels, (levels, levels), float64.

    Images and unit noise ``z`` (N, C, H, W), ``projections`` directions of any length (P, C H W). On a line the optimal
    coupling is the order, so a level becomes one vector of its sorted projections, and all pairs cost one product. The
    mean is over directions, so distances are 1/sqrt(C H W) of the Wasserstein distance of a shift. All levels share
    images and noise.
    """
    directions = projections / projections.norm(dim=1, keepdim=True)
    rows = []
    for t in candidates.tolist():
        noisy = process.corrupt(images, torch.full((len(images),), t, dtype=images.dtype, device=images.device), z)
        rows.append((noisy.flatten(1) @ directions.T).sort(0).values.flatten())
    sorted_projections = torch.stack(rows).double()
    return torch.cdist(sorted_projections, sorted_projections) / math.sqrt(sorted_projections.shape[1])


def gaussian_distances(process: Process, images: Tensor, candidates: Tensor) -> Tensor:
    """Closed-form Wasserstein-2 distances of Gaussians fitted to the corrupted images, (levels, levels), float64.

    The Gaussians are diagonal in the operator's own basis, where all levels commute, so that
    ``W^2 = |mean - mean'|^2 + |deviation - deviation'|^2``; exact for data that are Gaussian and diagonal there.
    Divided by sqrt(C H W), the unit of :func:`sliced_distances`.
    """
    coefficients = process.corruption.to_basis(images.double())
    mean, variance = coefficients.mean(0), coefficients.var(0, correction=0)  # (C, H, W)
    levels = candidates.to(mean)
    gains = process.corruption.gains(process.strength(levels), images.shape[-1])  # (levels, 1, H, W)
    noise = process.sigma(levels).view(-1, 1, 1, 1) ** 2
    deviation = (gains**2 * variance + noise).sqrt()
    rows = torch.cat([(gains * mean).flatten(1), deviation.flatten(1)], dim=1)
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist") / math.sqrt(mean.numel())


def relative_to_noise(distances: Tensor, sigma: Tensor, power: float) -> Tensor:
    """Distances of all pairs divided by ``sigma^power``, the noise (levels,) of the more corrupted of the two; not in
    the paper.

    A step that takes away a share of the noise is as long at .02 as at .2, so the path spends as many steps on either;
    with ``power = 0`` nearly all go where the noise is strong, and the last ones leave some behind.
    """
    return distances / torch.maximum(sigma[:, None], sigma[None, :]).to(distances) ** power


def shortest_path(distances: Tensor, eps: float) -> tuple[list[int], float]:
    """Indices and length of the shortest path from the first candidate to the last, hops upwards and at most ``eps``.

    Of paths of equal length (on a line all are), the one of fewest hops.
    """
    costs = distances.numpy()
    start, end = np.nonzero(np.triu(costs <= eps, k=1))
    graph = csr_array((costs[start, end] + TIE * costs.max(), (start, end)), shape=costs.shape)
    length, before = dijkstra(graph, indices=0, return_predecessors=True)
    if not math.isfinite(length[-1]):
        raise UserError(
            f"no path of hops up to eps = {eps:g} leads from the clean images to the fully corrupted ones: give an eps "
            f"of at least {smallest_eps(distances):.3g}, or more candidate levels"
        )
    path = [len(costs) - 1]
    while path[-1] != 0:
        path.append(int(before[path[-1]]))
    path.reverse()
    return path, float(costs[path[:-1], path[1:]].sum())


def smallest_eps(distances: Tensor) -> float:
    """The smallest eps with a path: the bottleneck between the first candidate and the last."""
    reach = np.full(len(distances), np.inf)
    reach[0] = 0.0
    values = distances.numpy()
    for j in range(1, len(reach)):
        reach[j] = np.maximum(reach[:j], values[:j, j]).min()
    return float(reach[-1])


def choose(distances: Tensor, candidates: Tensor, nodes: int, *, eps: float | None = None) -> Choice:
    """The chosen levels: of hops up to ``eps`` if it is given, else bisected until the path has ``nodes`` nodes.

    Where distances jump, no eps may give that number; then the path has a number near it.
    """
    _check(distances, candidates, nodes)
    if eps is not None:
        path, length = shortest_path(distances, eps)
        return Choice(candidates[path], eps, length)
    limits = np.unique(distances.numpy()[np.triu_indices(len(distances), k=1)])
    first = int(np.searchsorted(limits, smallest_eps(distances)))

    @cache
    def along(k: int) -> tuple[list[int], float]:
        return shortest_path(distances, limits[k])

    if nodes > len(along(first)[0]):
        raise UserError(
            f"{nodes} nodes cannot be had from {len(candidates)} candidate levels (at most {len(along(first)[0])}): "
            "more candidates"
        )
    low, high = first, len(limits) - 1
    while low < high:  # as eps rises the number of nodes falls, here and there in small waves
        middle = (low + high) // 2
        low, high = (middle + 1, high) if len(along(middle)[0]) > nodes else (low, middle)
    near = [low, *(k for i in range(1, NEAR) for k in (low - i, low + i) if first <= k < len(limits))]
    best = next((k for k in near if len(along(k)[0]) == nodes), low)
    return Choice(candidates[along(best)[0]], float(limits[best]), along(best)[1])


def interpolated(nodes: Tensor, count: int) -> Tensor:
    """``count`` levels falling from the last node to the first, linear between nodes that stand at equal distances."""
    if count < 2 or len(nodes) < 2:
        raise UserError(f"a grid of levels needs at least 2 steps and 2 nodes, got {count} and {len(nodes)}")
    places = np.linspace(len(nodes) - 1, 0, count)
    return torch.from_numpy(np.interp(places, np.arange(len(nodes)), nodes.double().numpy()))


def _check(distances: Tensor, candidates: Tensor, nodes: int) -> None:
    if distances.shape != (len(candidates), len(candidates)):
        raise UserError(f"distances of shape {tuple(distances.shape)} do not fit {len(candidates)} candidate levels")
    if not bool((candidates.diff() > 0).all()):
        raise UserError("candidate levels must rise, from clean to fully corrupted")
    if not bool(torch.isfinite(distances).all()):
        raise UserError("distances of candidate levels are not finite: check the images")
    if not 2 <= nodes <= len(candidates):
        raise UserError(f"a path has from 2 to {len(candidates)} nodes (the candidate levels), not {nodes}")
