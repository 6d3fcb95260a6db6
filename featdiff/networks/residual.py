"""Blocks with a way around their convolutions (He et al., arXiv 1512.03385), so that no channel can fall silent."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from featdiff.networks.unet import Block


class ResidualBlock(Block):
    """The layers of :class:`Block`, and their input beside them, through a 1x1 convolution where the widths differ."""

    def __init__(self, widths: Sequence[int], *, unnormalised: Sequence[int] = (), embedding: int = 0):
        super().__init__(widths, unnormalised=unnormalised, embedding=embedding)
        self.around = nn.Identity() if widths[0] == widths[-1] else nn.Conv2d(widths[0], widths[-1], 1, bias=False)

    def forward(self, x: Tensor, biases: Iterator[Tensor | None]) -> Tensor:
        """Images (B, widths[0], H, W) -> (B, widths[-1], H, W), of any sign."""
        result: Tensor = super().forward(x, biases) + self.around(x)
        return result
