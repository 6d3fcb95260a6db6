"""What holds for every thing of a table, whichever it is: a new one is tested as soon as it stands there."""

import numpy as np
import pytest
import torch
from PIL import Image

from featdiff.diffusion.corruptions import variance_exploding
from featdiff.evaluation.selection import Side
from featdiff.kinds.blocks import BLOCKS
from featdiff.kinds.corruptions import CORRUPTIONS
from featdiff.kinds.layouts import LAYOUTS
from featdiff.kinds.measures import MEASURES, FeatureMeasure, Pair
from featdiff.kinds.samplers import SAMPLERS
from featdiff.networks.unet import FeatureUNet
from featdiff.settings.evaluation import Evaluation

NEEDED = {"patches": {"stride": 8, "test_stride": 8}}
START, END = 5.0, 0.1


def made(table, name, **settings):
    """One thing with its defaults, but for these settings."""
    return table[name].model_validate({"kind": name, **settings})


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_falls_through_its_levels_to_about_the_spread_of_the_law_and_asks_as_often_as_it_says(name):
    options = {"spacing": "logarithmic"} if SAMPLERS[name].corruptions else {}
    sampler, process = made(SAMPLERS, name, **options), variance_exploding(END, START)
    levels = sampler.levels(process, None)
    assert levels.dtype == torch.float64 and (levels.diff() < 0).all()
    assert levels[[0, -1]].tolist() == pytest.approx([START, END])
    asked = []

    def denoiser(x, t, condition=None):  # exact for a standard normal law
        asked.append(t)
        return x / (1 + t.view(-1, 1) ** 2)

    source = torch.Generator().manual_seed(0)
    noise = lambda: torch.randn(400, 16, generator=source)  # noqa: E731
    drawn = sampler.function(process)(denoiser, (1 + START**2) ** 0.5 * noise(), levels, noise, None)
    assert drawn.shape == (400, 16) and 2 / 3 < drawn.std().item() < 3 / 2
    assert len(asked) == pytest.approx(sampler.evaluations(START, END), rel=0.5 if name == "ascent" else 0)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_diagonal_in_its_basis_its_own_adjoint_and_next_to_nothing_at_level_0(name):
    row = made(CORRUPTIONS, name)
    process = row.process(16)
    assert row.misfit(16) == ""
    x, y = torch.randn(2, 3, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    operator, strength = process.corruption, process.strength(t)
    there = operator.gains(strength, 16) * operator.to_basis(x)
    assert torch.allclose(operator.to_basis(process.apply(x, t)), there, atol=1e-9)
    inner = [(a * b).sum((1, 2, 3)) for a, b in ((process.apply(x, t), y), (x, process.adjoint(y, t)))]
    assert torch.allclose(*inner)
    assert torch.allclose(process.apply(x, t)[0], x[0], atol=0.05) and (process.sigma(t).diff() >= 0).all()


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("embedding", [0, 8])
def test_a_block_makes_a_network_that_keeps_the_shape_and_hears_the_noise_level(name, embedding):
    torch.manual_seed(0)
    network = FeatureUNet(1, (8, 12), ("middle",), noise_embedding=embedding, block=made(BLOCKS, name).build)
    x, low, high = torch.randn(2, 1, 16, 16), torch.full((2,), -1.0), torch.full((2,), 1.0)
    one, phi = network(x, low)
    assert one.shape == x.shape and phi.shape == (2, 12)
    assert torch.equal(one, network(x, high)[0]) == (embedding == 0)
    one.square().sum().backward()
    assert all(p.grad is not None for p in network.blocks.parameters())


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(96, 64), (64, 80, 3)])
def test_a_layout_gives_squares_of_its_size_inside_the_image(name, shape):
    layout = made(LAYOUTS, name, size=16, **NEEDED.get(name, {}))
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    laid = layout.lay(Image.fromarray(pixels), 0.25)
    assert laid.pixels.dtype == np.uint8 and laid.pixels.shape[2:] == (shape[2:] or (1,))
    if layout.whole:
        assert laid.pixels.shape[:2] == (16, 16) and laid.corners is None
    else:
        for corners in laid.corners:
            assert len(corners) and (corners >= 0).all() and (corners + 16 <= laid.pixels.shape[:2]).all()


@pytest.mark.parametrize("name", [name for name, kind in MEASURES.items() if issubclass(kind, FeatureMeasure)])
def test_a_measure_tells_points_of_the_real_law_from_others(name):
    random = np.random.default_rng(0)
    real, same = random.normal(size=(2, 60, 6)).astype(np.float32)
    settings = Evaluation(neighbours=3, kid_subsets=4, kid_subset_size=30)
    far = 3 + 0.1 * same

    def value(generated):
        sides = (Side(np.arange(60)), Side(np.arange(60)))
        return np.mean(MEASURES[name].values(Pair(real, generated, settings, np.random.default_rng(1), sides)))

    good, bad, best = value(same), value(far), value(real)
    assert np.isfinite([good, bad]).all()
    if MEASURES[name].better == "real":
        assert abs(good - best) < abs(bad - best)
    else:
        assert (good < bad) == (MEASURES[name].better == "low")
