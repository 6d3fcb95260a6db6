"""The UNet of the projected score (arXiv 2410.11646, section 3 and appendix A), with feature taps.

3x3 convolutions with bias, ReLU, average pooling 2x2, transposed convolution 2x2 up, skip connections by concatenation.
Two convolutions per encoder and decoder block, three in the middle. The first convolution and the last decoder block
are not normalised, and the output layer is the last block's second convolution; with that the literal network has
627,921 (widths 16-32-64-128) and 10,022,721 (widths 64-128-256-512) parameters, the published sizes.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from featdiff.errors import UserError
from featdiff.networks.matching import FeatureTap, Match, unmatched
from featdiff.networks.normalisation import StdNormReLU


class ConvNormReLU(nn.Module):
    """Convolution, normalisation, the noise embedding as a bias per channel, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, *, normalised: bool = True, embedding: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm = StdNormReLU(channels_out) if normalised else None
        self.bias = nn.Linear(embedding, channels_out) if embedding else None

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """``bias`` (B, C): what the layer's own linear map makes of the noise embedding
        (:meth:`FeatureUNet._biases`)."""
        x = self.conv(x)
        if self.norm is not None:
            return self.norm(x, bias)
        if bias is not None:
            x = x + bias.to(x.dtype)[:, :, None, None]
        return x.relu_()


class Block(nn.Module):
    """Convolutions in a row; the channel means after the last one are the block's part of ``phi``."""

    def __init__(self, widths: Sequence[int], *, unnormalised: Sequence[int] = (), embedding: int = 0):
        super().__init__()
        self.layers = nn.ModuleList(
            ConvNormReLU(a, b, normalised=i not in unnormalised, embedding=embedding)
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )

    def forward(self, x: Tensor, biases: Iterator[Tensor | None]) -> Tensor:
        """``biases`` are those of all layers that are left of the network, in the order of the forward pass."""
        for layer in self.layers:
            x = layer(x, next(biases))
        return x


class Upsampling(nn.ConvTranspose2d):
    """The transposed convolution 2x2 of stride 2 as what it is: one matrix product, and its results put in their
    places."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Images (B, C, H, W) -> (B, D, 2 H, 2 W)."""
        (B, C, H, W), D = x.shape, self.out_channels
        product = x.permute(0, 2, 3, 1).reshape(-1, C) @ self.weight.permute(0, 2, 3, 1).flatten(1)  # (B H W, 4 D)
        assert self.bias is not None
        squares = product.view(B, H, W, 2, 2, D) + self.bias.to(product.dtype)
        return squares.permute(0, 1, 3, 2, 4, 5).reshape(B, 2 * H, 2 * W, D).permute(0, 3, 1, 2)


class NoiseEmbedding(nn.Module):
    """Fourier features of the noise level and a two-layer perceptron (Karras et al., arXiv 2206.00364, appendix C).

    With ``classes`` a learned vector for each label, and one more for "no label", is added before the first ReLU.
    """

    def __init__(self, width: int, *, classes: int = 0, frequencies: int = 16):
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", 2.0 ** torch.linspace(-3, 3, frequencies), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * frequencies, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.labels = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Noise (B,) and, with classes, labels (B,) or None for "no label" -> (B, width)."""
        angle = 2 * math.pi * noise[:, None] * self.frequencies
        first, *rest = self.mlp
        embedded = first(torch.cat([angle.sin(), angle.cos()], dim=1))
        if self.labels is not None:
            if labels is None:
                labels = torch.full(noise.shape, self.labels.num_embeddings - 1, device=noise.device)
            embedded = embedded + self.labels(labels)
        for layer in rest:
            embedded = layer(embedded)
        return embedded


class FeatureUNet(nn.Module):
    """UNet whose blocks can be matched to a target feature vector.

    ``widths`` are the channels of the encoder blocks and, last, of the middle block. ``matched`` names the blocks that
    take part in ``phi``, in the order of the forward pass: ``encoder0`` ... ``middle`` ... ``decoder0``. With ``patch``
    of p the network works on p x p pixels a position (space to depth), which at equal cost allows p times the widths.
    With ``classes`` it can be told a label, through the noise embedding. With ``deviation`` phi holds the standard
    deviations of the channels beside their means, with ``grid`` the means of grid x grid regions instead. ``block``
    makes the blocks as :class:`Block` does.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        matched: Sequence[str],
        *,
        patch: int = 1,
        noise_embedding: int = 0,
        classes: int = 0,
        initial_scale: float = 1.0,
        learned_scale: bool = True,
        deviation: bool = False,
        grid: int = 1,
        zero_output: bool = False,
        block: Callable[..., nn.Module] = Block,
    ):
        super().__init__()
        *outer, middle = widths
        scales, e = len(outer), noise_embedding
        self.downsampling = patch * 2**scales
        self.split, self.merge = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)
        if classes and not e:
            raise UserError("a network told a label needs a noise embedding to carry it: set noise_embedding above 0")
        self.embedding = NoiseEmbedding(e, classes=classes) if e else None
        blocks: dict[str, nn.Module] = {}
        for i, width in enumerate(outer):
            before = outer[i - 1] if i else channels * patch**2
            blocks[f"encoder{i}"] = block([before, width, width], unnormalised=[] if i else [0], embedding=e)
        blocks["middle"] = block([outer[-1], middle, middle, middle], embedding=e)
        for i, width in reversed(list(enumerate(outer))):
            inside = [2 * width, width, width] if i else [2 * width, width]
            blocks[f"decoder{i}"] = block(inside, unnormalised=[] if i else [0], embedding=e)
        self.blocks = nn.ModuleDict(blocks)
        self.up = nn.ModuleList(Upsampling(widths[i + 1], widths[i], 2, stride=2) for i in range(scales))
        self.out = nn.Conv2d(outer[0], channels * patch**2, 3, padding=1)
        if zero_output:
            for parameter in self.out.parameters():
                nn.init.zeros_(parameter)
        self.taps = nn.ModuleDict()
        self.feature_columns: dict[str, slice] = {}
        self.feature_dim = 0
        unknown = set(matched) - set(blocks)
        if unknown:
            raise UserError(f"matched blocks {sorted(unknown)} are not in the network; it has {list(blocks)}")
        block_width = dict(zip([f"encoder{i}" for i in range(scales)] + ["middle"], widths, strict=True))
        block_width |= {f"decoder{i}": outer[i] for i in range(scales)}
        for name in (b for b in blocks if b in matched):
            size = block_width[name] * (2 if deviation else grid**2)
            columns = slice(self.feature_dim, self.feature_dim + size)
            self.taps[name] = FeatureTap(
                block_width[name],
                columns,
                initial_scale=initial_scale,
                learned=learned_scale,
                deviation=deviation,
                grid=grid,
            )
            self.feature_columns[name] = columns  # of phi, by matched block
            self.feature_dim = columns.stop

    def forward(
        self, x: Tensor, noise: Tensor | None = None, match: Match = unmatched, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map images (B, C, H, W) and noise embeddings' input (B,) to the output image and ``phi`` (B, feature_dim).

        ``phi`` holds the means (and deviations) *before* matching, so with ``match=unmatched`` it is the feature vector
        of ``x``.
        """
        biases = iter(self._biases(noise, labels))
        features: list[Tensor] = []

        def run(name: str, x: Tensor) -> Tensor:
            x = self.blocks[name](x, biases)
            if name in self.taps:
                x, means = self.taps[name](x, match)
                features.append(means)
            return x

        x, skips = self.split(x), []
        for i in range(len(self.up)):
            x = run(f"encoder{i}", x)
            skips.append(x)
            x = nn.functional.avg_pool2d(x, 2)
        x = run("middle", x)
        for i in reversed(range(len(self.up))):
            x = run(f"decoder{i}", torch.cat([self.up[i](x), skips[i]], dim=1))
        phi = torch.cat(features, dim=1) if features else x.new_zeros(len(x), 0)
        return self.merge(self.out(x)), phi

    def _biases(self, noise: Tensor | None, labels: Tensor | None) -> list[Tensor | None] | tuple[Tensor, ...]:
        """The biases (B, C) of all layers in the order of the forward pass, from one product in float32."""
        layers = [layer for layer in self.blocks.modules() if isinstance(layer, ConvNormReLU)]
        maps = [layer.bias for layer in layers if layer.bias is not None]
        if self.embedding is None or noise is None or not maps:
            return [None] * len(layers)
        with torch.autocast(noise.device.type, enabled=False):
            weight, bias = torch.cat([m.weight for m in maps]), torch.cat([m.bias for m in maps])
            together = nn.functional.linear(self.embedding(noise, labels), weight, bias)
        return together.split([m.out_features for m in maps], dim=1)
