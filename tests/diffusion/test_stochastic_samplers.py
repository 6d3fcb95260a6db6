"""The spread of what samplers with noise draw, against laws that are known exactly."""

import pytest
import torch

from featdiff.diffusion import levels, samplers
from featdiff.diffusion.stochastic_samplers import ddpm_posterior, dpm_solver_sde, heun_churn
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.gaussian import GaussianMixture

VARIANCE = 0.7
OURS = {"ddpm-posterior": ddpm_posterior, "heun-churn": heun_churn, "dpm++2m-sde": dpm_solver_sde}
each = pytest.mark.parametrize("sampler", OURS.values(), ids=OURS)


def normal(x, t, condition=None):
    """The posterior mean of images of independent pixels N(1, VARIANCE)."""
    t = t.view(-1, 1, 1)
    return 1 + VARIANCE / (VARIANCE + t**2) * (x - 1)


def source(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


def deviation(sampler, steps, start=5.0, end=0.01):
    noise = source((400, 16, 16))
    x = 1 + (start**2 + VARIANCE) ** 0.5 * noise()
    return sampler(normal, x, levels.karras(start, end, steps), noise).std().item() / VARIANCE**0.5


@each
def test_forty_steps_keep_the_deviation_of_a_normal_law_to_two_percent_where_ddpm_keeps_nine_tenths(sampler):
    assert deviation(samplers.ddpm, 40) < 0.94
    assert deviation(sampler, 40) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("steps", [6, 10])
def test_the_posterior_variance_is_exact_on_white_data_in_any_number_of_steps(steps):
    assert deviation(ddpm_posterior, steps) == pytest.approx(1, abs=0.01)


@each
def test_each_mode_of_a_mixture_has_its_own_spread_and_its_share(sampler):
    """Three modes apart by many deviations, with covariances and weights of their own, images of 16 pixels."""
    generator = torch.Generator().manual_seed(3)
    means = 1.5 * torch.randn(3, 16, generator=generator, dtype=torch.float64)
    sizes = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    weights = [0.2, 0.3, 0.5]
    covariances = sizes[:, None, None] ** 2 * torch.eye(16, dtype=torch.float64)
    law = GaussianMixture(means, covariances, weights)
    noise = source((4000, 16))
    x = sampler(MixtureDenoiser(law), 20 * noise(), levels.karras(20, 0.005, 80), noise)
    mode = law.posterior(x).argmax(1)
    for k, size in enumerate(sizes.tolist()):
        inside = x[mode == k] - means[k]
        assert inside.square().mean().sqrt().item() == pytest.approx(size, rel=0.04)
        assert len(inside) / len(x) == pytest.approx(weights[k], abs=0.03)


@each
def test_the_stochastic_samplers_give_correlated_data_back_its_variance_in_each_direction(sampler):
    """Only white noise is wrong for correlated data: of the three, the posterior variance alone misses the shape."""
    sizes = torch.logspace(-0.5, -2, 16, dtype=torch.float64)

    def exact(x, t, condition=None):
        return sizes / (sizes + t[:, None] ** 2) * x

    noise = source((8000, 16))
    kept = sampler(exact, 5 * noise(), levels.karras(5, 0.005, 50), noise).var(0) / sizes
    tolerance = 0.4 if sampler is ddpm_posterior else 0.08
    assert (kept - 1).abs().max().item() < tolerance


def test_the_posterior_variance_is_bounded_where_an_image_tells_it_badly():
    """From far out the estimate of few pixels is off by more than all that the data has."""
    noise = source((4000, 2, 2))
    x, grid = 1 + 50 * noise(), levels.karras(50, 0.01, 4)
    free, kept = (ddpm_posterior(normal, x, grid, noise, bound=b).std().item() for b in (float("inf"), VARIANCE))
    assert abs(kept / VARIANCE**0.5 - 1) < 0.1 and free / VARIANCE**0.5 > 1.3


def test_no_churn_is_heun_and_an_interval_spares_the_levels_outside():
    noise = source((4, 3, 3))
    x, grid = 1 + 20 * noise(), levels.karras(20, 0.1, 8)

    def forbidden():
        raise AssertionError("noise was drawn outside the interval")

    plain = samplers.heun(normal, x, grid, forbidden)
    assert torch.equal(plain, heun_churn(normal, x, grid, forbidden, churn=0))
    assert torch.equal(plain, heun_churn(normal, x, grid, forbidden, low=30, high=40))
    drawn = []
    heun_churn(normal, x, grid, lambda: drawn.append(1) or torch.zeros_like(x), low=0.5, high=10)
    assert len(drawn) == ((grid[:-1] >= 0.5) & (grid[:-1] <= 10)).sum()


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch():
    noise = source((6, 16, 16))
    x, blocks = 1 + 5 * noise(), [noise() for _ in range(9)]
    grid = levels.karras(5, 0.1, 10)
    whole = ddpm_posterior(normal, x, grid, iter(blocks).__next__)
    half = ddpm_posterior(normal, x[:3], grid, iter([b[:3] for b in blocks]).__next__)
    assert torch.equal(whole[:3], half)
