"""Chosen levels: distances against closed forms and an assignment, paths against exhaustive search."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment

from featdiff.diffusion import corruptions, level_selection
from featdiff.diffusion.corruptions import GaussianBlur, Geometric, SoftMask
from featdiff.errors import UserError

SIZE = 6
PROCESSES = {
    "blur": corruptions.soft(GaussianBlur(), Geometric(0.05, 4.0), Geometric(0.01, 0.1, 0.25), size=SIZE),
    "mask": corruptions.soft(SoftMask(), Geometric(0.05, 50.0), Geometric(0.01, 0.1, 0.25), size=SIZE),
    "noise": corruptions.pure_noise(Geometric(0.01, 3.0)),
}
each_process = pytest.mark.parametrize("name", PROCESSES)
CANDIDATES = torch.linspace(0, 1, 40, dtype=torch.float64)


def images(count=200, seed=0):
    """Smooth images with a mean, one channel."""
    source = torch.Generator().manual_seed(seed)
    white = torch.randn(count, 1, SIZE, SIZE, generator=source, dtype=torch.float64)
    return 0.5 + GaussianBlur().apply(white, torch.full((count,), 0.8, dtype=torch.float64))


def directions(count=20):
    return torch.randn(count, SIZE**2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def unit_noise(count=200):
    return torch.randn(count, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(8), dtype=torch.float64)


@each_process
def test_sliced_distances_are_those_of_the_best_assignment_on_each_line(name):
    process, some = PROCESSES[name], CANDIDATES[::13]
    found = level_selection.sliced_distances(process, images(30), some, projections=directions(4), z=unit_noise(30))
    lines = directions(4) / directions(4).norm(dim=1, keepdim=True)
    for i, j in itertools.combinations(range(len(some)), 2):
        total = 0.0
        for line in lines:
            a, b = (
                (process.corrupt(images(30), some[k].expand(30), unit_noise(30)).flatten(1) @ line).numpy()
                for k in (i, j)
            )
            cost = (a[:, None] - b) ** 2
            total += cost[linear_sum_assignment(cost)].mean()
        assert found[i, j].item() == pytest.approx(math.sqrt(total / 4), rel=1e-7)


@each_process
def test_gaussian_distances_are_bures_formula_for_data_diagonal_in_the_basis(name):
    """Bures: ``|m - m'|^2 + tr(S + S' - 2 (S^1/2 S' S^1/2)^1/2)``, on dense matrices in the pixels."""
    process, x, some = PROCESSES[name], images(), CANDIDATES[[5, 20, 39]]
    found = level_selection.gaussian_distances(process, x, some)
    turn = process.corruption.to_basis(torch.eye(SIZE**2, dtype=torch.float64).view(-1, 1, SIZE, SIZE)).flatten(1)
    spread = process.corruption.to_basis(x).var(0, correction=0).flatten()
    covariance, mean = turn @ spread.diag() @ turn.T, x.mean(0).flatten()
    laws = []
    for t in some:
        matrix = corruptions.matrix(process.corruption, process.strength(t).item(), SIZE)
        noise = process.sigma(t) ** 2 * torch.eye(SIZE**2)
        laws.append((matrix @ mean, (matrix @ covariance @ matrix.T + noise).numpy()))
    for i, j in itertools.combinations(range(3), 2):
        (m, s), (n, q) = laws[i], laws[j]
        root = sqrtm(s)
        bures = np.trace(s + q - 2 * sqrtm(root @ q @ root).real)
        expected = math.sqrt(((m - n).square().sum().item() + bures) / SIZE**2)
        assert found[i, j].item() == pytest.approx(expected, rel=1e-5)


@each_process
def test_the_two_distances_rank_levels_alike(name):
    sliced = level_selection.sliced_distances(
        PROCESSES[name], images(), CANDIDATES, projections=directions(60), z=unit_noise()
    )
    gaussian = level_selection.gaussian_distances(PROCESSES[name], images(), CANDIDATES)
    ranks = [np.argsort(np.argsort(d[0].numpy())) for d in (sliced, gaussian)]
    assert np.corrcoef(*ranks)[0, 1] > 0.97
    assert (sliced - sliced.T).abs().max() < 1e-12 and sliced.diagonal().abs().max() < 1e-6


@each_process
@pytest.mark.parametrize("nodes", [4, 32])
def test_bisection_finds_the_wanted_number_of_nodes_from_end_to_end(name, nodes):
    candidates = torch.linspace(0, 1, 256, dtype=torch.float64)
    distances = level_selection.gaussian_distances(PROCESSES[name], images(), candidates)
    chosen = level_selection.choose(distances, candidates, nodes)
    assert len(chosen.levels) == nodes
    assert chosen.levels[0] == 0 and chosen.levels[-1] == 1 and (chosen.levels.diff() > 0).all()
    places = [candidates.tolist().index(t) for t in chosen.levels.tolist()]
    hops = [distances[a, b].item() for a, b in itertools.pairwise(places)]
    assert max(hops) <= chosen.eps and sum(hops) == pytest.approx(chosen.length)
    again = level_selection.choose(distances, candidates, nodes, eps=chosen.eps)
    assert torch.equal(again.levels, chosen.levels)


def test_the_path_is_the_shortest_of_all_paths():
    """Against all subsets of seven candidates, on distances without the triangle inequality."""
    source = torch.Generator().manual_seed(2)
    distances = torch.rand(7, 7, generator=source, dtype=torch.float64) + 0.1
    distances = distances + distances.T
    eps = level_selection.smallest_eps(distances) + 0.2
    best = math.inf
    for size in range(6):
        for inner in itertools.combinations(range(1, 6), size):
            hops = [distances[a, b].item() for a, b in itertools.pairwise((0, *inner, 6))]
            best = min(best, sum(hops)) if max(hops) <= eps else best
    assert level_selection.shortest_path(distances, eps)[1] == pytest.approx(best)


def test_on_a_line_the_nodes_stand_at_equal_distances():
    """Levels of noise alone on a point: the distance of two is the difference of their deviations."""
    process = corruptions.pure_noise(Geometric(0.01, 3.0))
    point = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.float64)
    candidates = process.strength.inverse(torch.linspace(0.01, 3.0, 61, dtype=torch.float64))
    distances = level_selection.gaussian_distances(process, point, candidates)
    assert distances[0, -1].item() == pytest.approx(2.99)
    sigmas = process.sigma(level_selection.choose(distances, candidates, 7).levels)
    assert sigmas.diff().max().item() <= 2.99 / 6 + 0.01 and len(sigmas) == 7


def test_relative_to_the_noise_the_nodes_stand_at_equal_ratios():
    """Noise alone on a point: a hop is ``1 - sigma/sigma'``, so the longest hop is shortest where all ratios are
    equal."""
    process = corruptions.pure_noise(Geometric(0.01, 3.0))
    point = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.float64)
    candidates = torch.linspace(0, 1, 61, dtype=torch.float64)  # even in the logarithm: six hops of ten candidates
    sigma = process.sigma(candidates)
    distances = level_selection.gaussian_distances(process, point, candidates)
    relative = level_selection.relative_to_noise(distances, sigma, 1.0)
    assert relative[7, 12].item() == pytest.approx((1 - sigma[7] / sigma[12]).item())
    sigmas = process.sigma(level_selection.choose(relative, candidates, 7).levels)
    assert (sigmas[1:] / sigmas[:-1]).tolist() == pytest.approx([300 ** (1 / 6)] * 6)
    assert torch.equal(level_selection.relative_to_noise(distances, sigma, 0.0), distances)


def test_interpolation_goes_through_the_nodes_and_is_linear_between_them():
    nodes = torch.tensor([0.0, 0.1, 0.5, 1.0])
    assert level_selection.interpolated(nodes, 4).tolist() == pytest.approx([1.0, 0.5, 0.1, 0.0])
    assert level_selection.interpolated(nodes, 7).tolist() == pytest.approx([1.0, 0.75, 0.5, 0.3, 0.1, 0.05, 0.0])


def test_bad_choices_are_refused():
    distances = level_selection.gaussian_distances(PROCESSES["blur"], images(), CANDIDATES)
    with pytest.raises(UserError, match=r"no path of hops up to eps = 1e-05 .* at least"):
        level_selection.choose(distances, CANDIDATES, 8, eps=1e-5)
    enough = level_selection.smallest_eps(distances)
    level_selection.choose(distances, CANDIDATES, 8, eps=enough)
    with pytest.raises(UserError, match="no path"):
        level_selection.choose(distances, CANDIDATES, 8, eps=enough * 0.999)
    with pytest.raises(UserError, match="from 2 to 40 nodes"):
        level_selection.choose(distances, CANDIDATES, 41)
    with pytest.raises(UserError, match="nodes cannot be had"):
        level_selection.choose(distances, CANDIDATES, 40)
    with pytest.raises(UserError, match="must rise"):
        level_selection.choose(distances, CANDIDATES.flip(0), 8)
    with pytest.raises(UserError, match="at least 2 steps"):
        level_selection.interpolated(CANDIDATES, 1)
