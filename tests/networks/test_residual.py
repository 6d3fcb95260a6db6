"""Residual blocks: the layers of the plain block and a way around them."""

import itertools

import pytest
import torch

from featdiff.kinds.blocks import ResidualConvBlock
from featdiff.networks.matching import to_features
from featdiff.networks.residual import ResidualBlock
from featdiff.networks.unet import Block, FeatureUNet

BIASES = itertools.repeat(None)


def x_of(channels: int) -> torch.Tensor:
    return torch.randn(2, channels, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("widths", [(3, 5, 5), (5, 5, 5, 5)])
def test_it_is_the_plain_block_and_its_input_through_a_matrix_where_the_widths_differ(widths):
    torch.manual_seed(0)
    block, plain = ResidualBlock(widths), Block(widths)
    plain.load_state_dict({k: v for k, v in block.state_dict().items() if not k.startswith("around")})
    x = x_of(widths[0])
    around = x
    if widths[0] != widths[-1]:
        around = torch.einsum("dc,bchw->bdhw", block.around.weight[:, :, 0, 0], x)
    assert torch.allclose(block(x, BIASES), plain(x, BIASES) + around, atol=1e-6)


def test_with_all_its_relus_silent_it_still_passes_its_input_and_a_gradient():
    block = ResidualBlock((4, 4, 4))
    for layer in block.layers:
        torch.nn.init.zeros_(layer.norm.gain)  # what the weight decay of a silent layer comes to
    x = x_of(4).requires_grad_(True)
    out = block(x, BIASES)
    assert torch.equal(out, x)
    out.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_with_scale_one_the_channel_means_of_residual_blocks_become_the_target_exactly():
    torch.manual_seed(0)
    names = ["encoder0", "encoder1", "middle", "decoder1", "decoder0"]
    build = ResidualConvBlock(kind="residual").build
    network = FeatureUNet(1, [8, 12, 16], names, block=build).double()
    target = torch.randn(2, network.feature_dim, dtype=torch.float64)
    after = {}
    for name, tap in network.taps.items():
        tap.register_forward_hook(lambda _, __, out, name=name: after.__setitem__(name, out[0].mean(dim=(2, 3))))
    network(torch.randn(2, 1, 16, 16, dtype=torch.float64), match=to_features(target))
    for name, columns in network.feature_columns.items():
        assert (after[name] - target[:, columns]).abs().max() < 1e-12
