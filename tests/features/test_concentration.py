"""Scatter against its definition and closed forms, nearest centroids against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from featdiff.diffusion.corruptions import variance_exploding
from featdiff.features import concentration


def test_scatter_of_gaussian_classes_is_the_closed_form():
    """Means +-2 in the first of 3 dimensions, unit covariance: between 4, within 3."""
    g = torch.Generator().manual_seed(0)
    shift = torch.tensor([2.0, 0, 0], dtype=torch.float64)
    classes = [torch.randn(100_000, 3, generator=g, dtype=torch.float64) + s * shift for s in (1, -1)]
    between, within = concentration.scatter(classes)
    assert between == pytest.approx(4, rel=0.01) and within == pytest.approx(3, rel=0.01)


def test_between_and_within_scatter_add_up_to_the_total_variance():
    rng = np.random.default_rng(0)
    classes = [torch.from_numpy(rng.normal(rng.normal(0, 3, 4), 1, (50, 4))) for _ in range(5)]
    total = torch.cat(classes).var(0, correction=0).sum().item()
    assert sum(concentration.scatter(classes)) == pytest.approx(total)


def test_models_are_compared_under_the_same_noise():
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(
        concentration.noised(variance_exploding(), images, 0.1, 0, 1),
        concentration.noised(variance_exploding(), images, 0.1, 0, 1),
    )
    assert not torch.equal(
        concentration.noised(variance_exploding(), images, 0.1, 0, 1),
        concentration.noised(variance_exploding(), images, 0.1, 0, 2),
    )


def test_nearest_centroids_are_scikit_learns():
    rng = np.random.default_rng(0)
    middle = rng.normal(0, 1, (4, 6))
    training, test = ([torch.from_numpy(rng.normal(m, 1.5, (40, 6))) for m in middle] for _ in range(2))
    labels = np.repeat(np.arange(4), 40)
    judge = NearestCentroid().fit(torch.cat(training).numpy(), labels)
    expected = (judge.predict(torch.cat(test).numpy()) == labels).mean()
    assert 0.3 < expected < 0.95
    assert concentration.nearest_centroid(training, test) == pytest.approx(expected)


def test_each_class_weighs_the_same_whatever_its_number_of_images():
    training = [torch.zeros(3, 1), torch.ones(3, 1)]
    test = [torch.full((99, 1), 0.1), torch.full((1, 1), 0.2)]
    assert concentration.nearest_centroid(training, test) == 0.5
