"""The table of the sweep: its rows are the files' numbers, and say in which setting a model differs from the first."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.evaluation import sweep
from featdiff.settings.base import parse
from featdiff.settings.project import Params

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings():
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for table, rows in yaml.safe_load((ROOT / "workflow/presets/sweep.yaml").read_text()).items():
        values[table] = {**values.get(table, {}), **rows} if isinstance(rows, dict) else rows
    return parse(Params, values, "sweep")


def evaluation(path, name, protocol="p", base=0.0):
    rows = [
        {"class": c, "measure": m, "value": base + v, "spread": 3.0 if m != "class_accuracy" else None, "count": 10}
        for c, v in (("a", 0.2), ("b", 0.6), ("all", 99.0))
        for m in ("class_accuracy", "frechet", "recall", "vendi")
    ]
    rows.append({"class": "all", "measure": "network_evaluations", "value": 40.0, "spread": None, "count": 10})
    artifacts.write_json(
        path, {"samples": name, "protocol": protocol, "rows": rows}, artifacts.manifest("evaluation", {})
    )
    return path


def denoising(path, right, wrong):
    rows = [
        {"target": target, "class": c, "sigma": s, "psnr": value + s}
        for target, value in (("right", right), ("wrong", wrong), ("none", 0.0))
        for c in "ab"
        for s in (0.0, 1.0)
    ]
    artifacts.write_json(path, {"rows": rows}, artifacts.manifest("denoising", {}))
    return path


def health(path, dead, worth):
    found = {
        "dead_always": {"encoder0": dead / 2, "middle": dead},
        "worth": {"encoder0": {"0.1": worth, "1": worth + 1}, "middle": {"0.1": worth + 2, "1": worth + 3}},
    }
    artifacts.write_json(path, found, artifacts.manifest("health", {}))
    return path


@pytest.fixture
def files(settings, tmp_path):
    evaluations = [evaluation(tmp_path / f"{n}.json", n, base=i) for i, n in enumerate(settings.sweep)]
    denoisings = {n: denoising(tmp_path / f"{n}-d.json", 20.0 + i, 18.0) for i, n in enumerate(settings.sweep)}
    return evaluations, denoisings, {n: health(tmp_path / f"{n}-h.json", 0.5, 0.25) for n in settings.sweep}


def test_each_row_says_what_differs_from_the_first_and_only_that(settings):
    first = sweep.described(settings, settings.sweep[0])
    changes = {name: sweep.change(first, sweep.described(settings, name)) for name in settings.sweep}
    assert changes == {
        "sweep-base": "",
        "sweep-noised": "training.partner_noise=same",
        "sweep-middle": "network.matched=middle",
        "sweep-late": "network.matched=middle+decoder1+decoder0",
        "sweep-fixed": "network.learned_scale=false",
        "sweep-deviation": "network.deviation=true",
        "sweep-blind": "network.noise_embedding=0",
        "sweep-detail": "training.noise.mean=-2.2 training.noise.std=1.3",
        "sweep-slow": "training.learning_rate=0.0005",
        "sweep-residual": "network.block.kind=residual",
        "sweep-residual-detail": "network.block.kind=residual training.noise.mean=-2.2 training.noise.std=1.3",
        "sweep-residual-slower": "network.block.kind=residual training.learning_rate=0.001",
        "sweep-residual-faster": "network.block.kind=residual training.learning_rate=0.004",
        "sweep-residual-between": "network.block.kind=residual training.partner_noise=between",
        "sweep-residual-noised": "network.block.kind=residual training.partner_noise=same",
    }


def test_numbers_are_means_over_classes_in_the_order_of_the_sweep(settings, files, tmp_path):
    evaluations, *models = files
    sweep.write(settings, evaluations[::-1], *models, tmp_path / "sweep.csv")
    table = pd.read_csv(tmp_path / "sweep.csv", keep_default_na=False)
    assert table["samples"].tolist() == list(settings.sweep)
    row = table.iloc[2]
    assert (row["accuracy"], row["accuracy_worst"], row["evaluations"]) == pytest.approx((2.4, 2.2, 40))
    assert (row["frechet"], row["frechet_spread"]) == pytest.approx((2.4, 3 / 2**0.5), rel=1e-5)
    assert (row["psnr"], row["wrong_centroid_cost"]) == pytest.approx((22.5, 4.0))
    assert (row["dead"], row["worth"]) == (0.5, 1.25), "the most dead block, the least of the blocks' best levels"


def test_a_missing_evaluation_and_two_protocols_are_refused(settings, files, tmp_path):
    evaluations, *models = files
    with pytest.raises(UserError, match=f"needs the evaluations of {settings.sweep[-1]}"):
        sweep.write(settings, evaluations[:-1], *models, tmp_path / "sweep.csv")
    evaluation(evaluations[0], settings.sweep[0], protocol="q")
    with pytest.raises(UserError, match="different protocols"):
        sweep.write(settings, evaluations, *models, tmp_path / "sweep.csv")
