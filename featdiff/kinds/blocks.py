"""Every block that the UNet can be made of: its settings, and the module that it builds at each scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from featdiff.kinds.base import Kind, Table

if TYPE_CHECKING:
    from torch import nn


class NetworkBlock(Kind):
    """What the network does at one scale, between two changes of resolution."""

    def build(self, widths: Sequence[int], *, unnormalised: Sequence[int] = (), embedding: int = 0) -> nn.Module:
        """A module that maps images (B, widths[0], H, W) and an iterator of biases to (B, widths[-1], H, W).

        ``widths`` are the channels before, between and after its layers; those numbered in ``unnormalised`` are not
        normalised. Noise level and label come through the iterator: one bias (B, C) for each
        :class:`featdiff.networks.unet.ConvNormReLU` in the module, in the order of its parts; a module without such
        layers takes none.
        """
        raise NotImplementedError


class ConvBlock(NetworkBlock):
    """3x3 convolutions in a row, each with normalisation and ReLU: the paper's."""

    kind: Literal["conv"]
    label = "3×3 convolutions"

    def build(self, widths: Sequence[int], *, unnormalised: Sequence[int] = (), embedding: int = 0) -> nn.Module:
        from featdiff.networks.unet import Block

        return Block(widths, unnormalised=unnormalised, embedding=embedding)


class ResidualConvBlock(NetworkBlock):
    """The same with a way around them, so that no channel can fall silent (arXiv 1512.03385)."""

    kind: Literal["residual"]
    label = "residual 3×3 convolutions"

    def build(self, widths: Sequence[int], *, unnormalised: Sequence[int] = (), embedding: int = 0) -> nn.Module:
        from featdiff.networks.residual import ResidualBlock

        return ResidualBlock(widths, unnormalised=unnormalised, embedding=embedding)


BLOCKS = Table("network block", NetworkBlock, ConvBlock, ResidualConvBlock)
