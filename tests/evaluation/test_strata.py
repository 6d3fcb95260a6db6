"""Over all classes: one law on both sides gives a kernel distance of zero, however the classes came into the sides."""

import numpy as np
import pytest

from featdiff.evaluation.kernel import kid
from featdiff.evaluation.selection import Counts, together

SIZE, CLASSES = 12, 32
MEANS = 0.5 * np.random.default_rng(99).standard_normal((CLASSES, SIZE))  # classes far apart, as textures are


def drawn(sizes, generator):
    """One side of independent images: of each class as many as a draw has, then ``together``."""
    images = MEANS[: sizes.classes, None] + 0.3 * generator.standard_normal((sizes.classes, sizes.one, SIZE))
    rows = {c: [np.arange(c * sizes.one, (c + 1) * sizes.one)] for c in range(sizes.classes)}
    side = together(rows, sizes, generator)[0]
    return images.reshape(-1, SIZE)[side.rows], side.strata


def distances(sizes, draws, size=10**6, told=True):
    generator = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        (x, of_x), (y, of_y) = drawn(sizes, generator), drawn(sizes, generator)
        strata = (of_x, of_y) if told else ((), ())
        found.append(kid(x, y, subsets=1, size=size, generator=generator, strata=strata)[0])
    return np.array(found)


def errors_from(values, truth):
    return (values.mean() - truth) / (values.std(ddof=1) / np.sqrt(len(values)))


COUNTS = [
    Counts(32, 32, 32),  # freely drawn: one a class would be no fair draw
    Counts(48, 48, 3),
    Counts(160, 160, 10),
    Counts(16, 48, 3),  # all that there are
    Counts(16, 160, 10),
    Counts(3, 50, 32),  # one image of some classes, two of others
]


@pytest.mark.parametrize("sizes", COUNTS)
@pytest.mark.parametrize("size", [20, 10**6])
def test_one_law_on_both_sides_is_at_no_kernel_distance(sizes, size):
    assert abs(errors_from(distances(sizes, 500, size), 0)) < 3.5


@pytest.mark.parametrize("sizes", [c for c in COUNTS if c.fixed])
def test_fixed_shares_taken_for_independent_draws_would_be_below_zero(sizes):
    assert errors_from(distances(sizes, 200, told=False), 0) < -20


def test_a_mixture_and_a_class_are_as_far_apart_by_fixed_shares_as_by_free_draws():
    generator, sizes = np.random.default_rng(1), Counts(16, 48, 3)
    fixed, free = [], []
    for _ in range(1500):
        x, strata = drawn(sizes, generator)
        y = MEANS[0] + 0.3 * generator.standard_normal((48, SIZE))
        fixed.append(kid(x, y, subsets=1, size=48, generator=generator, strata=(strata, ()))[0])
        x, none = drawn(Counts(480, 48, 3), generator)
        free.append(kid(x, y, subsets=1, size=48, generator=generator, strata=(none, ()))[0])
    fixed, free = np.array(fixed), np.array(free)
    assert fixed.mean() > 0.1 and fixed.std() < free.std()
    assert abs(fixed.mean() - free.mean()) < 3.5 * np.hypot(fixed.std(), free.std()) / np.sqrt(1500)
