import numpy as np
import pytest

from featdiff.evaluation.comparison import Measured, is_lower


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (Measured(100, 3), Measured(110, 4), True),  # 10 apart, 5 is the interval of the difference
        (Measured(110, 4), Measured(100, 3), False),
        (Measured(100, 3), Measured(105, 4), None),  # just within
        (Measured(100, np.nan), Measured(200, 4), None),
        (Measured(40, 1, floor=60), Measured(62, 3, floor=60), None),  # at the floor both
        (Measured(40, 1, floor=60), Measured(90, 3, floor=60), True),
        (Measured(50, 0, floor=60), Measured(55, 0, floor=60), None),  # below it nothing can be told
    ],
)
def test_better_is_what_lies_beyond_the_interval_and_above_the_floor(first, second, told):
    assert is_lower(first, second) is told


def test_half_of_the_other_is_asked_of_the_other_above_its_floor():
    assert is_lower(Measured(60, 1, 20), Measured(200, 4, 20), share=0.5) is True
    assert is_lower(Measured(99, 1, 20), Measured(200, 4, 20), share=0.5) is None
    assert is_lower(Measured(60, 1, 60), Measured(100, 4, 60), share=0.5) is False, (
        "half is below what real images reach"
    )


def test_two_samples_of_one_law_are_rarely_called_different():
    values = np.random.default_rng(0).normal(100, 2, (4000, 2))
    told = [is_lower(Measured(a, 1.96 * 2), Measured(b, 1.96 * 2)) for a, b in values]
    assert np.mean([t is None for t in told]) == pytest.approx(0.95, abs=0.015)
