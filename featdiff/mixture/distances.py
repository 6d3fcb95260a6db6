"""Sliced Wasserstein distance between two sets of points, and the distance that exact draws have by chance."""

import torch
from torch import Tensor

from featdiff.errors import UserError


def directions(count: int, dim: int, generator: torch.Generator) -> Tensor:
    """``count`` random unit vectors, of shape (dim, count)."""
    drawn = torch.randn(dim, count, dtype=torch.float64, generator=generator)
    return drawn / drawn.norm(dim=0)


def sliced_wasserstein(a: Tensor, b: Tensor, along: Tensor) -> float:
    """Mean over directions ``along`` (d, L) of the 1-Wasserstein distance between the projections of equally many
    points ``a`` and ``b`` (N, d): sorted projections are an optimal coupling.

    The 2-Wasserstein distance would be ruled by the chance shares of components that lie far apart.
    """
    if a.shape != b.shape:
        raise UserError(
            f"sliced Wasserstein compares equally many points: got shapes {tuple(a.shape)}, {tuple(b.shape)}"
        )
    gaps = (along.T @ a.T).sort(dim=1).values - (along.T @ b.T).sort(dim=1).values
    return gaps.abs().mean().item()
