"""Guidance: functions from denoiser to denoiser."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from featdiff.diffusion.denoiser import Denoiser


def feature(denoiser: Denoiser, centroids: Callable[[Tensor, Tensor], Tensor]) -> Denoiser:
    """Feature guidance (arXiv 2410.11646, section 3): the condition becomes a class label, the target its centroid.

    ``centroids(t, labels)`` looks up ``phi_y(t)``, of shape (B, feature dimension); a step costs one network
    evaluation.
    """

    def guided(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        return denoiser(x, t, None if condition is None else centroids(t, condition))

    return guided


def classifier_free(denoiser: Denoiser, *, strength: float | Tensor) -> Denoiser:
    """Classifier-free guidance (arXiv 2207.12598): ``D(none) + strength (D(condition) - D(none))``.

    ``strength = 1`` is the conditional model, at one network evaluation instead of two; in the notation of
    arXiv 2403.01639 it is ``1 + eta``. A tensor (B, 1, ...) gives each row a strength of its own.
    """

    def guided(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        if isinstance(strength, int | float) and strength == 1:
            return denoiser(x, t, condition)
        return torch.lerp(denoiser(x, t, None), denoiser(x, t, condition), strength)

    return guided


def difference(told: Denoiser, middle: Denoiser, *, strength: float) -> Denoiser:
    """Guidance by difference: ``D_middle + strength (D_class - D_middle)``, both of one network and one condition.

    ``middle`` is the denoiser led to the mean of all classes: it takes the place that a denoiser told nothing has in
    :func:`classifier_free`. ``strength = 1`` is ``told``, at one network evaluation instead of two.
    """
    if strength == 1:
        return told

    def guided(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        return torch.lerp(middle(x, t, condition), told(x, t, condition), strength)

    return guided


def classifier(
    denoiser: Denoiser, gradient: Callable[[Tensor, Tensor, Any], Tensor], *, strength: float | Tensor
) -> Denoiser:
    """Classifier guidance (arXiv 2105.05233): ``D(condition) + (strength - 1) t^2 grad log p(condition | x)``.

    ``gradient(x, t, condition)`` is that gradient, of the shape of ``x``. With the exact one this is
    :func:`classifier_free` of the same strength.
    """

    def guided(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        variance = t.view(-1, *[1] * (x.ndim - 1)) ** 2
        return denoiser(x, t, condition) + (strength - 1) * variance * gradient(x, t, condition)

    return guided


def autoguidance(denoiser: Denoiser, weak: Denoiser, *, strength: float) -> Denoiser:
    """Autoguidance (arXiv 2406.02507): extrapolate from a weaker model; both see the same condition."""

    def guided(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        return torch.lerp(weak(x, t, condition), denoiser(x, t, condition), strength)

    return guided


def limited_interval(guided: Denoiser, plain: Denoiser, *, low: float, high: float) -> Denoiser:
    """``guided`` where ``low < t <= high``, ``plain`` elsewhere (arXiv 2404.07724). Each row pays for one of the
    two."""

    def limited(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        inside = (t > low) & (t <= high)
        every, some = torch.stack([inside.all(), inside.any()]).tolist()  # one look: a device is waited for once
        if every:
            return guided(x, t, condition)
        if not some:
            return plain(x, t, condition)
        rows = inside.view(-1, *[1] * (x.ndim - 1))
        return torch.where(rows, guided(x, t, condition), plain(x, t, condition))

    return limited
