import numpy as np
import pytest
import scipy.linalg

from featdiff.evaluation.frechet import Moments, distance_of_moments, frechet_distance, moments


def by_sqrtm(real, generated):
    s1, s2 = np.cov(real.T), np.cov(generated.T)
    difference = real.mean(0) - generated.mean(0)
    return difference @ difference + np.trace(s1 + s2) - 2 * np.trace(np.real(scipy.linalg.sqrtm(s1 @ s2)))


def exact(mean, covariance, count=2):
    """Moments set to known values."""
    total = Moments(len(mean))
    total.count, total.mean, total._scatter = count, np.array(mean, float), np.array(covariance, float) * (count - 1)
    return total


def test_closed_form_of_isotropic_gaussians():
    a, b = exact([0, 0, 0], 4 * np.eye(3)), exact([1, 2, 2], 9 * np.eye(3))
    assert distance_of_moments(a, b) == pytest.approx(9 + 3 * (2 - 3) ** 2, abs=1e-12)


def test_closed_form_of_commuting_covariances():
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    d1, d2 = np.array([1.0, 4, 9, 0, 2]), np.array([4.0, 1, 0, 16, 2])
    a, b = exact(np.zeros(5), rotation * d1 @ rotation.T), exact(np.ones(5), rotation * d2 @ rotation.T)
    assert distance_of_moments(a, b) == pytest.approx(5 + np.square(np.sqrt(d1) - np.sqrt(d2)).sum(), abs=1e-6)


def test_agrees_with_scipy_sqrtm_at_full_rank():
    g = np.random.default_rng(1)
    real, generated = g.normal(size=(300, 12)) @ g.normal(size=(12, 12)), g.normal(1, 2, size=(200, 12))
    assert frechet_distance(real, generated) == pytest.approx(by_sqrtm(real, generated), rel=1e-9)


@pytest.mark.parametrize("counts", [(10, 10), (7, 30), (30, 5)])
def test_both_forms_agree_with_fewer_images_than_features(counts):
    g = np.random.default_rng(2)
    real, generated = g.normal(size=(counts[0], 40)), g.normal(0.5, 2, size=(counts[1], 40))
    by_moments = distance_of_moments(moments(real), moments(generated))
    assert frechet_distance(real, generated) == pytest.approx(by_moments, rel=1e-7)


def test_a_set_is_at_no_distance_from_itself_and_the_distance_is_symmetric():
    g = np.random.default_rng(3)
    for count in (8, 100):
        a, b = g.normal(size=(count, 20)), g.normal(size=(count, 20))
        assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
        assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_streamed_moments_equal_numpys_at_any_batch_size_far_from_zero():
    features = np.random.default_rng(4).normal(1e4, 1, size=(101, 6)).astype(np.float32)
    for size in (1, 7, 101):
        total = Moments(6)
        for start in range(0, 101, size):
            total.add(features[start : start + size])
        assert np.abs(total.mean - features.astype(float).mean(0)).max() < 1e-9
        assert np.abs(total.covariance - np.cov(features.astype(float).T)).max() < 1e-7


def test_one_image_has_no_distance():
    with pytest.raises(ValueError, match="two images"):
        frechet_distance(np.ones((1, 3)), np.ones((5, 3)))
