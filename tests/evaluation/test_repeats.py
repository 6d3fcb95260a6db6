"""The table of repeats: means and standard deviations over trainings are those of the files' numbers."""

import pandas as pd
import pytest
import yaml

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.evaluation import repeats, sweep
from featdiff.settings.base import parse
from featdiff.settings.project import Params

SHIFT = {"": 0.0, "-seed-1": 1.0, "-seed-2": 5.0}  # mean 2, deviation sqrt(7)
DEVIATION = 7**0.5


@pytest.fixture(scope="module")
def settings():
    with open("params.yaml", encoding="utf-8") as stream:
        values = yaml.safe_load(stream)
    values["repeats"] = {"seeds": [1, 2], "rows": ["guided", "guided-strong", "mixture"], "distances": True}
    return parse(Params, values, "repeats")


def evaluation(path, name, shift, protocol="p"):
    rows = [
        {"class": c, "measure": m, "value": v + shift, "spread": 1.0, "count": 10}
        for c, v in (("a", 10.0), ("b", 20.0), ("all", 70.0))
        for m in ("frechet", "recall")
    ]
    payload = {"samples": name, "protocol": protocol, "rows": rows}
    artifacts.write_json(path, payload, artifacts.manifest("evaluation", {}))
    return path


def denoising(path, shift, targets):
    rows = [
        {"target": t, "class": c, "sigma": s, "psnr": 20 + v + k * shift}
        for k, t in enumerate(targets, 1)
        for c, v in (("a", 0.0), ("b", 2.0))
        for s in (0.1, 1.0)
    ]
    scatter = [
        {"network": n, "block": "middle", "sigma": 0.1, "ratio": r + shift, "nearest_centroid": 0.5}
        for n, r in (("trained", 3.0), ("untrained", 900.0))
    ]
    artifacts.write_json(path, {"rows": rows, "scatter": scatter}, artifacts.manifest("denoising", {}))
    return path


def distances(path, shift):
    ratios = (1 + shift, 2.0, 3.0, 9.0)  # of centroids to densities
    rows = [{"density": 1.0 + i, "error": 0.1, "centroids": r * (1 + i)} for i, r in enumerate(ratios)]
    artifacts.write_json(path, {"rows": rows}, artifacts.manifest("distances", {}))
    return path


@pytest.fixture
def files(settings, tmp_path):
    rows = settings.repeats.rows
    evaluations = [evaluation(tmp_path / f"{r}{e}.json", r + e, shift) for r in rows for e, shift in SHIFT.items()]
    told = {"guided": ("right", "wrong", "none"), "mixture": ("none",)}
    denoisings = {m + e: denoising(tmp_path / f"d-{m}{e}", s, t) for m, t in told.items() for e, s in SHIFT.items()}
    return evaluations, denoisings, {f"guided{e}": distances(tmp_path / f"x{e}", s) for e, s in SHIFT.items()}


@pytest.fixture
def table(settings, files, tmp_path):
    repeats.write(settings, *files, tmp_path / "repeats.csv")
    return pd.read_csv(tmp_path / "repeats.csv", keep_default_na=False, na_values={"spread": [""], "sigma": [""]})


def row(table, **keys):
    found = table[(table[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0][["mean", "spread", "trainings"]].tolist()


def test_a_copy_differs_from_its_row_in_the_seeds_alone(settings):
    first = sweep.described(settings, "guided-strong")
    assert sweep.change(first, sweep.described(settings, "guided-strong-seed-2")) == "sampling.seed=2 seed=2"


def test_image_measures_are_means_over_trainings_of_each_class_and_of_their_mean(table):
    for name in ("guided", "guided-strong", "mixture"):
        for label, value in (("a", 10), ("b", 20), ("all", 70), (repeats.CLASSES, 15)):
            found = row(table, part="quality", name=name, measure="frechet", **{"class": label})
            assert found == pytest.approx([value + 2, DEVIATION, 3], rel=1e-5)


def test_denoising_and_scatter_are_of_the_models_and_a_wrong_centroid_is_compared_within_each_training(table):
    mean = {"class": repeats.CLASSES, "sigma": 1.0, "part": "denoising"}
    assert row(table, name="guided", measure="psnr_wrong", **mean) == pytest.approx([25, 2 * DEVIATION, 3], rel=1e-5)
    assert row(table, name="guided", measure="wrong_centroid_cost", **mean) == pytest.approx(
        [-2, DEVIATION, 3], rel=1e-5
    )
    assert row(table, name="mixture", measure="psnr_none", **mean) == pytest.approx([23, DEVIATION, 3], rel=1e-5)
    assert set(table[table["part"] == "denoising"]["name"]) == {"guided", "mixture"}
    assert row(table, part="scatter", name="guided", measure="ratio") == pytest.approx([5, DEVIATION, 3], rel=1e-5)


def test_distances_have_their_constants_and_correlations(table):
    lows, highs = [1, 2, 2], [9, 9, 9]  # the least of 1 + shift, 2, 3 and 9
    for measure, values in (("A", lows), ("B", highs), ("B / A", [9, 4.5, 4.5])):
        found = row(table, part="distances", name="guided", measure=measure)
        assert found[:2] == pytest.approx([pd.Series(values).mean(), pd.Series(values).std()], rel=1e-5)
    assert row(table, part="distances", name="guided", measure="spearman")[0] == pytest.approx(
        (1 + 1 + 0.8) / 3, abs=0.1
    )


def test_what_is_missing_or_of_another_protocol_is_refused(settings, files, tmp_path):
    evaluations, denoisings, apart = files
    out = tmp_path / "repeats.csv"
    with pytest.raises(UserError, match="needs the evaluations of mixture-seed-2"):
        repeats.write(settings, evaluations[:-1], denoisings, apart, out)
    with pytest.raises(UserError, match="needs the denoising files of models guided-seed-1"):
        repeats.write(settings, evaluations, {k: v for k, v in denoisings.items() if k != "guided-seed-1"}, apart, out)
    evaluation(evaluations[1], "guided-seed-1", 1.0, protocol="q")
    with pytest.raises(UserError, match="different protocols"):
        repeats.write(settings, evaluations, denoisings, apart, out)
