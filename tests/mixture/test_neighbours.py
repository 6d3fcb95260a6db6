"""Results of neighbouring papers, and every sampler of the package against exact laws."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import wasserstein_distance

from featdiff.diffusion import samplers
from featdiff.diffusion.levels import karras
from featdiff.diffusion.ornstein_uhlenbeck import euler_sde, times
from featdiff.errors import UserError
from featdiff.mixture.convergence import kinds, random_mixture, run_convergence
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.distances import directions, sliced_wasserstein
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.neighbours import plane, two_gaussians, two_intervals
from featdiff.mixture.processes import OrnsteinUhlenbeck
from featdiff.mixture.uniform import UniformDenoiser
from featdiff.settings.mixture import Convergence, Neighbours


def test_variances_of_guided_gaussians_are_bradley_and_nakkirans():
    rows = pd.DataFrame(two_gaussians(Neighbours(gaussian_steps=1500)))
    rows = rows[rows["method"] != "tilted density"]
    away = (rows["value"] - rows["predicted"]).abs()
    assert (away < 3 * rows["error"] + 0.01 * rows["predicted"]).all(), rows.to_string()
    tilted = 2 / (rows["strength"] + 1)
    assert (
        (rows["value"] < tilted - 3 * rows["error"]) | (rows["strength"] == 1)
    ).all()  # neither samples the tilted density


def test_means_and_shares_of_guided_intervals_are_chidambarams():
    """Reference numbers to three digits, by an unnamed number of paths: compared within .015, or two hundredths of
    shares."""
    rows = pd.DataFrame(two_intervals(Neighbours(uniform_paths=4000, uniform_steps=150)))
    means = rows[rows["measure"] == "mean"]
    inside = rows[rows["measure"] == "inside support"]["value"]
    own = 3 * means["error"].to_numpy()[:4]
    assert (np.abs(means["value"].to_numpy()[:4] - [1.488, 1.701, 1.883, 1.984]) < 0.012 + own).all()
    np.testing.assert_allclose(inside, [0.996, 0.996, 0.986, 0.904, 0.089], atol=0.02)


def test_autoguidance_removes_outliers_and_keeps_modes_that_classifier_free_guidance_loses():
    rows = pd.DataFrame(plane(Neighbours(plane_points=3000)).rows).set_index(["measure", "method"])["value"]
    outliers, lost, shares = rows["outliers"], rows["lost modes"], rows["distance of mode shares"]
    assert outliers["exact"] == pytest.approx(0.01, abs=0.006)
    assert outliers["autoguidance"] < 0.03 < 0.1 < outliers["none"]
    assert outliers["classifier-free, limited"] < outliers["none"]
    assert (
        lost["classifier-free"] >= 3 and lost["autoguidance"] == lost["classifier-free, limited"] == lost["none"] == 0
    )
    assert shares["autoguidance"] < shares["classifier-free"] / 3


def test_denoiser_of_intervals_is_the_posterior_mean_by_quadrature():
    denoiser = UniformDenoiser([(-2.0, -1.0), (1.0, 2.0)], [0.3, 0.7])
    for x, t in ((-3.0, 0.5), (0.1, 0.4), (1.2, 0.05), (0.0, 30.0)):

        def moment(power: int, x: float = x, t: float = t) -> float:
            like = lambda z: z**power * math.exp(-((x - z) ** 2) / (2 * t * t))  # noqa: E731
            return 0.3 * quad(like, -2, -1, epsabs=1e-14)[0] + 0.7 * quad(like, 1, 2, epsabs=1e-14)[0]

        found = denoiser(torch.tensor([[x]]).double(), torch.tensor([t]).double()).item()
        assert found == pytest.approx(moment(1) / moment(0), abs=1e-7)


def test_denoiser_of_intervals_is_stable_far_outside_and_at_little_noise():
    denoiser = UniformDenoiser([(-2.0, -1.0), (1.0, 2.0)])
    x = torch.tensor([[-50.0], [0.5], [1.5], [9.0]]).double()
    clean = denoiser(x, torch.full((4,), 1e-3).double())
    torch.testing.assert_close(clean[:, 0], torch.tensor([-2.0, 1.0, 1.5, 2.0]).double(), atol=1e-3, rtol=0)
    with pytest.raises(UserError, match="below its end"):
        UniformDenoiser([(1.0, 1.0)])
    with pytest.raises(UserError, match="sum to one"):
        UniformDenoiser([(0.0, 1.0), (2.0, 3.0)], [0.5, 0.6])


def test_sliced_distance_is_scipys_on_a_line_and_the_shift_of_a_translated_set():
    a = torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).double()
    b = torch.rand(500, 1, generator=torch.Generator().manual_seed(1)).double()
    assert sliced_wasserstein(a, b, torch.ones(1, 1).double()) == pytest.approx(wasserstein_distance(a[:, 0], b[:, 0]))
    along = directions(400, 3, torch.Generator().manual_seed(2))
    c = torch.randn(200, 3, generator=torch.Generator().manual_seed(3)).double()
    shift = torch.tensor([0.0, 2.0, 0.0]).double()
    assert sliced_wasserstein(c, c + shift, along) == pytest.approx(2 * along[1].abs().mean().item())
    with pytest.raises(UserError, match="equally many"):
        sliced_wasserstein(c, c[:5], along)


@pytest.mark.parametrize("dim", [2, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_every_sampler_reaches_the_exact_law(dim):
    """But for the ascent, which guesses its noise level: see docs/results/mixtures.md."""
    found = run_convergence(Convergence(dims=(dim,), steps=(32, 256), points=4000, redraws=20), threads=2)
    rows = pd.DataFrame(found.rows)
    finest = rows[(rows["steps"] == 256) & (rows["sampler"] != "ascent")]
    assert len(finest) == len(kinds(Convergence())) - 1
    assert (finest["distance"] < finest["chance"] + 3 * finest["chance_spread"]).all(), finest.to_string()


def test_order_of_convergence_of_samplers_without_noise():
    settings = Convergence(dims=(2,), steps=(32, 64, 128), points=1000, redraws=2)
    orders = pd.DataFrame(run_convergence(settings).orders).set_index("sampler")["order"]
    for sampler, order in {"ddim": 1, "euler ode": 1, "heun": 2, "dpm++2m": 2}.items():
        assert orders[sampler] == pytest.approx(order, abs=0.25), sampler


@pytest.mark.parametrize("sampler", ["ddpm", "euler sde"])
def test_order_of_convergence_of_samplers_with_noise_is_one_by_the_exact_variance_on_a_gaussian(sampler):
    """On a Gaussian a sampler is linear: its variance is the sum of its squared responses to the start and to each
    draw."""
    denoiser = MixtureDenoiser(GaussianMixture([[0.0]], [[1.0]]), None if sampler == "ddpm" else OrnsteinUhlenbeck())

    def variance(steps: int) -> float:
        levels = karras(20.0, 0.002, steps) if sampler == "ddpm" else times(4.0, steps)
        run = samplers.ddpm if sampler == "ddpm" else euler_sde
        start = levels[0].item() ** 2 + 1 if sampler == "ddpm" else 1.0
        draws = iter(torch.eye(steps + 1, dtype=torch.float64)[1:])
        first = torch.eye(steps + 1, dtype=torch.float64)[0]
        response = run(denoiser, math.sqrt(start) * first[:, None], levels, lambda: next(draws)[:, None])
        return response.square().sum().item()

    errors = [abs(variance(steps) - 1) for steps in (100, 200, 400)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.1)


def test_random_mixture_is_the_same_for_a_seed_and_has_two_classes():
    one, same = random_mixture(5, 20, 7), random_mixture(5, 20, 7)
    assert torch.equal(one.means, same.means) and one.classes.tolist() == [0, 0, 0, 1, 1]
