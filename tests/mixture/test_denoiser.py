"""The exact denoiser against Tweedie's formula, brute-force posterior means, and its own slow path."""

import math

import pytest
import torch

from featdiff.diffusion import guidance
from featdiff.diffusion.denoiser import score
from featdiff.diffusion.ornstein_uhlenbeck import euler_ode, euler_sde, times, variance_preserving
from featdiff.errors import UserError
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.processes import OrnsteinUhlenbeck, Soft, VarianceExploding, blur_matrix, fade_matrix

POINTS = 2 * torch.randn(40, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
PROCESSES = {
    "exploding": VarianceExploding(),
    "preserving": OrnsteinUhlenbeck(),
    "blur": Soft(lambda t: blur_matrix(2, t), lambda t: 0.1 + 0.1 * t),
    "mask": Soft(lambda t: fade_matrix(2, t), lambda t: 0.3),
    "dropped": Soft(lambda t: torch.tensor([1.0, 1, 0, 0]).diag(), lambda t: 0.3),
}


def mixture(shared: bool) -> GaussianMixture:
    source = torch.Generator().manual_seed(5)
    root = torch.randn(3, 4, 4, generator=source, dtype=torch.float64)
    covariances = root @ root.mT / 4 + 0.1 * torch.eye(4)
    means = 2 * torch.randn(3, 4, generator=source, dtype=torch.float64)
    return GaussianMixture(means, covariances[0] if shared else covariances, [0.2, 0.5, 0.3], [0, 1, 0])


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["exploding", "preserving", "blur", "mask"])
def test_estimate_and_score_agree_by_tweedies_formula(shared, name):
    process, own = PROCESSES[name], mixture(shared)
    clean = MixtureDenoiser(own, process)(POINTS, torch.full((40,), 0.6, dtype=torch.float64))
    operator = process.operator(0.6)
    operator = operator * torch.eye(4, dtype=torch.float64) if operator.ndim == 0 else operator
    by_tweedie = (clean @ operator.T - POINTS) / process.sigma(0.6) ** 2
    torch.testing.assert_close(own.at(process, 0.6).score(POINTS), by_tweedie, atol=1e-9, rtol=0)


@pytest.mark.parametrize("shared", [True, False])
def test_estimate_under_a_singular_operator_is_the_mean_over_weighted_clean_draws(shared):
    own, process = mixture(shared), PROCESSES["dropped"]
    seen = torch.tensor([[0.4, -0.2, 0.1, 0.0]], dtype=torch.float64)
    draws, _ = own.sample(400_000, torch.Generator().manual_seed(6))
    weights = (-((seen[:, :2] - draws[:, :2]) ** 2).sum(1) / (2 * 0.3**2)).softmax(0)
    spread = (weights[:, None] ** 2 * (draws - weights @ draws) ** 2).sum(0).sqrt()
    exact = MixtureDenoiser(own, process)(seen, torch.ones(1))[0]
    assert ((exact - weights @ draws).abs() < 4 * spread).all()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", PROCESSES)
def test_rows_of_many_levels_and_classes_equal_rows_one_by_one(shared, name):
    denoiser = MixtureDenoiser(mixture(shared), PROCESSES[name])
    t = torch.linspace(0.1, 3, 40, dtype=torch.float64)
    for levels in (t, t[::10].repeat_interleave(10)):
        classes = torch.arange(40) % 3 - 1
        together = denoiser(POINTS, levels, classes)
        alone = [denoiser(POINTS[i : i + 1], levels[i : i + 1], classes[i : i + 1]) for i in range(40)]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-10, rtol=0)


def test_condition_is_the_denoiser_of_the_class_alone_and_minus_one_is_none():
    denoiser, t = MixtureDenoiser(mixture(True)), torch.full((40,), 0.8, dtype=torch.float64)
    torch.testing.assert_close(
        denoiser(POINTS, t, torch.zeros(40, dtype=torch.int64)), MixtureDenoiser(mixture(True).given(0))(POINTS, t)
    )
    torch.testing.assert_close(denoiser(POINTS, t, -torch.ones(40, dtype=torch.int64)), denoiser(POINTS, t))


def test_image_shapes_and_single_precision_pass_through():
    denoiser = MixtureDenoiser(mixture(True))
    images = POINTS.float().reshape(40, 1, 2, 2)
    clean = denoiser(images, torch.full((40,), 0.5, dtype=torch.float64))
    assert clean.shape == images.shape and clean.dtype == torch.float32
    torch.testing.assert_close(
        clean.flatten(1), denoiser(POINTS, torch.full((40,), 0.5, dtype=torch.float64)).float(), atol=1e-5, rtol=1e-5
    )


def test_guidance_on_denoisers_is_the_guided_score_and_classifier_form_is_equal():
    own, eta, labels = mixture(False), 2.5, torch.full((40,), 1)
    denoiser, t = MixtureDenoiser(own), torch.full((40,), 0.9, dtype=torch.float64)

    def gradient(x, t, y):
        x = x.clone().requires_grad_()
        at = own.at(VarianceExploding(), t[0].item())
        return torch.autograd.grad(torch.nn.functional.logsigmoid(at.log_odds(x, 1)).sum(), x)[0]

    free = guidance.classifier_free(denoiser, strength=1 + eta)
    classifier = guidance.classifier(denoiser, gradient, strength=1 + eta)
    exact = own.at(VarianceExploding(), 0.9).guided_score(POINTS, 1, eta)
    torch.testing.assert_close(score(free, POINTS, t, labels), exact, atol=1e-9, rtol=0)
    torch.testing.assert_close(score(classifier, POINTS, t, labels), exact, atol=1e-9, rtol=0)


def test_a_tensor_of_strengths_guides_each_row_by_its_own():
    denoiser, t = MixtureDenoiser(mixture(True)), torch.full((40,), 0.9, dtype=torch.float64)
    labels, strengths = torch.zeros(40, dtype=torch.int64), torch.linspace(0, 20, 40, dtype=torch.float64)
    together = guidance.classifier_free(denoiser, strength=strengths[:, None])(POINTS, t, labels)
    for i in (0, 7, 39):
        alone = guidance.classifier_free(denoiser, strength=strengths[i].item())(POINTS, t, labels)
        torch.testing.assert_close(together[i], alone[i])


@pytest.mark.parametrize("sampler", [euler_ode, euler_sde])
def test_one_euler_step_is_the_equation_with_the_exact_score(sampler):
    own, levels = mixture(True), torch.tensor([0.7], dtype=torch.float64)
    normal = torch.ones_like(POINTS)
    stepped = sampler(MixtureDenoiser(own, OrnsteinUhlenbeck()), POINTS, levels, lambda: normal)
    drift = own.at(OrnsteinUhlenbeck(), 0.7).score(POINTS)
    expected = POINTS + 0.7 * (POINTS + drift)
    if sampler is euler_sde:
        expected = POINTS + 0.7 * (POINTS + 2 * drift) + math.sqrt(1.4) * normal
    torch.testing.assert_close(stepped, expected, atol=1e-10, rtol=0)


def test_a_change_of_variables_turns_the_exploding_denoiser_into_the_preserving_one():
    own, t = mixture(False), torch.full((40,), 1.3, dtype=torch.float64)
    changed = variance_preserving(MixtureDenoiser(own))
    torch.testing.assert_close(changed(POINTS, t), MixtureDenoiser(own, OrnsteinUhlenbeck())(POINTS, t))


def test_memory_that_runs_along_the_batch_gives_the_same():
    denoiser, t = MixtureDenoiser(mixture(True)), torch.full((40,), 0.9, dtype=torch.float64)
    torch.testing.assert_close(denoiser(POINTS.T.contiguous().T, t), denoiser(POINTS, t))


def test_bad_input_is_refused():
    denoiser = MixtureDenoiser(mixture(True))
    with pytest.raises(UserError, match="4 dimensions"):
        denoiser(torch.zeros(3, 5), torch.ones(3))
    with pytest.raises(UserError, match="one a row"):
        denoiser(POINTS, torch.ones(40), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UserError, match="at least 1 step"):
        times(10.0, -5)
