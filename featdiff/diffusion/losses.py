"""The denoising loss, and nothing else: no label, no classifier, no contrastive term."""

from torch import Tensor

from featdiff.diffusion.corruptions import Process


def weight(form: str, t: Tensor, data_std: float) -> Tensor:
    """Weight of the squared error of ``x0_hat`` at noise level ``t`` (B,).

    ``edm``: ``1 / c_out^2``, so that the network's target has unit variance (arXiv 2206.00364, section 5).
    ``residual``: 1, the literal ``|| f(x + sigma z) - sigma z ||^2`` (arXiv 2410.11646, equation 10).
    ``soft``: ``1 / t^2`` (arXiv 2209.05442, section 5); ``t`` is the noise of the corruption's level.
    """
    if form == "soft":
        return 1 / t**2
    if form == "residual":
        return t.new_ones(t.shape)
    return (t**2 + data_std**2) / (t * data_std) ** 2


def denoising(estimate: Tensor, clean: Tensor, weights: Tensor) -> Tensor:
    """Mean over the batch of the weighted mean squared error of each image; a scalar."""
    return (weights * (estimate - clean).square().flatten(1).mean(1)).mean()


def soft_matching(estimate: Tensor, clean: Tensor, t: Tensor, weights: Tensor, process: Process) -> Tensor:
    """Soft Score Matching (arXiv 2209.05442, theorem 3.2): ``w_t || C_t (x0_hat - x_0) ||^2``, a mean as
    :func:`denoising`.

    The minimiser's ``C_t x0_hat`` is that of the posterior mean, which is what the score needs; with ``C = I`` it is
    the denoising loss, bit for bit.
    """
    return (weights * process.apply(estimate - clean, t).square().flatten(1).mean(1)).mean()
