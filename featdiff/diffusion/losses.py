"""The denoising loss, and nothing else: no label, no classifier, no contrastive term."""

from torch import Tensor


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
