"""Every sampler against Gaussian data, where the exact denoiser is known."""

from functools import partial

import pytest
import torch

from featdiff.diffusion import guidance, levels, samplers
from featdiff.diffusion.denoiser import score
from featdiff.errors import UserError
from featdiff.seeds import Streams
from featdiff.settings.training import LogNormalNoise, SquaredUniformNoise

MEAN, STD = 0.7, 0.5


def exact(x, t, condition=None):
    """The posterior mean of N(MEAN, STD^2) data; a condition shifts the mean."""
    mean = MEAN + (0.0 if condition is None else condition.view(-1, 1))
    t = t.view(-1, 1)
    return mean + STD**2 / (STD**2 + t**2) * (x - mean)


def noise_like(x, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)


def start(count, sigma=20.0):
    return MEAN + sigma * torch.randn(count, 1, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


@pytest.mark.parametrize(
    "sampler",
    [samplers.ddpm, samplers.ddim, samplers.heun, samplers.dpm_solver_2m, partial(samplers.ddim, nu=0.5)],
    ids=["ddpm", "ddim", "heun", "dpm++2m", "nu=0.5"],
)
def test_samplers_draw_the_data_distribution_with_the_exact_denoiser(sampler):
    x = start(40_000)
    samples = sampler(exact, x, levels.karras(20.0, 0.002, 400), noise_like(x))
    assert abs(samples.mean() - MEAN) < 4 * STD / 200
    assert abs(samples.std() / STD - 1) < 0.02


def test_the_ascent_draws_images_of_the_right_mean_and_reaches_the_last_level():
    """Sigma is estimated over the pixels of an image, so images need many pixels."""

    def white(x, t, condition=None):
        return exact(x.flatten(1), t).view_as(x)

    x = MEAN + torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    grid = torch.tensor([1.0, 0.01], dtype=torch.float64)
    samples = samplers.ascent(white, x, grid, noise_like(x), step=0.05, beta=0.5)
    assert abs(samples.mean() - MEAN) < 4 * STD / 128
    with pytest.raises(UserError, match=r"did not reach sigma .* max_steps"):
        samplers.ascent(white, x, grid, noise_like(x), step=0.05, beta=0.5, max_steps=3)


@pytest.mark.parametrize(("sampler", "order"), [(samplers.ddim, 1), (samplers.heun, 2), (samplers.dpm_solver_2m, 2)])
def test_deterministic_samplers_converge_to_the_probability_flow_with_their_order(sampler, order):
    """The flow of Gaussian data is linear: from sigma_0 to 0 the deviation from the mean shrinks by a known factor."""
    x = start(50, 5.0)
    last = 0.05

    def error(steps):
        shrink = ((STD**2 + last**2) / (STD**2 + 25)) ** 0.5
        at_last = torch.full((50,), last, dtype=torch.float64)
        truth = exact(MEAN + shrink * (x - MEAN), at_last)
        return (sampler(exact, x, levels.karras(5.0, last, steps), noise_like(x)) - truth).abs().max()

    measured = torch.log2(error(80) / error(160)).item()
    assert measured == pytest.approx(order, abs=0.25)


def test_nu_zero_draws_no_noise_and_nu_one_is_the_ancestral_step():
    x, grid = start(10), levels.karras(20.0, 0.1, 2)
    t, s = grid.tolist()
    samples = samplers.ddpm(lambda x, t, c=None: exact(x, t) if t[0] > 1 else x, x, grid, noise_like(x))
    clean, fresh = exact(x, torch.full((10,), t, dtype=torch.float64)), noise_like(x)()
    expected = clean + s**2 / t**2 * (x - clean) + (s**2 * (1 - s**2 / t**2)) ** 0.5 * fresh
    assert (samples - expected).abs().max() < 1e-12

    def forbidden():
        raise AssertionError("a deterministic sampler drew noise")

    samplers.ddim(exact, x, grid, forbidden)


def test_the_condition_reaches_the_denoiser():
    x = start(20_000)
    shift = torch.full((20_000,), 3.0, dtype=torch.float64)
    samples = samplers.ddim(exact, x + 3, levels.karras(20.0, 0.01, 60), noise_like(x), shift)
    assert abs(samples.mean() - MEAN - 3) < 0.1


def test_levels_out_of_order_are_refused():
    x = start(2)
    with pytest.raises(UserError, match="decrease and stay positive"):
        samplers.ddim(exact, x, torch.tensor([0.1, 1.0]), noise_like(x))
    with pytest.raises(UserError, match="start 0.1 and end 1.0"):
        levels.karras(0.1, 1.0, 10)


def test_grids_have_their_ends_and_their_spacing():
    grid = levels.karras(5.0, 0.01, 9, rho=7)
    assert grid[0] == pytest.approx(5.0) and grid[-1] == pytest.approx(0.01)
    assert (grid ** (1 / 7)).diff().diff().abs().max() < 1e-12
    assert levels.logarithmic(0.01, 5.0, 9).log().diff().diff().abs().max() < 1e-12


def test_noise_laws_have_the_moments_they_name():
    words = Streams(0, [("levels", i) for i in range(100_000)]).words(0, 4)[0, :, :2]
    log = levels.draw(LogNormalNoise(kind="lognormal", mean=-1.0, std=1.2), words).log()
    assert log.mean().item() == pytest.approx(-1.0, abs=0.02) and log.std().item() == pytest.approx(1.2, abs=0.02)
    sigma = levels.draw(SquaredUniformNoise(kind="squared-uniform"), words)
    assert sigma.mean().item() == pytest.approx(1 / 3, abs=0.005) and sigma.median().item() == pytest.approx(
        0.25, abs=0.005
    )


def test_the_score_of_gaussian_data_is_the_closed_form():
    x, t = start(5), torch.full((5,), 0.3, dtype=torch.float64)
    assert (score(exact, x, t) + (x - MEAN) / (STD**2 + 0.3**2)).abs().max() < 1e-9


def test_classifier_free_guidance_of_strength_one_is_the_conditional_model():
    x, t, c = start(5), torch.full((5,), 0.3, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    plain, guided = exact(x, t, c), guidance.classifier_free(exact, strength=1.0)(x, t, c)
    assert (guided - plain).abs().max() < 1e-12
    doubled = guidance.classifier_free(exact, strength=2.0)(x, t, c)
    assert (doubled - (2 * plain - exact(x, t))).abs().max() < 1e-12


def test_a_limited_interval_switches_row_by_row():
    x, t = start(3), torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    limited = guidance.limited_interval(lambda x, t, c=None: x + 1, lambda x, t, c=None: x, low=0.5, high=2.0)
    assert ((limited(x, t) - x).flatten() - torch.tensor([0.0, 1.0, 0.0])).abs().max() < 1e-12


def test_feature_guidance_looks_up_the_centroid_of_the_label_at_the_noise_level():
    def lookup(t, labels):
        return t + 10 * labels

    guided = guidance.feature(lambda x, t, condition=None: condition, lookup)
    assert guided(torch.zeros(2, 1), torch.tensor([1.0, 2.0]), torch.tensor([0, 1])).tolist() == [1.0, 12.0]
