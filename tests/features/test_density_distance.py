"""The integrated score distance against closed forms on Gaussian mixtures; the embedding's numbers against their
definitions."""

import numpy as np
import pytest
import torch

from featdiff import artifacts
from featdiff.features import centroids, density_distance
from featdiff.features.density_distance import directed
from featdiff.features.isometry import compare
from featdiff.mixture.confidence import build
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.processes import VarianceExploding
from featdiff.settings.centroids import Centroids, Distances
from featdiff.settings.mixture import MixtureLaw

MEANS = [[1.0, 0.0, 0.5], [-1.0, 0.3, 0.0], [0.0, -2.0, 0.0]]
SETTINGS = Distances(sigma_min=0.05, sigma_max=20.0, draws=16, images_per_class=400)


def draws(variances):
    """Exact draws (400, 3) of each class, and the exact denoiser."""
    covariances = [(np.eye(3) * v).tolist() for v in variances]
    law = MixtureLaw(means=MEANS, covariances=covariances)
    g = torch.Generator().manual_seed(1)
    images = {
        y: torch.tensor(m, dtype=torch.float64) + v**0.5 * torch.randn(400, 3, generator=g, dtype=torch.float64)
        for y, (m, v) in enumerate(zip(MEANS, variances, strict=True))
    }
    return MixtureDenoiser(build(law), VarianceExploding()), images


def test_between_gaussians_of_one_covariance_it_is_the_closed_form():
    """Scores differ by (mu - mu') / (v + sigma^2); the integral over sigma is elementary."""
    v, low, high = 0.25, SETTINGS.sigma_min, SETTINGS.sigma_max
    denoiser, images = draws([v] * 3)
    value, error = directed(denoiser, images, SETTINGS)
    means = torch.tensor(MEANS, dtype=torch.float64)
    expected = torch.cdist(means, means) ** 2 * (1 / (v + low**2) - 1 / (v + high**2)) / 2
    assert bool((value.diagonal() == 0).all())
    off = ~torch.eye(3, dtype=torch.bool)
    assert bool(((value - expected).abs()[off] < 4 * error[off]).all())
    assert bool((error[off] < 0.05 * expected[off]).all())


def test_between_gaussians_of_two_variances_it_is_quadrature():
    """x ~ N(mu, v + s^2): the scores differ by -(x - mu)/(v + s^2) + (x - mu')/(v' + s^2), a Gaussian with known
    moments."""
    variances = [0.25, 1.0, 0.5]
    denoiser, images = draws(variances)
    value, error = directed(denoiser, images, SETTINGS)
    sigma = np.exp(np.linspace(np.log(SETTINGS.sigma_min), np.log(SETTINGS.sigma_max), 4001))
    for i, j in [(0, 1), (1, 0), (1, 2)]:
        a, b = variances[i] + sigma**2, variances[j] + sigma**2
        apart = np.square(np.subtract(MEANS[i], MEANS[j])).sum()
        expected = np.trapezoid((3 * a * (1 / b - 1 / a) ** 2 + apart / b**2) * sigma**2, np.log(sigma))
        assert abs(value[i, j].item() - expected) < 4 * error[i, j].item()


def test_the_embedding_of_equal_gaussians_by_their_means_is_an_isometry():
    """|| mu - mu' ||^2 is proportional to d^2 where the covariances agree: correlation 1 and A = B."""
    v = 0.25
    denoiser, images = draws([v] * 3)
    value, error = directed(denoiser, images, SETTINGS.model_copy(update={"draws": 64}))
    i, j = np.triu_indices(3, 1)
    means = torch.tensor(MEANS)
    apart = (torch.cdist(means, means) ** 2).numpy()[i, j]
    both, errors = ((value + value.T) / 2).numpy()[i, j], torch.hypot(error, error.T).numpy()[i, j] / 2
    found = compare(apart, both, errors)
    expected = 2 / (1 / (v + SETTINGS.sigma_min**2) - 1 / (v + SETTINGS.sigma_max**2))
    assert found.pearson > 0.999 and found.spearman == 1 and found.pairs == 3
    assert found.low == pytest.approx(expected, abs=4 * found.low_error)
    assert found.high == pytest.approx(expected, abs=4 * found.high_error)


def test_bounds_and_their_errors_are_those_of_the_extreme_pairs():
    found = compare(np.array([1.0, 4.0, 9.0]), np.array([2.0, 4.0, 3.0]), np.array([0.2, 0.4, 0.6]))
    assert (found.low, found.high) == (0.5, 3.0)
    assert (found.low_error, found.high_error) == pytest.approx((0.05, 0.6))
    assert np.isnan(compare(np.ones(1), np.ones(1), np.ones(1)).spearman)


def test_rows_are_the_pairs_with_distances_of_both_kinds(tiny_dataset, tiny_checkpoint, tmp_path):
    table, out = tmp_path / "centroids.npz", tmp_path / "distances.json"
    centroids.extract(Centroids(levels=3, images_per_class=16, draws=1), tiny_dataset, tiny_checkpoint, table)
    settings = Distances(images_per_class=8, draws=2)
    density_distance.measure(settings, tiny_dataset, tiny_checkpoint, table, out, name="tiny")
    (row,), _ = artifacts.read_json(out, "distances")[0]["rows"], None
    assert (row["model"], row["first"], row["second"]) == ("tiny", "flat", "stripes")
    values = centroids.read(table).values[:, 0].double()
    assert row["centroids"] == pytest.approx((values[0] - values[1]).square().sum().item())
    assert row["density"] > 0 and row["error"] > 0


def test_of_many_classes_a_seeded_choice_takes_part():
    settings = Distances(classes=5)
    chosen = density_distance.chosen_labels(100, settings)
    assert len(set(chosen)) == 5 and chosen == sorted(chosen) == density_distance.chosen_labels(100, settings)
    assert density_distance.chosen_labels(4, settings) == [0, 1, 2, 3]
