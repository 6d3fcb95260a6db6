"""The network with the projected score: its size, its projection, its normalisation."""

import pytest
import torch

from featdiff.errors import UserError
from featdiff.networks.build import build
from featdiff.networks.matching import to_features, to_group
from featdiff.networks.unet import FeatureUNet
from featdiff.settings.base import parse
from featdiff.settings.network import Network

BLOCKS = ["encoder0", "encoder1", "middle", "decoder1", "decoder0"]


def unet(matched=BLOCKS, **options) -> FeatureUNet:
    torch.manual_seed(0)
    return FeatureUNet(1, [8, 12, 16], matched, **options).double()


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("widths", "published"), [((16, 32, 64, 128), 627_921), ((64, 128, 256, 512), 10_022_721)])
def test_the_literal_network_has_the_published_number_of_parameters(widths, published):
    assert parameters(FeatureUNet(1, widths, [])) == published


def test_matching_adds_one_parameter_for_each_matched_channel():
    for matched in ([], ["middle"], BLOCKS[2:], BLOCKS):
        network = unet(matched)
        assert parameters(network) - parameters(unet([])) == network.feature_dim
    published = FeatureUNet(1, [16, 32, 64, 128], Network(widths=(16, 32, 64, 128)).blocks)
    assert parameters(published) == 628_273


def test_a_target_equal_to_the_inputs_own_features_leaves_the_output_unchanged():
    network, x = unet(), images(3)
    output, phi = network(x)
    matched, _ = network(x, match=to_features(phi))
    assert (matched - output).abs().max() < 1e-12


def test_with_scale_one_the_channel_means_become_the_target_exactly():
    network, x = unet(), images(2)
    target = torch.rand(2, network.feature_dim, dtype=torch.float64)
    after = {}
    for name, tap in network.taps.items():
        tap.register_forward_hook(lambda _, __, out, name=name: after.__setitem__(name, out[0].mean(dim=(2, 3))))
    network(x, match=to_features(target))
    for name, columns in network.feature_columns.items():
        assert (after[name] - target[:, columns]).abs().max() < 1e-12


@pytest.mark.parametrize("grid", [2, 4])
@pytest.mark.parametrize("size", [16, 20])
def test_with_scale_one_the_means_of_regions_become_the_target_exactly(grid, size):
    """At 20 pixels the middle has 5 positions a side: regions of 2 and 3, or of 1 and 2."""
    network = unet(grid=grid)
    x = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    target = torch.rand(2, network.feature_dim, dtype=torch.float64)
    assert network.feature_dim == grid**2 * unet().feature_dim
    after = {}
    for name, tap in network.taps.items():
        tap.register_forward_hook(lambda _, __, out, name=name: after.__setitem__(name, out[0]))
    network(x, match=to_features(target))
    for name, columns in network.feature_columns.items():
        side = after[name].shape[-1]
        parts = [[i for i in range(side) if i * grid // side == k] for k in range(grid)]
        means = torch.stack([after[name][:, :, a][..., b].mean((2, 3)) for a in parts for b in parts], 2).flatten(1)
        assert (means - target[:, columns]).abs().max() < 1e-12


def test_regions_change_nothing_without_a_target_with_scale_zero_or_with_the_inputs_own_features():
    x = images(3)
    for scale in (0.0, 1.0):
        network = unet(grid=2, initial_scale=scale)
        output, phi = network(x)
        target = torch.rand_like(phi) if scale == 0 else phi
        assert (network(x, match=to_features(target))[0] - output).abs().max() < 1e-12
    assert torch.equal(unet(grid=2)(x)[0], unet()(x)[0])
    assert torch.allclose(phi.view(3, -1, 4).mean(2), unet()(x)[1], atol=1e-12)


def test_a_shape_that_moves_changes_the_means_of_regions_and_not_those_of_channels():
    """By 12 pixels, a whole number of positions, and away from the border."""
    x = torch.zeros(2, 1, 32, 32, dtype=torch.float64)
    x[0, 0, 8:10, 8:10] = x[1, 0, 20:22, 20:22] = 1
    (one, other), (in_one, in_other) = (unet(["encoder0"], grid=grid)(x)[1] for grid in (1, 2))
    assert (one - other).abs().max() < 1e-12 and (in_one - in_other).abs().max() > 1e-3


def test_fewer_positions_than_regions_are_named():
    with pytest.raises(UserError, match="2 position.* fewer than the grid of 4"):
        unet(grid=4)(torch.zeros(1, 1, 8, 8, dtype=torch.float64))


def test_with_scale_one_means_and_deviations_become_the_target_exactly():
    network, x = unet(deviation=True), images(2)
    phi = network(x)[1]
    assert phi.shape[1] == network.feature_dim == 2 * unet().feature_dim
    target = phi * torch.linspace(0.5, 2, phi.numel(), dtype=torch.float64).reshape(phi.shape)
    after = {}
    for name, tap in network.taps.items():
        tap.register_forward_hook(lambda _, __, out, name=name: after.__setitem__(name, out[0]))
    seen = {}
    for name, tap in network.taps.items():
        tap.register_forward_hook(lambda _, inputs, __, name=name: seen.__setitem__(name, inputs[0]))
    network(x, match=to_features(target))
    for name, columns in network.feature_columns.items():
        means, spreads = target[:, columns].chunk(2, dim=1)
        assert (after[name].mean(dim=(2, 3)) - means).abs().max() < 1e-10
        found = after[name].std(dim=(2, 3), correction=0)
        alive = seen[name].std(dim=(2, 3), correction=0) > 0.05  # EVEN is small beside it
        assert alive.any() and (found / spreads - 1)[alive].abs().max() < 1e-3


def test_with_deviations_too_scale_zero_and_own_features_change_nothing():
    x = images(3)
    for scale in (0.0, 1.0):
        network = unet(deviation=True, initial_scale=scale)
        output, phi = network(x)
        target = torch.rand_like(phi) if scale == 0 else phi
        assert (network(x, match=to_features(target))[0] - output).abs().max() < 1e-12
    assert torch.equal(unet(deviation=True)(x)[0], unet()(x)[0])


def test_in_half_precision_deviations_are_matched_as_in_full():
    torch.manual_seed(0)
    network = FeatureUNet(1, [8, 12, 16], BLOCKS, deviation=True)
    x = images(2).float()
    output, phi = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        matched, found = network(x, match=to_features(1.2 * phi))
    expected, own = network(x, match=to_features(1.2 * phi))
    assert found.dtype == torch.float32 and (found - own).abs().max() < 0.05 * own.abs().max()
    assert (matched.float() - expected).abs().max() < 0.05 * expected.abs().max()
    assert (expected - output).abs().max() > 0.05 * expected.abs().max()


def test_deviations_of_partners_train_the_scales_and_an_even_channel_gives_no_infinite_gradient():
    network = unet(deviation=True)
    flat = torch.full((4, 1, 16, 16), 0.3, dtype=torch.float64)
    output, _ = network(torch.cat([flat, images(4)]), match=to_group(2))
    output.square().sum().backward()
    for tap in network.taps.values():
        assert tap.scale.grad.isfinite().all() and tap.scale.grad.abs().max() > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_with_scale_zero_the_network_is_the_unconditional_one():
    network, x = unet(initial_scale=0.0), images(2)
    target = torch.rand(2, network.feature_dim, dtype=torch.float64)
    assert torch.equal(network(x, match=to_features(target))[0], network(x)[0])


def test_features_are_the_spatial_means_after_the_last_relu_of_each_block():
    network, x = unet(), images(2)
    seen = {}
    for name, block in network.blocks.items():
        block.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out))
    phi = network(x)[1]
    for name, columns in network.feature_columns.items():
        assert (phi[:, columns] - seen[name].mean(dim=(2, 3))).abs().max() < 1e-12
        assert seen[name].min() == 0


def test_one_pass_over_a_group_equals_separate_passes_with_the_mean_of_the_others():
    network, x = unet(), images(6)
    output, _ = network(torch.cat([x, x]), match=to_group(3))
    phi = network(x)[1]
    for i in range(6):
        group = [j for j in range(i // 3 * 3, i // 3 * 3 + 3) if j != i]
        expected, _ = network(x[i : i + 1], match=to_features(phi[group].mean(0, keepdim=True)))
        assert (output[i] - expected[0]).abs().max() < 1e-10
        assert (output[6 + i] - network(x[i : i + 1])[0][0]).abs().max() < 1e-10


def test_the_gradient_flows_through_the_partners_unless_told_otherwise():
    torch.manual_seed(0)
    network = Network(widths=(4, 8), zero_output=False)
    denoiser = build(network, condition="feature", classes=2, channels=1, size=8, data_mean=0.4, data_std=0.2).double()
    x, t = images(4), torch.full((4,), 0.3, dtype=torch.float64)
    estimates = {}
    for gradient in (True, False):
        partners = images(8)[4:].requires_grad_()
        estimates[gradient], _ = denoiser.matched_to_group(x, t, partners, t, size=2, gradient=gradient)
        slope = torch.autograd.grad(estimates[gradient].square().sum(), partners, allow_unused=True)[0]
        assert (slope is not None and bool(slope.abs().max() > 0)) is gradient
    assert (estimates[True] - estimates[False]).abs().max() < 1e-10


def test_a_preconditioned_network_that_starts_at_zero_is_the_best_linear_denoiser():
    """With f = 0 only c_skip is left: the Wiener filter of white data with the given mean and deviation."""
    denoiser = build(
        Network(widths=(4, 8)), condition="feature", classes=2, channels=1, size=8, data_mean=0.4, data_std=0.2
    )
    x, t = torch.rand(3, 1, 8, 8), torch.tensor([0.1, 0.5, 2.0])
    shrink = (0.2**2 / (0.2**2 + t**2)).view(3, 1, 1, 1)
    assert (denoiser(x, t) - (0.4 + shrink * (x - 0.4))).abs().max() < 1e-6


def test_an_unknown_block_is_named_together_with_the_blocks_there_are():
    with pytest.raises(UserError, match=r"middel.*encoder0.*middle.*decoder0"):
        parse(Network, {"widths": [4, 8], "matched": ["middel"]}, "networks.small")
