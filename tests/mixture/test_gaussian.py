"""The mixture's formulas against SciPy, automatic differentiation and closed forms; its error messages."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from featdiff.errors import UserError
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.processes import OrnsteinUhlenbeck, Soft, VarianceExploding, blur_matrix, fade_matrix

OWN = torch.tensor([[[1.0, 0.3], [0.3, 0.5]], [[0.2, 0.0], [0.0, 2.0]], [[0.7, -0.4], [-0.4, 0.9]]])
MEANS = [[1.0, 2.0], [-1.0, 0.0], [3.0, -2.0]]
WEIGHTS = [0.5, 0.2, 0.3]
POINTS = torch.linspace(-4, 4, 22, dtype=torch.float64).reshape(11, 2)


def mixture(shared: bool = False) -> GaussianMixture:
    return GaussianMixture(MEANS, OWN[0] if shared else OWN, WEIGHTS)


@pytest.mark.parametrize("shared", [True, False])
def test_density_and_posterior_agree_with_scipy(shared):
    own = mixture(shared)
    covariances = [OWN[0]] * 3 if shared else OWN
    joint = np.stack(
        [w * multivariate_normal(m, c).pdf(POINTS) for w, m, c in zip(WEIGHTS, MEANS, covariances, strict=True)], axis=1
    )
    np.testing.assert_allclose(own.log_density(POINTS), np.log(joint.sum(1)), atol=1e-12)
    np.testing.assert_allclose(own.posterior(POINTS), joint / joint.sum(1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(own.log_odds(POINTS, 1).sigmoid(), joint[:, 1] / joint.sum(1), atol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("process", [VarianceExploding(), OrnsteinUhlenbeck()])
def test_score_and_divergence_are_the_derivatives_of_the_log_density(shared, process):
    at = mixture(shared).at(process, 0.7)
    x = POINTS.clone().requires_grad_()
    score = torch.autograd.grad(at.log_density(x).sum(), x)[0]
    hessian = torch.stack([torch.autograd.functional.hessian(lambda p: at.log_density(p[None])[0], p) for p in POINTS])
    torch.testing.assert_close(at.score(POINTS), score, atol=1e-12, rtol=0)
    torch.testing.assert_close(at.score_divergence(POINTS), hessian.diagonal(dim1=1, dim2=2).sum(1), atol=1e-11, rtol=0)


def test_guided_score_is_the_gradient_of_the_tempered_density():
    x = POINTS.clone().requires_grad_()
    tempered = mixture().log_density(x) + 4.5 * mixture().posterior(x)[:, 2].log()
    by_hand = torch.autograd.grad(tempered.sum(), x)[0]
    torch.testing.assert_close(mixture().guided_score(POINTS, 2, 3.5), by_hand, atol=1e-10, rtol=0)


def test_classes_of_several_components_add_their_posteriors():
    grouped = GaussianMixture(MEANS, OWN, WEIGHTS, [0, 1, 0])
    posterior = mixture().posterior(POINTS)
    torch.testing.assert_close(grouped.log_odds(POINTS, 0).sigmoid(), posterior[:, [0, 2]].sum(1), atol=1e-12, rtol=0)
    torch.testing.assert_close(grouped.given(0).weights, torch.tensor([0.625, 0.375]).double())


def test_samples_have_the_mixtures_moments_and_weights():
    x, components = mixture().sample(200_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(x.mean(0), mixture().mean(), atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), mixture().covariance(), atol=0.06, rtol=0)
    torch.testing.assert_close(components.bincount() / len(x), torch.tensor(WEIGHTS), atol=0.005, rtol=0)
    torch.testing.assert_close(x[components == 2].T.cov(), OWN[2].double(), atol=0.03, rtol=0)


@pytest.mark.parametrize("shared", [True, False])
def test_the_law_at_a_time_is_that_of_corrupted_samples(shared):
    tilt = torch.tensor([[1.0, 0.4], [0.0, 0.5]])
    at = mixture(shared).at(Soft(lambda t: torch.linalg.matrix_power(tilt, int(t)), lambda t: 0.1 * t), 2.0)
    x, _ = mixture(shared).sample(200_000, torch.Generator().manual_seed(2))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    corrupted = x @ (tilt @ tilt).T.double() + 0.2 * noise
    torch.testing.assert_close(corrupted.mean(0), at.mean(), atol=0.03, rtol=0)
    torch.testing.assert_close(corrupted.T.cov(), at.covariance(), atol=0.1, rtol=0)


def test_far_apart_components_and_extreme_guidance_stay_finite():
    far = GaussianMixture([[-1e6, 0.0], [1e6, 0.0], [0.0, 1e6]], [[1e-6, 0.0], [0.0, 1.0]])
    x = torch.tensor([[-1e6, 0.0], [0.0, 0.0], [3e7, -5e8]])
    for values in (far.log_density(x), far.posterior(x), far.score(x), far.guided_score(x, 0, 1e8), far.log_odds(x, 1)):
        assert values.isfinite().all()
    torch.testing.assert_close(far.posterior(x)[0], torch.tensor([1.0, 0.0, 0.0]).double())


def test_log_odds_stay_exact_where_the_probability_rounds_to_one():
    two = GaussianMixture([[-5.0], [5.0]], [[1.0]])
    torch.testing.assert_close(two.log_odds(torch.tensor([[20.0]]), 1), torch.tensor([200.0]).double())


def test_blur_keeps_constants_and_is_a_semigroup_and_the_mask_fades_the_centre():
    once, flat = blur_matrix(6, 0.8), torch.ones(36, dtype=torch.float64)
    torch.testing.assert_close(once @ flat, flat)
    torch.testing.assert_close(once @ once, blur_matrix(6, 0.8 * 2**0.5))
    mask = fade_matrix(7, 3.0).diagonal().reshape(7, 7)
    assert mask[3, 3] == mask.min() and mask[0, 0] > 0.8 and torch.equal(mask, mask.flip(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]]), "not positive definite"),
        (([[0.0, 0.0]], [[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (([[0.0], [1.0]], [[1.0]], [0.7, 0.7]), "sum to one"),
        (([[0.0], [1.0]], [[1.0]], [1.5, -0.5]), "negative"),
        (([[0.0], [1.0]], [[1.0]], [1.0]), "do not fit 2 components"),
        (([[0.0, 1.0]], [[1.0]]), "do not fit means"),
        (([0.0, 1.0], [[1.0]]), "one row a component"),
        (([[0.0, float("nan")]], [[1.0, 0.0], [0.0, 1.0]]), "finite"),
        (([[0.0], [1.0]], [[1.0]], None, [0]), "one a component"),
        (([[0.0, 1.0], [2.0]], [[1.0]]), "not an array"),
    ],
)
def test_what_is_no_mixture_is_refused_with_a_clear_error(arguments, message):
    with pytest.raises(UserError, match=message):
        GaussianMixture(*arguments)


def test_points_and_classes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="2 dimensions"):
        mixture().score(torch.zeros(4, 3))
    with pytest.raises(UserError, match="no class 7"):
        mixture().given(7)
    with pytest.raises(UserError, match="level -1"):
        mixture().at(OrnsteinUhlenbeck(), -1.0)
    with pytest.raises(UserError, match="negative"):
        mixture().sample(-1)
