"""Means over classes and their errors, against the closed form."""

import numpy as np
import pandas as pd
import pytest

from featdiff.evaluation.class_means import class_means


def table(rows):
    return pd.DataFrame(rows, columns=["class", "measure", "value", "spread", "count"])


def test_the_mean_leaves_out_all_and_its_error_is_that_of_a_mean_of_independent_values():
    rows = [("a", "frechet", 1.0, 3.0, 10), ("b", "frechet", 5.0, 4.0, 10), ("all", "frechet", 99.0, 99.0, 20)]
    found = class_means(table(rows))
    assert found.loc["frechet"].tolist() == [3.0, 2.5]


def test_a_class_without_spread_leaves_the_mean_without_one():
    rows = [("a", "kid", 1.0, 3.0, 10), ("b", "kid", 5.0, None, 10), ("a", "x", 1.0, None, 10)]
    assert class_means(table(rows))["spread"].isna().all()


def test_accuracy_has_the_error_of_a_share():
    rng = np.random.default_rng(0)
    shares, counts = np.array([0.2, 0.7]), np.array([50, 400])
    rows = [(c, "class_accuracy", s, None, n) for c, s, n in zip("ab", shares, counts, strict=True)]
    drawn = (rng.binomial(counts, shares, (200_000, 2)) / counts).mean(1)
    found = class_means(table(rows)).loc["class_accuracy"]
    assert found["value"] == pytest.approx(drawn.mean(), abs=1e-3)
    assert found["spread"] == pytest.approx(drawn.std(), rel=0.02)
