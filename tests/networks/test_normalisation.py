"""The layers written by hand for speed against what they stand for, written out and derived by autograd."""

import pytest
import torch
from torch import nn

from featdiff.networks.normalisation import StdNormReLU, moments, over_positions
from featdiff.networks.unet import FeatureUNet, Upsampling


def plain(x, gain, bias):
    """The definition, with nothing saved."""
    deviation = (x.var(dim=(1, 2, 3), correction=0, keepdim=True) + 1e-6).sqrt()
    return torch.relu(x / deviation * gain[:, None, None] + bias[:, :, None, None])


def values(dtype=torch.float64):
    source = torch.Generator().manual_seed(0)
    x = 0.5 + 2 * torch.randn(3, 4, 6, 6, generator=source, dtype=torch.float64)
    x = x.to(dtype).to(memory_format=torch.channels_last)
    gain, bias = torch.rand(4, generator=source) + 0.5, torch.randn(3, 4, generator=source)
    slope = torch.randn(x.shape, generator=source, dtype=torch.float64)
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    return x, gain.to(precise), bias.to(precise), slope.to(dtype)


def of_the_layer(x, gain, bias):
    norm = StdNormReLU(4).to(gain.dtype)
    norm.gain = nn.Parameter(gain)
    return norm(x, bias), norm.gain


# of the largest value; bf16 keeps 8 bits, and a gradient sums what was rounded
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)
def test_value_and_gradients_are_those_of_the_definition(dtype, tolerance):
    x, gain, bias, slope = values(dtype)
    expected_of = [part.double().requires_grad_() for part in (x, gain, bias)]
    expected = plain(*expected_of)
    x, bias = x.requires_grad_(), bias.requires_grad_()
    found, gain = of_the_layer(x, gain, bias)
    assert found.dtype == dtype
    gradients = torch.autograd.grad(found, (x, gain, bias), slope)
    wanted = torch.autograd.grad(expected, expected_of, slope.double())
    for a, b in zip((found, *gradients), (expected, *wanted), strict=True):
        assert a.shape == b.shape
        assert (a.double() - b).abs().max() < tolerance * b.abs().max()


def test_the_gradient_is_the_slope_of_the_value():
    x, gain, bias, _ = values()
    inputs = tuple(part[:2].contiguous().requires_grad_() for part in (x[..., :3, :3], bias))

    def value(x, bias):
        return of_the_layer(x, gain, bias)[0]

    assert torch.autograd.gradcheck(value, inputs)


def test_it_divides_by_the_standard_deviation_and_keeps_the_mean():
    x = 9 + 2 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = x / x.std(dim=(1, 2, 3), correction=0, keepdim=True)
    assert expected.min() > 0
    found = StdNormReLU(4)(x)
    assert (found - expected).abs().max() < 1e-4
    assert found.mean() > 1


def test_a_constant_image_has_finite_gradients():
    x = torch.full((1, 4, 2, 2), 0.7, requires_grad=True)
    (slope,) = torch.autograd.grad(StdNormReLU(4)(x).sum(), x)
    assert torch.isfinite(slope).all()


def test_moments_and_sums_are_torchs_in_every_memory_format_and_precision():
    x = 5 + torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for values in (x, x.to(memory_format=torch.channels_last), x.double(), x.bfloat16()):
        mean, square = moments(values)
        exact = values.double()
        assert (mean / exact.mean((1, 2, 3)) - 1).abs().max() < 1e-5
        assert (square / exact.square().mean((1, 2, 3)) - 1).abs().max() < 1e-5
        rounding = 2**-8 if values.dtype == torch.bfloat16 else 1e-5
        assert (over_positions(values) / exact.sum((2, 3)) - 1).abs().max() < rounding


def test_upsampling_is_the_transposed_convolution():
    torch.manual_seed(0)
    layer = Upsampling(6, 4, 2, stride=2)
    x = torch.randn(3, 6, 5, 7, requires_grad=True)
    expected = nn.functional.conv_transpose2d(x, layer.weight, layer.bias, stride=2)
    slope = torch.randn_like(expected)
    inputs = (x, layer.weight, layer.bias)
    assert (layer(x) - expected).abs().max() < 1e-5
    for a, b in zip(
        torch.autograd.grad(layer(x), inputs, slope), torch.autograd.grad(expected, inputs, slope), strict=True
    ):
        assert (a - b).abs().max() < 1e-4


def test_the_biases_of_all_layers_are_those_of_each_in_the_order_of_the_forward_pass():
    torch.manual_seed(0)
    network = FeatureUNet(1, (4, 6, 8), ["middle"], noise_embedding=10)
    noise, seen = torch.tensor([0.1, -0.4]), []
    embedded = network.embedding(noise)
    layers = [layer for name in network.blocks for layer in network.blocks[name].layers]
    for layer in layers:
        layer.register_forward_hook(lambda layer, inputs, output: seen.append((layer, inputs[1])))
    network(torch.randn(2, 1, 8, 8), noise)
    assert [layer for layer, _ in seen] == layers
    assert all((bias - layer.bias(embedded)).abs().max() < 1e-6 for layer, bias in seen)
