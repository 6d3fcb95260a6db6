"""The three shapes that carry the package: a denoiser, a source of noise, a sampler.

A denoiser maps ``(x, t, condition)`` to the estimate of the clean ``x0``, the posterior mean. Score and clean estimate
are the same thing (Miyasawa, Tweedie): ``grad log q_t(x) = (x0_hat - x) / t^2`` for noise of standard deviation ``t``.
"""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor


class Denoiser(Protocol):
    """``x`` (B, ...), noise levels ``t`` (B,), and a condition the denoiser understands; None is unconditional."""

    def __call__(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor: ...


Noise = Callable[[], Tensor]
"""Each call returns fresh standard normal noise of the shape of ``x``."""


class Sampler(Protocol):
    """From ``x`` at noise level ``levels[0]`` down to a clean sample; ``levels`` (n,) decrease and stay positive."""

    def __call__(
        self, denoiser: Denoiser, x: Tensor, levels: Tensor, noise: Noise, condition: Any = None
    ) -> Tensor: ...


def score(denoiser: Denoiser, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
    """``grad log q_t(x)`` by Tweedie's formula, of the shape of ``x``."""
    variance = t.view(-1, *[1] * (x.ndim - 1)) ** 2
    return (denoiser(x, t, condition) - x) / variance
