"""The counter-based generator: its published answers, the laws of its numbers, and that only key and place decide."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch._dynamo.testing import CompileCounter

from featdiff import philox
from featdiff.seeds import SampleNoise, Streams

# Random123's kat_vectors, philox4x32 10: counter, key, output
KNOWN = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def streams(count: int, seed: int = 0) -> Streams:
    return Streams(seed, [("test", i) for i in range(count)])


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_the_bijection_gives_the_published_answers(counter, key, output):
    keys = torch.tensor([np.array(key[0] | key[1] << 32, np.uint64).astype(np.int64).item()])
    found = philox.bijection(tuple(torch.tensor([word]) for word in counter), keys)
    assert [word.item() for word in found] == output


def test_counters_beyond_32_bits_go_into_the_second_word():
    keys = torch.tensor([7])
    expected = philox.bijection((torch.tensor([5]), torch.tensor([1]), None, None), keys)
    assert philox.words(keys, 4, offset=4 * (2**32 + 5))[0].tolist() == [word.item() for word in expected]


@pytest.mark.parametrize("count", [1, 3, 64, 65, 577, 4 * philox._BLOCKS + 9])
def test_a_stream_is_the_same_bits_in_any_batch_order_length_and_block(count):
    keys = streams(7).keys
    whole = philox.normal(keys, count)
    for row in (0, 3, 6):
        assert torch.equal(philox.normal(keys[row : row + 1], count)[0], whole[row])
    assert torch.equal(philox.normal(keys.flip(0), count).flip(0), whole)
    assert torch.equal(philox.normal(keys, count + 5)[:, :count], whole)
    assert torch.equal(torch.cat([philox.normal(keys, 8), philox.normal(keys, count, offset=8)], 1)[:, :count], whole)


def test_words_are_even_in_every_bit_and_in_bytes():
    words = streams(64).words(0, 4096)[0]
    count = words.numel()
    for bit in range(32):
        ones = (words >> bit & 1).sum().item()
        assert abs(ones - count / 2) < 5 * math.sqrt(count) / 2
    for byte in range(4):
        assert stats.chisquare((words >> 8 * byte & 255).flatten().bincount(minlength=256)).pvalue > 1e-4


def test_numbers_are_uniform_and_normal_by_kolmogorov_and_smirnov():
    uniform = philox.uniform(streams(50).words(0, 4000)[0])
    assert uniform.min() > 0 and uniform.max() <= 1
    assert stats.kstest(uniform.flatten().double(), "uniform").pvalue > 1e-3
    normal = streams(50).normal(0, (4000,))
    assert stats.kstest(normal.flatten().double(), "norm").pvalue > 1e-3


def test_moments_of_normal_numbers_are_within_their_standard_errors():
    z = streams(100).normal(0, (10_000,)).double().flatten()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4 * math.sqrt(variance / len(z))


@pytest.mark.parametrize("apart", ["pairs", "places", "images", "calls", "seeds", "names"])
def test_noise_is_not_correlated_between(apart):
    z = streams(100).normal(0, (10_000,)).double()
    one, two = {
        "pairs": lambda: (z[:, ::2], z[:, 1::2]),  # the two of one pair of outputs
        "places": lambda: (z[:, 1:], z[:, :-1]),
        "images": lambda: (z[1:], z[:-1]),
        "calls": lambda: (z, streams(100).normal(1, (10_000,)).double()),
        "seeds": lambda: (z, streams(100, seed=1).normal(0, (10_000,)).double()),
        "names": lambda: (z, Streams(0, [("other", i) for i in range(100)]).normal(0, (10_000,)).double()),
    }[apart]()
    for f, g in ((one, two), (one**2 - 1, two**2 - 1)):
        products = (f * g).flatten()
        assert abs(products.mean()) < 4 * products.std() / math.sqrt(products.numel())


def test_integers_below_a_limit_are_even():
    drawn = philox.below(streams(50).words(0, 2000)[0], 7)
    assert stats.chisquare(drawn.flatten().bincount(minlength=7)).pvalue > 1e-3


def test_blocks_asked_for_together_are_those_asked_for_one_by_one():
    drawn = streams(5)
    together = drawn.words(3, 8, blocks=4)
    assert all(torch.equal(together[i], drawn.words(3 + i, 8)[0]) for i in range(4))


def test_noise_of_an_image_depends_on_its_name_and_the_number_of_the_call_alone():
    names = [(label, number) for label in range(2) for number in range(3)]
    all_of_them = SampleNoise(0, names, (1, 5, 5))
    calls = [all_of_them() for _ in range(3)]
    alone = SampleNoise(0, names[4:5], (1, 5, 5))
    for call in calls:
        assert torch.equal(alone()[0], call[4])
    assert not torch.equal(calls[0], calls[1])


def test_beside_the_cpu_noise_is_made_on_the_device_and_nobody_waits_for_it():
    """A meta device stands in for a GPU: its tensors have no values, so what asks for one, or mixes devices, fails."""
    noise = SampleNoise(0, [(0, i) for i in range(4)], (3, 8, 8), torch.device("meta"))
    assert {noise().device.type for _ in range(2)} == {"meta"}


def test_a_normal_number_is_that_of_float64_to_half_of_what_two_devices_may_differ_by():
    keys = streams(64).keys
    x, y = philox.words(keys, 40_000).double().view(64, -1, 2).unbind(-1)
    radius = (-2 * (x.float() * 2**-32 + 2**-33).double().log()).sqrt()  # the rounded number is the one meant
    angle = math.tau * (y + 0.5) / 2**32
    expected = torch.stack((radius * angle.sin(), radius * angle.cos()), -1).flatten(1)
    torch.testing.assert_close(philox.normal(keys, 40_000).double(), expected, rtol=0, atol=5e-6)


def test_beside_the_cpu_it_is_traced_as_one_graph_and_not_anew_at_each_call():
    graphs = CompileCounter()
    traced = torch.compile(philox.normal, backend=graphs, fullgraph=True)
    keys = streams(3).keys.to("meta")
    assert all(traced(keys, 65, offset=68 * call).shape == (3, 65) for call in range(5))
    assert graphs.frame_count <= 2


def test_the_numbers_are_those_of_torchs_own_generator_but_for_the_order_in_a_pair():
    random = pytest.importorskip("torch.func._random")
    if not torch.cuda.is_available():
        pytest.skip("torch's stateless generator has no CPU code yet")
    for seed, block in ((12345, 8), (2**40 + 3, 0)):
        key = torch.tensor([seed, block], dtype=torch.uint64, device="cuda")
        ours = torch.tensor([seed], device="cuda")
        words = philox.words(ours, 1000, offset=4 * block)[0]
        assert torch.equal(random.uniform(key, 1000), (words & 0xFFFFFF).float() * 2**-24)
        normal = philox.normal(ours, 1000, offset=4 * block).view(-1, 2).flip(1).flatten()
        torch.testing.assert_close(random.normal(key, 1000), normal, rtol=0, atol=2e-3)  # by the fast log and sine
