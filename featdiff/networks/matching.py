"""Feature matching: the projected score of arXiv 2410.11646, section 3.

The feature vector ``phi(x)`` collects the spatial means of the channels at the end of chosen blocks. A *match* tells a
block how far each channel mean should move; the block adds that shift, scaled by one learned scalar per channel:

    a_j(u) <- a_j(u) + w_j * (phi_target_j - mean_j)

A match is a function ``(columns, means) -> shift``: ``columns`` is the slice of ``phi`` that belongs to the block and
``means`` its channel means, of shape (B, C).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Match = Callable[[slice, Tensor], Tensor | None]


def unmatched(columns: slice, means: Tensor) -> None:
    """The unconditional network: no channel is moved."""


def to_features(target: Tensor) -> Match:
    """Move every channel mean towards ``target``, of shape (B, feature dimension)."""
    return lambda columns, means: target[:, columns].to(means.dtype) - means


def to_group(size: int) -> Match:
    """Move each image towards the others of its group: the training match, for a batch ``cat([images, partners])``.

    ``images`` come in groups of ``size`` rows of one class and noise level; ``partners`` are the same images again, under
    noise of their own. The target of image i is the mean feature vector of the other partners of its group, so a group of 2
    is the paper's pair, both ways. The partners go through the same weights, unmodified, and the gradient flows through
    them. One pass over both halves computes the same as two passes.
    """

    def match(columns: slice, means: Tensor) -> Tensor:
        images, partners = means.chunk(2)
        return torch.cat([mean_of_others(partners, size) - images, torch.zeros_like(partners)])

    return match


def mean_of_others(features: Tensor, size: int) -> Tensor:
    """For each row of (B, C), in groups of ``size`` rows, the mean of the other rows of its group; (B, C)."""
    groups = features.unflatten(0, (-1, size))
    return ((groups.sum(1, keepdim=True) - groups) / (size - 1)).flatten(0, 1)


class FeatureTap(nn.Module):
    """The end of a matched block: reads the channel means and moves them by the learned scale ``w``, of shape (C,)."""

    def __init__(self, channels: int, columns: slice, *, initial_scale: float = 1.0, learned: bool = True):
        super().__init__()
        self.columns = columns
        self.scale = nn.Parameter(torch.full((channels,), float(initial_scale)), requires_grad=learned)

    def forward(self, activation: Tensor, match: Match) -> tuple[Tensor, Tensor]:
        """Return the moved activation (B, C, H, W) and the means before the move (B, C)."""
        means = activation.mean(dim=(2, 3))
        shift = match(self.columns, means)
        if shift is not None:
            activation = activation + (self.scale * shift).to(activation.dtype)[:, :, None, None]
        return activation, means
