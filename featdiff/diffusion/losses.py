"""The denoising loss, and nothing else: no label, no classifier, no contrastive term."""

from torch import Tensor

from featdiff.params import TrainSpec


def weight(form: str, t: Tensor, data_std: float) -> Tensor:
    """Weight of the squared error of ``x0_hat`` at noise level ``t`` (B,).

    ``edm``: ``1 / c_out^2``, so that the network's target has unit variance (arXiv 2206.00364, section 5).
    ``residual``: 1, the literal ``|| f(x + sigma z) - sigma z ||^2`` (arXiv 2410.11646, equation 10).
    """
    if form == "residual":
        return t.new_ones(t.shape)
    return (t**2 + data_std**2) / (t * data_std) ** 2


def denoising(estimate: Tensor, clean: Tensor, weights: Tensor) -> Tensor:
    """Mean over the batch of the weighted mean squared error of each image; a scalar."""
    return (weights * (estimate - clean).square().flatten(1).mean(1)).mean()


def noisy_partner_levels(spec: TrainSpec, t: Tensor) -> Tensor:
    """The partner's noise levels: the image's own, or (nearly) none for a clean partner."""
    return t if spec.training.partner_noise == "same" else t.new_full(t.shape, CLEAN)


CLEAN = 1e-3
"""Noise level that stands for a clean image: a quarter of a gray level, so that log sigma stays finite."""
