"""Soft samplers against plain ones, Cold Diffusion, and Gaussian data with the exact denoiser."""

from functools import partial

import pytest
import torch

from featdiff.diffusion import corruptions, levels, samplers, soft_samplers
from featdiff.diffusion.corruptions import GaussianBlur, Geometric, SoftMask
from featdiff.errors import UserError

SIZE = 8
BLUR = corruptions.soft(GaussianBlur(), Geometric(0.01, 23 * SIZE / 64), Geometric(0.01, 0.1, until=0.25), size=SIZE)
MASK = corruptions.soft(SoftMask(), Geometric(0.01, 100.0), Geometric(0.01, 0.1, until=0.25), size=SIZE)
EXPLODING = corruptions.variance_exploding(0.01, 5.0)
SAMPLERS = {
    "naive": soft_samplers.naive,
    "momentum": soft_samplers.momentum,
    "flow": soft_samplers.flow,
    "soft_ddim": partial(soft_samplers.soft_ddim, nu=0.5),
}


def power():
    """Variance of each coefficient, falling with the frequency as in photographs."""
    f = torch.arange(SIZE, dtype=torch.float64)
    return 1 / (1 + f[:, None] ** 2 + f**2)


def exact(process, spectrum=None):
    """The posterior mean of Gaussian data of mean zero whose variance is ``spectrum`` in the operator's basis."""
    variance = power() if spectrum is None else spectrum

    def denoiser(x, t, condition=None):
        gain = process.corruption.gains(process.strength(t), SIZE)
        pull = gain * variance / (gain**2 * variance + process.sigma(t).view(-1, 1, 1, 1) ** 2)
        return from_basis(process, pull * process.corruption.to_basis(x))

    return denoiser


def from_basis(process, coefficients):
    """The inverse of an orthonormal transform is its transpose."""
    if not isinstance(process.corruption, GaussianBlur):
        return coefficients
    basis = corruptions.cosines(SIZE, coefficients.dtype, coefficients.device)
    return basis.T @ coefficients @ basis


def noise_like(x, seed=0):
    source = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(x.shape, generator=source, dtype=x.dtype)


def started(process, count, level=1.0, spectrum=None):
    """Corrupted draws of the data at ``level``."""
    source = torch.Generator().manual_seed(4)
    data, z = torch.randn(2, count, 1, SIZE, SIZE, generator=source, dtype=torch.float64)
    t = torch.full((count,), level, dtype=torch.float64)
    deviation = (power() if spectrum is None else spectrum).sqrt()
    return process.corrupt(from_basis(process, deviation * data), t, z)


def grid(*values):
    return torch.tensor(values, dtype=torch.float64)


def mean_step(sampler, x, levels, **options):
    """One step of a sampler with the noise left out, and its draw for unit noise alone."""
    stop = lambda x, t, c=None: exact(EXPLODING)(x, t) if t[0] == levels[0] else x  # noqa: E731
    quiet = sampler(stop, x, levels, lambda: torch.zeros_like(x), **options)
    loud = sampler(stop, x, levels, lambda: torch.ones_like(x), **options)
    return quiet, (loud - quiet).flatten()[0].item()


def test_momentum_without_a_corruption_is_the_reverse_exploding_step():
    """Its mean is the ancestral step's, that is ``x + (sigma^2 - sigma'^2) score``; its noise is the reverse
    diffusion's."""
    x, t, s = started(EXPLODING, 6, level=2.0), 2.0, 1.2
    quiet, deviation = mean_step(soft_samplers.momentum, x, grid(t, s), process=EXPLODING)
    ancestral, ancestral_deviation = mean_step(samplers.ddpm, x, grid(t, s))
    assert (quiet - ancestral).abs().max() < 1e-12
    score = (exact(EXPLODING)(x, torch.full((6,), t, dtype=torch.float64)) - x) / t**2
    assert (quiet - x - (t**2 - s**2) * score).abs().max() < 1e-12
    assert deviation == pytest.approx((t**2 - s**2) ** 0.5)
    assert deviation * s / t == pytest.approx(ancestral_deviation)


@pytest.mark.parametrize("nu", [0.0, 0.4, 1.0])
def test_soft_ddim_without_a_corruption_is_ddim(nu):
    x, some = started(EXPLODING, 6, level=5.0), levels.karras(5.0, 0.01, 12)
    ours = soft_samplers.soft_ddim(exact(EXPLODING), x, some, noise_like(x), process=EXPLODING, nu=nu)
    plain = samplers.ddim(exact(EXPLODING), x, some, noise_like(x), nu=nu)
    assert (ours - plain).abs().max() < 1e-12


@pytest.mark.parametrize("corruption", [GaussianBlur(), SoftMask()], ids=["blur", "mask"])
def test_momentum_with_constant_noise_is_cold_diffusions_update(corruption):
    """``x' = x - D(x0_hat, t) + D(x0_hat, t')`` (arXiv 2208.09392, algorithm 2), and it draws no noise."""
    process = corruptions.soft(corruption, Geometric(0.1, 5.0), Geometric(0.05, 0.05), size=SIZE)
    x, some, denoiser = started(process, 5), grid(1.0, 0.7, 0.3, 0.0), exact(process)

    def forbidden():
        raise AssertionError("noise was drawn though none was removed")

    ours = soft_samplers.momentum(denoiser, x, some, forbidden, process=process)
    for t, s in ((1.0, 0.7), (0.7, 0.3), (0.3, 0.0)):
        clean = denoiser(x, torch.full((5,), t, dtype=torch.float64))
        before, after = (corruption.apply(clean, torch.full((5,), 0.1 * 50**u, dtype=torch.float64)) for u in (t, s))
        x = x - before + after
    assert (ours - denoiser(x, torch.zeros(5, dtype=torch.float64))).abs().max() < 1e-10


def test_the_flow_and_nu_zero_draw_no_noise():
    x, some = started(BLUR, 3), levels.spaced(BLUR, 6, "logarithmic")

    def forbidden():
        raise AssertionError("a deterministic sampler drew noise")

    first = soft_samplers.soft_ddim(exact(BLUR), x, some, forbidden, process=BLUR)
    assert torch.equal(first, soft_samplers.soft_ddim(exact(BLUR), x, some, forbidden, process=BLUR))
    soft_samplers.flow(exact(BLUR), x, some, forbidden, process=BLUR)


def variance_ratio(sampler, steps, count, spectrum):
    """Variance of the sampled DCT coefficients over the data's, beyond what the last estimate holds back; (SIZE,
    SIZE)."""
    x, some = started(BLUR, count, spectrum=spectrum), levels.spaced(BLUR, steps, "logarithmic")
    samples = sampler(exact(BLUR, spectrum), x, some, noise_like(x), process=BLUR)
    spread = BLUR.corruption.to_basis(samples).square().mean((0, 1))
    return spread / spectrum * (spectrum + 1e-4) / spectrum  # noise of .01 at the end: var x0_hat = S^2 / (S + .01^2)


FLAT = torch.ones(SIZE, SIZE, dtype=torch.float64)


@pytest.mark.slow
def test_on_gaussian_data_naive_keeps_half_of_the_variance_and_momentum_all():
    """The reference values of 1000 steps: .50, and .98 to 1.00, at every frequency; a coefficient's sampling error is
    7%."""
    error = (2 / 400) ** 0.5
    naive = variance_ratio(soft_samplers.naive, 1000, 400, FLAT)
    momentum = variance_ratio(soft_samplers.momentum, 1000, 400, FLAT)
    assert abs(naive.mean() - 0.50) < 3 * 0.5 * error / SIZE and ((naive - 0.5).abs() < 4 * 0.5 * error).all()
    assert abs(momentum.mean() - 0.99) < 0.01 + 3 * error / SIZE
    assert ((momentum - 0.99).abs() < 0.01 + 4 * error).all()


def test_on_gaussian_data_a_hundred_momentum_steps_keep_nine_tenths_of_the_variance():
    """The reference values of 100 steps, .86 to .93, in the coefficients that are sampled; here with an error of 1%."""
    momentum = variance_ratio(soft_samplers.momentum, 100, 2000, FLAT)[1:, 1:].mean()
    assert 0.86 < momentum < 0.93
    assert 0.45 < variance_ratio(soft_samplers.naive, 100, 2000, FLAT)[1:, 1:].mean() < 0.51


@pytest.mark.parametrize("process", [BLUR, MASK, EXPLODING], ids=["blur", "mask", "exploding"])
@pytest.mark.parametrize("name", ["momentum", "flow", "soft_ddim"])
def test_samplers_keep_the_variance_under_every_corruption(name, process):
    top = 5.0 if process is EXPLODING else 1.0
    x = started(process, 1000, level=top)
    some = levels.spaced(process, 200, "logarithmic")
    samples = SAMPLERS[name](exact(process), x, some, noise_like(x), process=process)
    ratios = process.corruption.to_basis(samples).square().mean((0, 1)) / power()
    assert 0.9 < ratios.mean() < 1.1  # first order: 200 steps


@pytest.mark.parametrize("name", ["flow", "soft_ddim"])
def test_deterministic_samplers_converge_to_one_flow_at_first_order(name):
    """The coefficient (0, 3) decays by a known flow: both samplers halve their distance to the finest when steps
    double."""
    sampler = soft_samplers.flow if name == "flow" else soft_samplers.soft_ddim
    x = started(BLUR, 20)
    fine = soft_samplers.flow(exact(BLUR), x, levels.spaced(BLUR, 2000, "logarithmic"), noise_like(x), process=BLUR)
    errors = [
        (sampler(exact(BLUR), x, levels.spaced(BLUR, n, "logarithmic"), noise_like(x), process=BLUR) - fine).abs().max()
        for n in (100, 200)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.4)


def test_a_step_is_the_papers_equation_term_by_term():
    x, t, s = started(BLUR, 4, level=0.2), 0.2, 0.1
    stop = lambda y, level, c=None: exact(BLUR)(y, level) if level[0] == t else y  # noqa: E731
    clean = exact(BLUR)(x, torch.full((4,), t, dtype=torch.float64))
    z = noise_like(x)()
    big, small = (BLUR.apply(clean, torch.full((4,), u, dtype=torch.float64)) for u in (t, s))
    a, b = (0.01 * 10 ** (u / 0.25) for u in (t, s))
    v = 0.5 * (b**2 * (a**2 - b**2) / a**2) ** 0.5
    expected = {
        "naive": small + b * z,
        "momentum": x + (small - big) - (b**2 - a**2) / a**2 * (big - x) + (a**2 - b**2) ** 0.5 * z,
        "flow": x + (small - big) + (a**2 - b**2) / (2 * a**2) * (big - x),
        "soft_ddim": small + (b**2 - v**2) ** 0.5 / a * (x - big) + v * z,
    }
    for name, sampler in SAMPLERS.items():
        assert (sampler(stop, x, grid(t, s), noise_like(x), process=BLUR) - expected[name]).abs().max() < 1e-12, name


def test_the_condition_reaches_the_denoiser():
    x, seen = started(BLUR, 2), []
    for sampler in SAMPLERS.values():
        sampler(lambda y, t, c=None: seen.append(c) or y, x, grid(1.0, 0.0), noise_like(x), "class", process=BLUR)
    assert seen == ["class"] * 8


@pytest.mark.parametrize("name", SAMPLERS)
def test_levels_and_noise_that_make_no_sense_are_refused(name):
    x, sampler = started(BLUR, 2), SAMPLERS[name]
    with pytest.raises(UserError, match="levels must decrease"):
        sampler(exact(BLUR), x, grid(0.1, 1.0), noise_like(x), process=BLUR)
    with pytest.raises(UserError, match="noise is zero at level 0"):
        sampler(exact(EXPLODING), x, grid(1.0, 0.0), noise_like(x), process=EXPLODING)
    falling = corruptions.Process(GaussianBlur(), Geometric(0.1, 1.0), Falling())
    with pytest.raises(UserError, match="noise must not grow"):
        sampler(exact(BLUR), x, grid(1.0, 0.5), noise_like(x), process=falling)


class Falling:
    """A noise that is smaller where more is corrupted."""

    low, high = 0.1, 1.0

    def __call__(self, t):
        return 1.1 - t

    def inverse(self, value):
        return 1.1 - value
