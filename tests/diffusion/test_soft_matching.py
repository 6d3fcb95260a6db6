"""Soft Score Matching: its equality with plain denoising, and the theorem that it finds the score, on Gaussian data."""

import math

import pytest
import torch

from featdiff.diffusion import corruptions, losses
from featdiff.diffusion.corruptions import GaussianBlur, Geometric, Identity, SoftMask

SIZE = 3  # images of 3x3: 9 numbers, a dense Gaussian


def test_without_a_corruption_it_is_the_denoising_loss_bit_for_bit():
    source = torch.Generator().manual_seed(0)
    estimate, clean = torch.rand(2, 8, 1, 6, 6, generator=source)
    t = torch.rand(8, generator=source) + 0.1
    for process in (corruptions.variance_exploding(), corruptions.pure_noise(Geometric(0.01, 5.0))):
        for form in ("edm", "residual", "soft"):
            weights = losses.weight(form, process.sigma(t), 0.3)
            plain = losses.denoising(estimate, clean, weights)
            assert torch.equal(losses.soft_matching(estimate, clean, t, weights, process), plain)


class Gaussian:
    """Correlated Gaussian images, and points of equal weight whose mean and covariance are exactly theirs and the
    noise's.

    A loss that is quadratic in a linear estimator is then exact: no sampling error.
    """

    def __init__(self, seed: int):
        d = SIZE**2
        source = torch.Generator().manual_seed(seed)
        root = torch.randn(d, d, generator=source, dtype=torch.float64)
        self.covariance = root @ root.T / d + 0.05 * torch.eye(d, dtype=torch.float64)
        self.mean = torch.randn(d, generator=source, dtype=torch.float64)
        factor = torch.linalg.cholesky(self.covariance)
        axes = math.sqrt(2 * d) * torch.eye(2 * d, dtype=torch.float64)
        points = torch.cat([axes, -axes])
        self.clean = (self.mean + points[:, :d] @ factor.T).view(-1, 1, SIZE, SIZE)
        self.noise = points[:, d:].reshape(-1, 1, SIZE, SIZE)


def fitted(data, process, level):
    """The affine estimator ``x0_hat = A x_t + b`` that minimises the loss; (gain, offset).

    The loss is quadratic in (A, b), so one Newton step from anywhere is the minimum; where it is flat (a singular C),
    the step is the shortest one.
    """
    d = SIZE**2
    t = torch.full((len(data.clean),), level, dtype=torch.float64)
    noisy = process.corrupt(data.clean, t, data.noise)
    weights = losses.weight("soft", process.sigma(t), 1.0)

    def loss(parameters):
        gain, offset = parameters[: d * d].view(d, d), parameters[d * d :]
        estimate = (noisy.flatten(1) @ gain.T + offset).view_as(noisy)
        return losses.soft_matching(estimate, data.clean, t, weights, process)

    start = torch.zeros(d * d + d, dtype=torch.float64)
    slope = torch.func.grad(loss)(start)
    curvature = torch.func.hessian(loss)(start)
    best = -torch.linalg.pinv(curvature, rtol=1e-12, hermitian=True) @ slope
    return best[: d * d].view(d, d), best[d * d :]


class HardMask(SoftMask):
    """The mask at infinite strength in its middle: pixels that are gone, a singular operator."""

    def gains(self, strength, size):
        gains = super().gains(strength, size)
        return torch.where(gains < 0.7, torch.zeros_like(gains), gains)


PROCESSES = {
    "identity": corruptions.pure_noise(Geometric(0.1, 2.0)),
    "blur": corruptions.soft(GaussianBlur(), Geometric(0.1, 2.0), Geometric(0.1, 0.5), size=SIZE),
    "mask": corruptions.soft(SoftMask(), Geometric(0.1, 3.0), Geometric(0.1, 0.5), size=SIZE),
    "singular mask": corruptions.soft(HardMask(), Geometric(0.1, 3.0), Geometric(0.1, 0.5), size=SIZE),
}


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("level", [0.4, 0.9])
def test_on_gaussian_data_the_minimiser_is_the_posterior_mean(name, level):
    data, process = Gaussian(3), PROCESSES[name]
    gain, offset = fitted(data, process, level)
    eye = torch.eye(SIZE**2, dtype=torch.float64).view(-1, 1, SIZE, SIZE)
    matrix = process.apply(eye, torch.full((SIZE**2,), level, dtype=torch.float64)).flatten(1).T
    variance = process.sigma(torch.tensor(level, dtype=torch.float64)) ** 2
    seen = matrix @ data.covariance @ matrix.T + variance * torch.eye(SIZE**2, dtype=torch.float64)
    exact = data.covariance @ matrix.T @ torch.linalg.inv(seen)
    constant = data.mean - exact @ matrix @ data.mean
    assert (matrix @ (gain - exact)).abs().max() < 1e-7  # what reaches the score: C x0_hat
    assert (matrix @ (offset - constant)).abs().max() < 1e-7
    singular = name == "singular mask"
    assert (torch.linalg.matrix_rank(matrix).item() < SIZE**2) == singular
    if name in ("identity", "mask"):  # invertible and well conditioned: the estimate itself
        assert (gain - exact).abs().max() < 1e-6 and (offset - constant).abs().max() < 1e-6


def test_an_operator_that_is_not_in_the_loss_gives_another_minimiser_than_the_loss_without_it():
    """The test above would pass by any loss on linear estimators with enough freedom; a constrained one tells them
    apart."""
    data, process = Gaussian(3), PROCESSES["blur"]
    t = torch.full((len(data.clean),), 0.9, dtype=torch.float64)
    noisy = process.corrupt(data.clean, t, data.noise)
    weights = torch.ones_like(t)

    def best_scale(loss):
        """The best ``x0_hat = a x_t``: one number."""
        slope = torch.func.grad(loss)(torch.zeros((), dtype=torch.float64))
        curvature = torch.func.hessian(loss)(torch.zeros((), dtype=torch.float64))
        return (-slope / curvature).item()

    matched = best_scale(lambda a: losses.soft_matching(a * noisy, data.clean, t, weights, process))
    plain = best_scale(lambda a: losses.denoising(a * noisy, data.clean, weights))
    there = process.apply(noisy, t)
    by_hand = (there * process.apply(data.clean, t)).sum() / there.square().sum()
    assert matched == pytest.approx(by_hand.item(), abs=1e-10)
    assert abs(matched - plain) > 0.01


def test_identity_alone_gives_the_same_gradient_as_plain_denoising():
    clean = torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    t, weights = torch.full((4,), 0.3), torch.full((4,), 2.0)
    slopes = []
    noise_alone = corruptions.Process(Identity(), Geometric(1, 2), Geometric(1, 2))
    for loss in (
        lambda e: losses.soft_matching(e, clean, t, weights, noise_alone),
        lambda e: losses.denoising(e, clean, weights),
    ):  # fmt: skip
        estimate = torch.zeros_like(clean).requires_grad_()
        slopes.append(torch.autograd.grad(loss(estimate), estimate)[0])
    assert torch.equal(*slopes)
