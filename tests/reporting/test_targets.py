"""Targets are judged from the tables: each holds on good tables and is missed when its own number is spoilt."""

import pytest

from featdiff.reporting.targets import Names, table, verdicts

NAMES = Names("guided", "mixture", "real-textures", "guided", "mixture")


@pytest.fixture
def tables(run):
    import pandas as pd

    return {name: pd.read_csv(getattr(run, name)) for name in ("quality", "denoising", "scatter")}


def judge(tables):
    return verdicts(tables["quality"], tables["denoising"], tables["scatter"], NAMES, "Lite0 Frechet distance")


def spoil(frame, column, value, **where):
    keep = True
    for key, wanted in where.items():
        keep = keep & (frame[key] == wanted)
    frame.loc[keep, column] = value
    assert keep.any()


def test_all_hold_on_good_tables(tables):
    assert [v.holds for v in judge(tables)] == [True] * 8


@pytest.mark.parametrize(
    ("number", "measure", "samples", "value"),
    [
        (0, "class_accuracy", "guided", 0.949),
        (1, "class_accuracy", "real-textures", 0.969),
        (3, "frechet", "guided", 46.0),
        (4, "recall", "guided", 0.67),
        (4, "recall", "guided", 0.93),
        (5, "vendi", "guided", 7.6),
    ],
)
def test_one_bad_class_misses_its_target_alone(tables, run, number, measure, samples, value):
    where = {"samples": samples, "measure": measure, "class": run.classes[1]}
    spoil(tables["quality"], "value", value, **where)
    found = judge(tables)
    assert [i for i, v in enumerate(found) if not v.holds] == [number]
    assert run.classes[1] in found[number].measured


def test_one_noise_level_below_the_mixture_misses(tables):
    spoil(tables["denoising"], "psnr", 1.0, model="guided", target="right", sigma=0.2)
    found = judge(tables)
    assert [i for i, v in enumerate(found) if not v.holds] == [2]
    assert "σ = 0.2" in found[2].measured


def test_scatter_is_of_the_whole_feature_vector(tables):
    spoil(tables["scatter"], "between", 0.1, model="guided", network="trained", block="middle")
    assert judge(tables)[7].holds, "two blocks outweigh the third"
    spoil(tables["scatter"], "between", 0.1, model="guided", network="trained", sigma=1.0)
    found = judge(tables)[7]
    assert found.holds is False
    assert found.measured == "0.10 times the mixture's ratio (σ = 1)"


def test_what_is_not_in_the_tables_is_not_measured(tables):
    tables["quality"] = tables["quality"][tables["quality"]["measure"] != "recall"]
    found = judge(tables)
    assert found[4].holds is None
    cells = table(found).groups[0].rows[4].cells
    assert [c.text for c in cells] == ["–", "not measured"]


@pytest.mark.parametrize(("value", "holds"), [(44.0, True), (44.8, None), (45.3, None), (46.0, False)])
def test_half_the_distance_within_the_intervals_is_not_called_half(tables, run, value, holds):
    where = {"samples": "guided", "measure": "frechet", "class": run.classes[1]}
    spoil(tables["quality"], "value", value, **where)
    found = judge(tables)
    assert found[3].holds is holds and run.classes[1] in found[3].measured
    assert (
        table(found).groups[0].rows[3].cells[1].text
        == {True: "holds", None: "within the interval", False: "missed"}[holds]
    )


def test_no_interval_no_verdict_on_distances(tables):
    tables["quality"]["interval"] = float("nan")
    assert judge(tables)[3].holds is None
