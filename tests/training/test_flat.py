"""Parameters in one vector: the same module, the same update."""

import copy

import pytest
import torch
from torch import nn

from featdiff.training.flat import Flat


def module():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 1), nn.Flatten(), nn.Linear(2 * 36, 4))
    layers[1].bias.requires_grad_(False)
    return layers.to(memory_format=torch.channels_last)


def test_the_module_keeps_its_values_layout_and_output():
    plain, flat_of = module(), module()
    x = torch.randn(2, 3, 8, 8)
    flat = Flat(flat_of)
    assert torch.equal(plain(x), flat_of(x))
    assert flat.values.numel() == sum(p.numel() for p in plain.parameters() if p.requires_grad)
    for a, b in zip(plain.parameters(), flat_of.parameters(), strict=True):
        assert torch.equal(a, b) and a.stride() == b.stride()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_steps_on_the_vector_are_the_steps_on_the_parameters(kind):
    plain, flat_of = module(), module()
    flat = Flat(flat_of)
    options = {"lr": 1e-2, "weight_decay": 0.01, "betas": (0.9, 0.99), "fused": True}
    one = kind([p for p in plain.parameters() if p.requires_grad], **options)
    other = kind([flat.values], **options)
    for k in range(5):
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(k))
        for layers in (plain, flat_of):
            layers(x).square().mean().backward()
        if k == 0:
            for a, b in zip(plain.parameters(), flat_of.parameters(), strict=True):
                assert (a.grad is None and b.grad is None) or torch.equal(a.grad, b.grad)
        one.step()
        one.zero_grad()
        other.step()
        flat.zero_grad()
    # a fused update rounds by its place in the processor's vectors: units in the last place, five times
    for a, b in zip(plain.parameters(), flat_of.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_views_by_name_are_the_parameters_and_follow_the_vector():
    layers = module()
    flat = Flat(layers)
    before = copy.deepcopy(layers.state_dict())
    views = flat.named(flat.values.data)
    assert set(views) == {name for name, p in layers.named_parameters() if p.requires_grad}
    assert all(torch.equal(view, before[name]) for name, view in views.items())
    flat.values.data.mul_(2)
    assert torch.equal(layers[0].weight, 2 * before["0.weight"])
    assert torch.equal(layers[1].bias, before["1.bias"])
