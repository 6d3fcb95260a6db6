import numpy as np
import pytest

from featdiff.errors import UserError
from featdiff.evaluation import memorisation
from featdiff.evaluation.memorisation import copying, nearest_training


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(memorisation, "BLOCK", 13)


def images(seed, count, size=12, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)


def test_nearest_agrees_with_all_differences():
    query, training = images(0, 17, channels=3), images(1, 40, channels=3)
    both = np.stack([training, training[:, :, ::-1]]).astype(float)
    direct = np.sqrt(np.square((query.astype(float) - both[:, :, None]) / 255).mean((-1, -2, -3)))  # (2, M, N)
    found = nearest_training(query, training)
    assert np.abs(found.distance - direct.min((0, 1))).max() < 1e-6
    assert np.array_equal(found.row, direct.min(0).argmin(0))


def test_copies_and_mirrored_copies_are_at_exactly_zero():
    training = images(2, 50)
    query = np.concatenate([training[[3, 41]], training[[7]][:, :, ::-1]])
    found = nearest_training(query, training)
    assert found.distance.tolist() == [0, 0, 0]
    assert found.row.tolist() == [3, 41, 7]


def test_shifted_copies_are_found_with_a_shift_and_not_without():
    large = images(3, 30, size=14)
    training, query = large[:, 1:13, 1:13], large[5:6, 0:12, 2:14]
    assert nearest_training(query, training, shift=1).distance[0] == 0
    assert nearest_training(query[:, :, ::-1], training, shift=1).row[0] == 5
    assert nearest_training(query, training).distance[0] > 0.2


def test_the_share_of_copies_is_judged_by_test_images():
    test = np.linspace(1, 2, 101)
    assert copying(np.full(10, 0.5), test).share == 1
    assert copying(np.full(10, 1.5), test).share == 0
    assert copying(test, test).share == pytest.approx(0.05, abs=0.01)
    assert copying(np.full(10, 0.5), test).median_test == pytest.approx(1.5)


def test_images_of_another_size_are_refused():
    with pytest.raises(UserError, match="not comparable"):
        nearest_training(images(0, 2), images(1, 2, size=10))


@pytest.mark.parametrize("count", [19, 32, 192])
def test_a_twentieth_of_images_that_nobody_copied_is_expected_among_the_copies_at_any_count(count):
    generator = np.random.default_rng(0)
    shares = [copying(generator.random(count), generator.random(count)).share for _ in range(4000)]
    assert abs(np.mean(shares) - 0.05) < 4 * np.std(shares) / np.sqrt(4000)
