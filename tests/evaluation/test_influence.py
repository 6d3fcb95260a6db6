"""Intervals hold what they promise, on Gaussians whose distances are known."""

import numpy as np
import pytest

from featdiff.evaluation import influence
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.influence import Draw, Influences, extrapolated, half_width, influences


def normal(generator, count, size, *, scale=1.0, shift=0.0):
    """Features whose k-th variance is ``1 / k`` but for the scale; the first three means are moved."""
    features = scale * generator.standard_normal((count, size)) / np.sqrt(np.arange(1, size + 1))
    features[:, :3] += shift
    return features


def alone(moved):
    return half_width([Draw((np.arange(len(moved.real)), np.arange(len(moved.generated))), ((), ()), moved)])


@pytest.mark.parametrize("counts", [(30, 25, 60), (90, 70, 10)])
def test_the_value_is_the_distance_and_all_weights_together_move_nothing(counts):
    generator = np.random.default_rng(0)
    x, y = normal(generator, counts[0], counts[2]), normal(generator, counts[1], counts[2], scale=1.4, shift=0.3)
    found = influences(x, y)
    assert found.value == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert abs(found.real.sum()) < 1e-9 and abs(found.generated.sum()) < 1e-9


def test_both_forms_agree_where_both_hold():
    generator = np.random.default_rng(1)
    x, y = normal(generator, 90, 10), normal(generator, 70, 10, scale=1.4, shift=0.3)
    pairs = zip(influence._by_images(x, y), influence._by_moments(x, y), strict=True)
    assert all(np.abs(a - b).max() < 1e-9 for a, b in map(np.array, pairs))


def test_influences_are_what_leaving_an_image_out_tells_of_many_images():
    generator = np.random.default_rng(2)
    x, y = normal(generator, 400, 6), normal(generator, 300, 6, scale=1.4, shift=0.3)
    left_out = np.array([frechet_distance(np.delete(x, i, 0), y) for i in range(len(x))])
    slopes = left_out.mean() - left_out
    found = influences(x, y).real
    assert np.corrcoef(slopes, found)[0, 1] > 0.999
    assert slopes.std() / found.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("count", "size"), [(60, 128), (300, 16)])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.3, 0.3)])
def test_19_of_20_intervals_hold_the_expected_distance_at_their_count(count, size, scale, shift):
    generator = np.random.default_rng(3)
    found = [
        influences(normal(generator, count, size), normal(generator, count, size, scale=scale, shift=shift))
        for _ in range(300)
    ]
    expected = np.mean([f.value for f in found])
    held = np.mean([abs(f.value - expected) < alone(f) for f in found])
    assert held > 0.92, "wider than it need be where both laws are one, never much narrower"


def test_19_of_20_extrapolations_hold_the_true_distance_which_the_distances_themselves_miss():
    generator, size, count = np.random.default_rng(4), 40, 400
    truth = 3 * 0.2**2 + 0.3**2 * (1 / np.arange(1, size + 1)).sum()
    held, missed = [], []
    for _ in range(200):
        x, y = normal(generator, count, size), normal(generator, count, size, scale=1.3, shift=0.2)
        whole = influences(x, y)
        limit = extrapolated(x, y, whole)
        held.append(abs(limit.value - truth) < alone(limit))
        missed.append(abs(whole.value - truth) > alone(whole))
    assert np.mean(held) > 0.92 and np.mean(missed) > 0.3


def test_the_line_in_one_over_n_is_met_by_odd_counts_too():
    generator = np.random.default_rng(5)
    x, y = normal(generator, 41, 8), normal(generator, 41, 8, scale=1.2)
    halves = np.mean([frechet_distance(x[s : s + 40 : 2], y[s : s + 40 : 2]) for s in (0, 1)])
    line = np.polyfit([1 / 41, 1 / 20], [frechet_distance(x, y), halves], 1)
    assert extrapolated(x, y, influences(x, y)).value == pytest.approx(line[1])


def test_sets_of_unlike_counts_are_halved_both():
    generator = np.random.default_rng(8)
    x, y = normal(generator, 120, 8), normal(generator, 40, 8, scale=1.2)
    halves = np.mean([frechet_distance(x[s::2], y[s::2]) for s in (0, 1)])
    assert extrapolated(x, y, influences(x, y)).value == pytest.approx(2 * frechet_distance(x, y) - halves)


def test_draws_that_share_images_make_no_narrower_interval():
    generator = np.random.default_rng(6)
    moved = Influences(1.0, *(v - v.mean() for v in generator.standard_normal((2, 30))))
    rows = np.arange(30)
    one = Draw((rows, rows), ((), ()), moved)
    again = Draw((rows + 30, rows + 30), ((), ()), moved)
    assert half_width([one, one, one]) == pytest.approx(half_width([one]))
    assert half_width([one, again]) == pytest.approx(half_width([one]) / np.sqrt(2), rel=0.02)


def test_what_a_class_of_fixed_size_shares_is_no_error():
    generator = np.random.default_rng(7)
    of_class = np.repeat([5.0, 0.0, -5.0], 10)
    noise = generator.standard_normal(30)
    moved = Influences(1.0, of_class + noise, np.zeros(30))
    rows = (np.arange(30), np.arange(30))
    told = half_width([Draw(rows, ([10, 10, 10], ()), moved)])
    assert told < 1.2 * half_width([Draw(rows, ((), ()), Influences(1.0, noise, np.zeros(30)))])
    assert told < half_width([Draw(rows, ((), ()), moved)]) / 3
