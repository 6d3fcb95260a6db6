"""Normalisation that keeps the mean, with the bias per channel and the ReLU that follow it: one pass forward, one back.

Of a network of half a million parameters these small steps cost as much as the convolutions. Written out one by one,
autograd walks through memory some twenty times for each layer, in float32 too; :class:`_NormalisedReLU` knows the
derivative and needs six walks in the dtype of the activation.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPSILON = 1e-6


class StdNormReLU(nn.Module):
    """Divide by the standard deviation over (C, H, W), scale each channel, add a bias, set what is negative to zero.

    The mean is **not** subtracted: subtracting it, as group, layer or instance normalisation do, would erase the
    feature.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Normalise (B, C, H, W), with a bias (B, C) if there is one."""
        if bias is None:
            bias = x.new_zeros(x.shape[:2])
        output: Tensor = _NormalisedReLU.apply(x, self.gain, bias)
        return output


class _NormalisedReLU(torch.autograd.Function):
    """``y = max(0, g x / s + b)`` with ``s^2`` the variance of the image over (C, H, W) plus epsilon.

    With ``d`` the gradient of ``y`` where y is positive, and sums over (H, W), ``p_c = sum d x`` for each channel:
    the gradient of b is ``sum d``, that of g is ``p / s`` summed over the batch, and that of x is
    ``d g / s - (x - mean) (sum_c g_c p_c) / (n s^3)``, n the values of an image.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        mean, square = moments(x)
        spread = square - mean**2
        inverse = torch.rsqrt(spread.clamp(min=0) + EPSILON)  # (B,)
        factor = (gain * inverse[:, None]).to(x.dtype)[:, :, None, None]
        y = torch.addcmul(bias.to(x.dtype)[:, :, None, None], x, factor)
        # torch 2.11 traces a function that changes its result in place into one whose gradients are all zero
        y = y.relu() if torch.compiler.is_compiling() else y.relu_()
        ctx.save_for_backward(x, y, gain, factor, mean, inverse, spread)
        ctx.bias_dtype = bias.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, y, gain, factor, mean, inverse, spread = ctx.saved_tensors
        slope = torch.ops.aten.threshold_backward(slope, y, 0)
        at_bias = over_positions(slope)  # (B, C)
        product = over_positions(slope * x).to(inverse.dtype)
        at_gain = (product * inverse[:, None]).sum(0)
        pull = -(product * gain).sum(1) * inverse**3 * (spread > 0) / x[0].numel()  # (B,)
        pull, shift = (value.to(x.dtype)[:, None, None, None] for value in (pull, -pull * mean))
        at_x = (x * pull).add_(shift).addcmul_(slope, factor)
        return at_x, at_gain.to(gain.dtype), at_bias.to(ctx.bias_dtype)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square over (C, H, W) of each image, (B,), at least in float32."""
    values = x.permute(0, 2, 3, 1).flatten(1)  # the order of channels_last memory
    values = at_least_float(values)
    norm = torch.linalg.vector_norm(values, dim=1)  # on a CPU five times as fast as a sum of squares or ``x.var``
    return values.sum(1) / values.shape[1], norm**2 / values.shape[1]


def at_least_float(x: Tensor) -> Tensor:
    """``x``, in float32 where it has half as many bits: sums and squares of many values need more."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def over_positions(x: Tensor) -> Tensor:
    """The sum over (H, W) of (B, C, H, W): (B, C). In the order of memory, on a CPU many times as fast as ``x.sum((2,
    3))``."""
    return x.permute(0, 2, 3, 1).flatten(1, 2).sum(1)
