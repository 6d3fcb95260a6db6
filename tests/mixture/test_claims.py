"""The three claims of arXiv 2403.01639 on the reference settings: confidence, entropy, splitting."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from featdiff.diffusion.ornstein_uhlenbeck import euler_ode, times
from featdiff.errors import UserError
from featdiff.mixture import paths
from featdiff.mixture.confidence import SAMPLERS, build, run_case, smallest_inner_product
from featdiff.mixture.denoiser import MixtureDenoiser
from featdiff.mixture.entropy import class_entropy, lost_to_guidance, nearest_neighbour_entropy
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.paths import guided_paths
from featdiff.mixture.processes import OrnsteinUhlenbeck
from featdiff.mixture.splitting import _ends, centre_threshold, hump_shape
from featdiff.settings.base import parse
from featdiff.settings.mixture import GuidanceCase, MixtureLaw, Splitting

TRIANGLE = [[math.sqrt(3) / 2, 0.5], [-math.sqrt(3) / 2, 0.5], [0.0, -1.0]]
ETAS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
REFERENCE = {  # arXiv 2403.01639's triangle, T = 10, 2000 Euler steps, given to three digits
    ("ddim", "confidence"): (0.586, 0.699, 0.787, 0.894, 0.979, 0.997),
    ("ddpm", "confidence"): (0.589, 0.687, 0.760, 0.848, 0.935, 0.968),
    ("ddim", "entropy"): (2.838, 2.648, 2.480, 2.226, 1.873, 1.691),
    ("ddpm", "entropy_knn"): (2.850, 2.693, 2.563, 2.406, 2.252, 2.209),
}
ROUNDING = 5e-4


@pytest.fixture(scope="module")
def triangle() -> pd.DataFrame:
    case = GuidanceCase(law=MixtureLaw(means=TRIANGLE), target=0, etas=ETAS, time=10.0, steps=2000, paths=10_000)
    return pd.DataFrame(run_case("triangle", case, threads=2).rows)


@pytest.mark.parametrize(("sampler", "measure"), REFERENCE)
def test_reference_table_within_three_standard_errors(triangle, sampler, measure):
    rows = triangle[triangle["sampler"] == sampler]
    expected = np.array(REFERENCE[sampler, measure])
    allowed = 3 * rows[f"{measure}_error"].to_numpy() + ROUNDING
    assert (np.abs(rows[measure].to_numpy() - expected) <= allowed).all(), (rows[measure].tolist(), allowed)


def test_every_path_gains_confidence_where_the_inner_product_condition_holds(triangle):
    assert (triangle["inner_product"] > 0).all()
    assert (triangle[triangle["eta"] > 0]["gaining"] == 1.0).all()


def test_exact_and_neighbour_entropy_agree_and_fall(triangle):
    exact = triangle[triangle["sampler"] == "ddim"]
    away = (exact["entropy"] - exact["entropy_knn"]).abs()
    assert (away < 3 * exact["entropy_knn_error"]).all()
    for _, rows in triangle.groupby("sampler"):
        assert rows["entropy_knn"].is_monotonic_decreasing
        assert rows["confidence"].is_monotonic_increasing


def test_aligned_centre_under_ddpm_gains_on_81_to_84_percent_of_paths():
    case = GuidanceCase(law=MixtureLaw(means=[[-1.0], [0.0], [1.0]]), target=1, etas=ETAS, steps=1000, paths=20_000)
    result = pd.DataFrame(run_case("aligned", case, threads=2).rows)
    assert (result["inner_product"] == -1).all()
    ddpm = result[(result["sampler"] == "ddpm") & (result["eta"] > 0)]
    assert (ddpm["gaining"] > 0.81 - 0.005).all() and (ddpm["gaining"] < 0.84 + 0.005).all(), ddpm["gaining"].tolist()
    assert ddpm["confidence"].is_monotonic_increasing


def test_two_classes_always_meet_the_condition_and_it_is_a_cosine():
    two = MixtureDenoiser(GaussianMixture([[0.0, 0.0], [3.0, 1.0]], [[2.0, 0.3], [0.3, 1.0]]), OrnsteinUhlenbeck())
    assert smallest_inner_product(two, 0, times(5.0, 10)) == pytest.approx(1.0)
    three = MixtureDenoiser(build(MixtureLaw(means=TRIANGLE)), OrnsteinUhlenbeck())
    assert smallest_inner_product(three, 0, times(5.0, 10)) == pytest.approx(0.5)
    own = MixtureDenoiser(GaussianMixture([[0.0], [1.0]], [[[1.0]], [[2.0]]]), OrnsteinUhlenbeck())
    assert math.isnan(smallest_inner_product(own, 0, times(5.0, 10)))


@pytest.mark.parametrize(
    ("sampler", "step", "whole", "split"),
    [("ddpm", 0.1, 10.0, 15.0), ("ddpm", 0.025, 40.0, 50.0), ("ddim", 0.1, 80.0, 100.0)],
)
def test_strong_guidance_in_coarse_steps_splits_the_centre_between_the_known_strengths(sampler, step, whole, split):
    settings, levels = Splitting(paths=2000), times(10.0, round(10 / step))
    below, above = _ends(settings, sampler, levels, (whole, split), 2)
    assert not hump_shape(below.numpy()).split and hump_shape(above.numpy()).split
    repels = centre_threshold(2.0, step, levels, sampler)
    assert repels < split and (sampler == "ddim" or repels > whole)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_neighbour_entropy_of_a_gaussian(dim):
    root = torch.randn(dim, dim, generator=torch.Generator().manual_seed(dim), dtype=torch.float64) + 2 * torch.eye(dim)
    law = GaussianMixture(torch.zeros(1, dim), root @ root.T)
    points = law.sample(20_000, torch.Generator().manual_seed(1))[0].numpy()
    exact = torch.logdet(2 * math.pi * math.e * law.covariances[0]).item() / 2
    found = nearest_neighbour_entropy(points)
    assert abs(found.value - exact) < 3 * found.error + 0.01 * dim


def test_neighbour_entropy_of_coinciding_points_is_minus_infinity_and_too_few_are_refused():
    assert nearest_neighbour_entropy(np.zeros((20, 1))).value == -math.inf
    with pytest.raises(UserError, match="more than 5 points"):
        nearest_neighbour_entropy(np.zeros((5, 1)))


@pytest.mark.parametrize("own", [False, True])
def test_entropy_lost_is_the_divergence_of_the_guidance_by_finite_differences(own):
    covariances = torch.tensor([[[1.0, 0.2], [0.2, 0.5]], [[0.4, 0.0], [0.0, 1.5]], [[0.8, 0.1], [0.1, 0.9]]]).double()
    mixture = GaussianMixture(TRIANGLE, covariances if own else covariances[0], [0.2, 0.3, 0.5])
    denoiser, t = MixtureDenoiser(mixture, OrnsteinUhlenbeck()), 0.4
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noisy = mixture.at(OrnsteinUhlenbeck(), t)

    def push(p: torch.Tensor) -> torch.Tensor:
        return noisy.score(p) - noisy.given(0).score(p)

    h, divergence = 1e-5, 0.0
    for axis in torch.eye(2, dtype=torch.float64):
        divergence = divergence + ((push(x + h * axis) - push(x - h * axis)) @ axis) / (2 * h)
    torch.testing.assert_close(lost_to_guidance(denoiser, x, t, 0), divergence, atol=1e-6, rtol=1e-5)
    assert denoiser.level(t).shared is not own


def test_entropy_of_a_class_of_several_components_is_that_of_its_density():
    mixture = GaussianMixture([[-3.0], [3.0], [50.0]], [[1.0]], None, [0, 0, 1])
    found = class_entropy(MixtureDenoiser(mixture), 0, draws=50_000, generator=torch.Generator().manual_seed(0))
    far_apart = 0.5 * math.log(2 * math.pi * math.e) + math.log(2)
    assert found.value == pytest.approx(far_apart, abs=0.02)


def test_paths_are_the_same_bits_for_any_number_of_threads_and_any_size_of_block(monkeypatch):
    denoiser = MixtureDenoiser(build(MixtureLaw(means=TRIANGLE)), OrnsteinUhlenbeck())
    levels = times(10.0, 50)

    def run(threads: int, etas: tuple[float, ...], rows: int = paths.ROWS) -> torch.Tensor:
        monkeypatch.setattr(paths, "ROWS", rows)
        found = guided_paths(
            denoiser, SAMPLERS["ddpm"], y=1, etas=etas, levels=levels, count=11_000, seed=3, threads=threads
        )
        return found.ends

    first = run(1, (0.0, 2.0))
    assert torch.equal(first, run(3, (0.0, 2.0)))
    assert torch.equal(first, run(1, (0.0, 2.0), paths.GRAIN)) and torch.equal(first, run(1, (0.0, 2.0), 100_000))
    torch.testing.assert_close(run(1, (2.0,))[0], first[1], atol=1e-9, rtol=0)


def test_guided_paths_keep_the_class_law_without_guidance():
    law = MixtureLaw(means=[[0.0, 0.0], [2.0, 0.0]], covariances=[[[0.5, 0.2], [0.2, 0.3]], [[1.0, 0.0], [0.0, 1.0]]])
    denoiser = MixtureDenoiser(build(law), OrnsteinUhlenbeck())
    for sampler in SAMPLERS.values():
        found = guided_paths(denoiser, sampler, y=0, etas=(0.0,), levels=times(8.0, 800), count=10_000, seed=0)
        torch.testing.assert_close(found.ends[0].T.cov(), torch.tensor(law.covariances[0]).double(), atol=0.02, rtol=0)


def test_bad_settings_of_a_case_are_refused_with_one_message():
    law = {"means": [[0.0], [1.0]]}
    for values, message in (
        ({"law": law, "steps": -3}, "steps"),
        ({"law": law, "paths": 5}, "paths"),
        ({"law": law, "etas": [0.5, 1.0]}, "start at 0"),
        ({"law": {**law, "covariance": [[1.0]], "covariances": [[[1.0]], [[1.0]]]}}, "not both"),
    ):
        with pytest.raises(UserError, match=message):
            parse(GuidanceCase, values, "mixture")
    with pytest.raises(UserError, match="target 4 is no class"):
        run_case("few", GuidanceCase(law=MixtureLaw(**law), target=4, steps=2, paths=100))
    with pytest.raises(UserError, match="at least one path"):
        denoiser = MixtureDenoiser(build(MixtureLaw(**law)), OrnsteinUhlenbeck())
        guided_paths(denoiser, euler_ode, y=0, etas=(0.0,), levels=times(1.0, 2), count=0, seed=0)
