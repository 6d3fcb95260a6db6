"""Corruptions against their algebra, SciPy's blur, dense matrices and finite differences."""

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter

from featdiff.diffusion import corruptions, levels
from featdiff.diffusion.corruptions import GaussianBlur, Geometric, Identity, SoftMask
from featdiff.errors import UserError
from featdiff.mixture.processes import blur_matrix, fade_matrix

KINDS = {"identity": Identity(), "blur": GaussianBlur(), "mask": SoftMask()}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def images(count=3, size=12, channels=2, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, size, size, generator=source, dtype=torch.float64)


STRENGTHS = torch.tensor([0.3, 1.5, 4.0], dtype=torch.float64)


@each_kind
def test_operators_are_linear(kind):
    x, y = images(), images(seed=1)
    together = kind.apply(2 * x - 3 * y, STRENGTHS)
    assert (together - 2 * kind.apply(x, STRENGTHS) + 3 * kind.apply(y, STRENGTHS)).abs().max() < 1e-12


@each_kind
def test_the_adjoint_is_the_adjoint(kind):
    x, y = images(), images(seed=1)
    forward = (kind.apply(x, STRENGTHS) * y).sum((1, 2, 3))
    assert (forward - (x * kind.adjoint(y, STRENGTHS)).sum((1, 2, 3))).abs().max() < 1e-11


@each_kind
def test_each_image_of_a_batch_has_its_own_strength_and_none_at_zero(kind):
    x = images()
    together = kind.apply(x, STRENGTHS)
    for i in range(3):
        assert (together[i] - kind.apply(x[i : i + 1], STRENGTHS[i : i + 1])[0]).abs().max() < 1e-13
    assert (kind.apply(x, torch.zeros(3, dtype=torch.float64)) - x).abs().max() < 1e-13


@each_kind
def test_an_operator_is_its_gains_in_its_basis_and_the_basis_is_orthonormal(kind):
    x = images()
    coefficients = kind.to_basis(kind.apply(x, STRENGTHS))
    assert (coefficients - kind.gains(STRENGTHS, 12) * kind.to_basis(x)).abs().max() < 1e-12
    lengths = kind.to_basis(x).square().sum((1, 2, 3))
    assert (lengths - x.square().sum((1, 2, 3))).abs().max() < 1e-10


def test_blurs_add_in_squares_and_masks_add():
    x, other = images(), torch.tensor([2.0, 0.7, 1.1], dtype=torch.float64)
    blur, mask = GaussianBlur(), SoftMask()
    twice = blur.apply(blur.apply(x, STRENGTHS), other)
    assert (twice - blur.apply(x, (STRENGTHS**2 + other**2).sqrt())).abs().max() < 1e-12
    assert (mask.apply(mask.apply(x, STRENGTHS), other) - mask.apply(x, STRENGTHS + other)).abs().max() < 1e-12


@pytest.mark.parametrize("width", [1.5, 2.5])
def test_the_blur_is_scipys_also_at_the_reflecting_borders(width):
    """SciPy samples the Gaussian and cuts it; from a width of 1.5 pixels on, that is the same filter."""
    x = images(count=1, size=32, channels=1).squeeze()
    ours = GaussianBlur().apply(x[None, None], torch.tensor([width], dtype=torch.float64)).squeeze()
    scipys = torch.from_numpy(gaussian_filter(x.numpy(), width, mode="reflect", truncate=9.0))
    assert (ours - scipys).abs().max() < (1e-5 if width < 2 else 1e-12)


def test_the_blur_of_16x16_is_the_dense_matrix_of_its_definition():
    """The matrix from cosines written out one by one, no fast path."""
    n, width = 16, 2.2
    i = torch.arange(n, dtype=torch.float64)
    vectors = torch.stack([torch.cos(torch.pi * k * (i + 0.5) / n) for k in range(n)])
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    flat = torch.zeros(n * n, n * n, dtype=torch.float64)
    for a in range(n):
        for b in range(n):
            wave = torch.outer(vectors[a], vectors[b]).flatten()
            square = (math.pi * a / n) ** 2 + (math.pi * b / n) ** 2
            flat += math.exp(-square * width**2 / 2) * torch.outer(wave, wave)
    x = images(count=1, size=n, channels=1)
    ours = GaussianBlur().apply(x, torch.tensor([width], dtype=torch.float64))
    assert (ours.flatten() - flat @ x.flatten()).abs().max() < 1e-12
    assert (corruptions.matrix(GaussianBlur(), width, n) - flat).abs().max() < 1e-12
    assert (blur_matrix(n, width) - flat).abs().max() < 1e-12


def test_the_mask_is_darkest_in_the_middle_and_the_mixtures_matrix_is_the_same():
    mask = SoftMask().gains(torch.tensor([3.0], dtype=torch.float64), 7)[0, 0]
    assert (fade_matrix(7, 3.0) - mask.flatten().diag()).abs().max() < 1e-15
    assert mask.argmin() == 24 and mask[3, 3].item() == pytest.approx(torch.tensor(-3.0).exp().item())
    assert (mask[3].diff()[3:] > 0).all() and (mask - mask.flip(0)).abs().max() < 1e-15


@each_kind
def test_gradients_flow_to_images_and_strengths(kind):
    x = images(size=5, channels=1).requires_grad_()
    strengths = STRENGTHS.clone().requires_grad_(not isinstance(kind, Identity))
    assert torch.autograd.gradcheck(kind.apply, (x, strengths))


def test_the_blur_keeps_single_precision_under_autocast():
    x, strengths = images(size=16).float(), STRENGTHS.float()
    exact = GaussianBlur().apply(x.double(), STRENGTHS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (GaussianBlur().apply(x, strengths) - exact).abs().max() < 1e-5


def test_a_process_corrupts_by_operator_and_noise_and_its_mean_is_blind_to_the_noise():
    process = corruptions.soft(GaussianBlur(), Geometric(0.01, 4.0), Geometric(0.01, 0.1, until=0.25), size=12)
    x, z, t = images(), images(seed=1), torch.tensor([0.0, 0.125, 1.0], dtype=torch.float64)
    noise = torch.tensor([0.01, 0.01 * 10**0.5, 0.1], dtype=torch.float64).view(-1, 1, 1, 1)
    widths = torch.tensor([0.01, 0.01 * 400**0.125, 4.0], dtype=torch.float64)
    assert (process.corrupt(x, t, z) - GaussianBlur().apply(x, widths) - noise * z).abs().max() < 1e-12
    assert (process.adjoint(z, t) - GaussianBlur().adjoint(z, widths)).abs().max() < 1e-12


def test_schedules_reach_their_ends_in_time_and_invert():
    schedule = Geometric(0.01, 0.1, until=0.25)
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    assert schedule(t)[0].item() == pytest.approx(0.01) and (schedule(t)[2:] - 0.1).abs().max() < 1e-12
    assert (schedule.inverse(schedule(t)) - t.clamp(max=0.25)).abs().max() < 1e-12
    assert (Geometric(0.1, 0.1)(t) - 0.1).abs().max() == 0
    exploding = corruptions.variance_exploding(0.01, 5.0)
    assert (exploding.corrupt(images(), STRENGTHS, images(seed=1)) - images()).flatten(1).norm(dim=1) == pytest.approx(
        STRENGTHS * images(seed=1).flatten(1).norm(dim=1)
    )


@pytest.mark.parametrize("spacing", ["linear", "cosine", "logarithmic"])
@pytest.mark.parametrize("name", ["blur", "exploding", "pure noise"])
def test_spaced_levels_have_the_strengths_they_name(name, spacing):
    process = {
        "blur": corruptions.soft(GaussianBlur(), Geometric(0.01, 8.0), Geometric(0.01, 0.1, 0.25), size=12),
        "exploding": corruptions.variance_exploding(0.01, 8.0),
        "pure noise": corruptions.pure_noise(Geometric(0.01, 8.0)),
    }[name]
    strength = process.strength(levels.spaced(process, 9, spacing))
    assert strength[0].item() == pytest.approx(8.0) and strength[-1].item() == pytest.approx(0.01)
    if spacing == "linear":
        assert strength.diff().diff().abs().max() < 1e-9
    elif spacing == "logarithmic":
        assert strength.log().diff().diff().abs().max() < 1e-9
    else:
        assert strength[4].item() == pytest.approx((8.0 + 0.01) / 2)
        assert strength.diff().abs().argmax() in (3, 4)


def test_bad_corruptions_are_refused():
    with pytest.raises(UserError, match="blur of 23 pixels is wider than an image of 12"):
        corruptions.soft(GaussianBlur(), Geometric(0.01, 23.0), Geometric(0.01, 0.1), size=12)
    with pytest.raises(UserError, match="from above 0"):
        Geometric(0.0, 0.1)
    with pytest.raises(UserError, match="from above 0"):
        Geometric(0.2, 0.1)
    with pytest.raises(UserError, match="not 'quadratic'"):
        levels.spaced(corruptions.variance_exploding(0.01, 8.0), 9, "quadratic")
