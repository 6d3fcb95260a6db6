"""The study as a command: its files, that they do not depend on threads, its page, and what it says to bad settings."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from featdiff import artifacts
from featdiff.cli import app
from featdiff.errors import UserError
from featdiff.mixture import TABLES
from featdiff.mixture.study import run_study
from featdiff.reporting import mixture as page
from featdiff.settings.base import parse
from featdiff.settings.mixture import MixtureStudy

TINY = {
    "cases": {
        "plane": {"law": {"means": [[1, 0.5], [-1, 0.5], [0, -1]]}, "etas": [0, 1], "steps": 20, "paths": 200},
        "line": {"law": {"means": [[-1], [0], [1]]}, "target": 1, "etas": [0, 1, 3], "steps": 20, "paths": 200},
    },
    "splitting": {"paths": 200, "rows": [{"sampler": "ddpm", "step": 0.5, "etas": [0.5, 5]}]},
    "neighbours": {
        "scales": [2],
        "gaussian_steps": 20,
        "gaussian_paths": 200,
        "uniform_etas": [0, 1],
        "uniform_steps": 20,
        "uniform_paths": 100,
        "plane_points": 200,
    },
    "convergence": {"dims": [2], "steps": [24, 32], "points": 200, "redraws": 2, "projections": 5},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("study")
    done = CliRunner().invoke(app, ["mixture", "--settings", json.dumps(TINY), "--threads", "2", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


def test_the_command_writes_every_table_with_its_rows(folder):
    rows = {name: len(pd.read_csv(folder / f"{name}.csv")) for name in TABLES}
    assert rows["guidance"] == 2 * (2 + 3) and rows["splitting"] == 2 and rows["thresholds"] == 1
    summary, made = artifacts.read_json(folder / "study.json", "mixture")
    assert made.settings == parse(MixtureStudy, TINY, "tiny").model_dump(mode="json")
    assert set(summary["confidence_rises"]) == {"plane ddim", "plane ddpm", "line ddim", "line ddpm"}


def test_one_thread_writes_the_same_files(folder, tmp_path):
    run_study(parse(MixtureStudy, TINY, "tiny"), tmp_path, threads=1)
    for name in (*(f"{table}.csv" for table in TABLES), "pictures.npz", "study.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_page_shows_every_figure_and_table_without_outside_references(folder, tmp_path):
    page.write_page(folder, tmp_path / "page.html", figures=tmp_path / "figures.zip")
    text = (tmp_path / "page.html").read_text()
    for anchor in (
        "confidence",
        "entropy",
        "ends-plane",
        "ends-line",
        "field-plane",
        "splitting",
        "plane",
        "convergence",
    ):
        assert f'<figure id="mixture-{anchor}">' in text
    assert text.count("<table id=") == 3 and "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert not re.search(r'(src|href)="(?!data:|#)', re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL))
    pictures, *_ = artifacts.read_zip(tmp_path / "figures.zip", "mixture figures")
    assert len(pictures) == text.count("<svg ")
    for name, data in pictures.items():
        assert ElementTree.fromstring(data).tag.endswith("svg"), name
        assert b"var(--" not in data


def test_the_section_of_the_report_is_the_same_body(folder):
    body = page.body(page.read(folder))
    assert 'id="mixture-confidence"' in body and "<html" not in body


def test_a_damaged_or_mixed_folder_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        page.read(tmp_path)
    for name in ("study.json", "pictures.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(UserError, match=r"guidance\.csv: no such file"):
        page.read(tmp_path)
    for name in TABLES:
        (tmp_path / f"{name}.csv").write_bytes((folder / f"{name}.csv").read_bytes())
    assert page.read(tmp_path).summary == page.read(folder).summary
    (tmp_path / "orders.csv").write_text((folder / "orders.csv").read_text().replace("1", "2", 1))
    with pytest.raises(UserError, match=r"orders\.csv: damaged"):
        page.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"law": {"means": [[0.0], [1.0]], "covariance": [[-1.0]]}},
            "cases.bad.law: mixture covariance 0 is not positive",
        ),
        ({"law": {"means": [[0.0], [1.0]], "weights": [0.4, 0.4]}}, "cases.bad.law: mixture weights must sum to one"),
        (
            {"law": {"means": [[0.0], [1.0]], "weights": [1.4, -0.4]}},
            "cases.bad.law: mixture weights must not be negative",
        ),
        ({"law": {"means": [[0.0, 1.0]], "covariance": [[1.0]]}}, "cases.bad.law: mixture covariances of shape"),
    ],
)
def test_a_law_that_is_no_mixture_is_refused_before_anything_runs(change, message, tmp_path):
    settings = parse(MixtureStudy, {**TINY, "cases": {"bad": change}}, "tiny")
    with pytest.raises(UserError, match=message):
        run_study(settings, tmp_path)
    assert not list(tmp_path.iterdir())
