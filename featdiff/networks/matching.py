"""Feature matching: the projected score of arXiv 2410.11646, section 3.

The feature vector ``phi(x)`` collects the spatial means of the channels at the end of chosen blocks. A *match* tells a
block how far each channel mean should move; the block adds that shift, scaled by one learned scalar per channel:

    a_j(u) <- a_j(u) + w_j * (phi_target_j - mean_j)

A match is a function ``(columns, means) -> shift``: ``columns`` is the slice of ``phi`` that belongs to the block and
``means`` its channel means, of shape (B, C).

By setting the standard deviations ``s_j`` over the positions of a channel are matched as well. They follow the means in
the block's part of ``phi``, have learned scalars ``v_j`` of their own, and scale what is left of a channel without its
mean:

    a_j(u) <- mean_j + w_j (phi_target_j - mean_j) + (1 + v_j (s_target_j - s_j) / s_j) (a_j(u) - mean_j)

With a grid of g, a channel has a mean, a target and a scalar for each of g x g regions, and every position moves with
its own region: the mean over all positions can't tell shapes apart, where something lies can.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from featdiff.errors import UserError
from featdiff.networks.normalisation import at_least_float, over_positions

Match = Callable[[slice, Tensor], Tensor | None]
EVEN = 1e-3  # deviation that an even channel counts as, so that no gradient is infinite; activations are of order one


def unmatched(columns: slice, means: Tensor) -> None:
    """The unconditional network: no channel is moved."""


def to_features(target: Tensor) -> Match:
    """Move every channel mean towards ``target``, of shape (B, feature dimension)."""
    return lambda columns, means: target[:, columns].to(means.dtype) - means


def to_group(size: int) -> Match:
    """Move each image towards the others of its group: the training match, for a batch ``cat([images, partners])``.

    ``images`` come in groups of ``size`` rows of one class and noise level; ``partners`` are the same images again,
    under noise of their own. The target of image i is the mean feature vector of the other partners of its group, so a
    group of 2 is the paper's pair, both ways. The partners go through the same weights, unmodified, and the gradient
    flows through them. One pass over both halves computes the same as two passes.
    """

    def match(columns: slice, means: Tensor) -> Tensor:
        images, partners = means.chunk(2)
        return torch.cat([mean_of_others(partners, size) - images, torch.zeros_like(partners)])

    return match


def except_for(hidden: Tensor | None, match: Match) -> Match:
    """The match for all rows but those that are ``hidden`` (B,) bool, which are told nothing; none hidden if None.

    The rows of a larger batch that follow the B are told as ``match`` does.
    """
    if hidden is None:
        return match

    def some(columns: slice, means: Tensor) -> Tensor | None:
        shift = match(columns, means)
        if shift is None:
            return None
        rows = torch.cat([hidden, hidden.new_zeros(len(shift) - len(hidden))])
        return shift.masked_fill(rows[:, None], 0)

    return some


def mean_of_others(features: Tensor, size: int) -> Tensor:
    """For each row of (B, C), in groups of ``size`` rows, the mean of the other rows of its group; (B, C)."""
    groups = features.unflatten(0, (-1, size))
    return ((groups.sum(1, keepdim=True) - groups) / (size - 1)).flatten(0, 1)


class FeatureTap(nn.Module):
    """The end of a matched block: reads the channel means and moves them by the learned scale ``w``, of shape (C,).

    With ``deviation`` it reads and moves the standard deviations, too, and the scale (2 C,) holds ``w`` and then ``v``.
    With ``grid`` of g it reads and moves the means of regions, (C g g,), those of a channel in rows from the top left.
    """

    def __init__(
        self,
        channels: int,
        columns: slice,
        *,
        initial_scale: float = 1.0,
        learned: bool = True,
        deviation: bool = False,
        grid: int = 1,
    ):
        super().__init__()
        self.columns = columns
        self.deviation = deviation
        self.grid = grid
        size = 2 * channels if deviation else channels * grid**2
        self.scale = nn.Parameter(torch.full((size,), float(initial_scale)), requires_grad=learned)

    def forward(self, activation: Tensor, match: Match) -> tuple[Tensor, Tensor]:
        """Return the moved activation (B, C, H, W) and the block's part of ``phi`` before the move: (B, C), (B, 2 C) or
        (B, C g g)."""
        if self.grid > 1:
            return self._in_regions(activation, match)
        means = over_positions(activation) / activation[0, 0].numel()
        if self.deviation:
            return self._with_deviation(activation, means, match)
        shift = match(self.columns, means)
        if shift is not None:
            activation = activation + (self.scale * shift).to(activation.dtype)[:, :, None, None]
        return activation, means

    def _in_regions(self, activation: Tensor, match: Match) -> tuple[Tensor, Tensor]:
        values = at_least_float(activation)
        of_rows, of_columns = (_regions(side, self.grid, values) for side in activation.shape[2:])
        average = [of / of.sum(1, keepdim=True) for of in (of_rows, of_columns)]
        means = (average[0] @ values @ average[1].T).flatten(1)
        shift = match(self.columns, means)
        if shift is not None:
            moves = (self.scale * shift).unflatten(1, (-1, self.grid, self.grid))
            activation = activation + (of_rows.T @ moves @ of_columns).to(activation.dtype)
        return activation, means

    def _with_deviation(self, activation: Tensor, means: Tensor, match: Match) -> tuple[Tensor, Tensor]:
        centred = activation - means[:, :, None, None]
        spread = (at_least_float(centred).square().mean(dim=(2, 3)) + EVEN**2).sqrt()
        phi = torch.cat([at_least_float(means), spread], dim=1)
        shift = match(self.columns, phi)
        if shift is None:
            return activation, phi
        up, out = (self.scale * shift).chunk(2, dim=1)
        factor = (1 + out / spread).clamp(min=0)
        moved = (
            factor.to(activation.dtype)[:, :, None, None] * centred
            + (means + up).to(activation.dtype)[:, :, None, None]
        )
        return moved, phi


def _regions(side: int, grid: int, like: Tensor) -> Tensor:
    """Which region of ``grid`` each of ``side`` positions in a row lies in: (grid, side) of 0 and 1, of the dtype and
    device of ``like``."""
    if side < grid:
        raise UserError(
            f"a matched block has {side} position(s) a side, fewer than the grid of {grid} regions: set grid lower, "
            "match blocks of larger scales alone, or take larger images"
        )
    region = torch.arange(side, device=like.device) * grid // side
    return (region == torch.arange(grid, device=like.device)[:, None]).to(like.dtype)
