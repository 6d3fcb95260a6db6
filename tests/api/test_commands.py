"""The commands for people, as a person types them."""

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from featdiff.cli import app
from featdiff.commands.rows import SECTIONS, TABLES
from featdiff.errors import UserError
from featdiff.settings.project import load


def said(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_sampling_by_class_by_photos_and_between_writes_what_was_asked_for(results, drawn, tmp_path):
    said("sample", "--model", results, "--class", "stripes", "-n", 4, "--out", tmp_path / "a.npz")
    assert np.array_equal(np.load(tmp_path / "a.npz")["arr_0"], np.asarray(drawn.select(label=1).images)[:4])
    said("sample", "--model", results, "--class", "stripes", "-n", 2, "--out", tmp_path / "photos")
    photos = sorted((tmp_path / "photos/stripes").glob("*.png"))
    said("sample", "--model", results, "--out", tmp_path / "like.zip", "-n", 3, "--like", *photos)
    said("sample", "--model", results, "--between", "flat", "stripes", 0.5, "-n", 3, "--out", tmp_path / "b.png")
    assert (tmp_path / "like.zip").is_file() and (tmp_path / "b.png").is_file()
    with pytest.raises(UserError, match="name one of --class, --like and --between"):
        said("sample", "--model", results, "--class", "flat", "--like", photos[0], "--out", tmp_path / "c.png")
    with pytest.raises(UserError, match="photos follow --like"):
        said("sample", "--model", results, photos[0], "--out", tmp_path / "c.png")


def test_info_tells_what_each_file_of_a_run_is_and_a_damaged_one_apart(results, tmp_path):
    kinds = {}
    for path in sorted(results.rglob("*.*")):
        told = yaml.safe_load(said("info", path))
        kinds[path.name] = told["kind"]
        assert told["whole"] and told["featdiff"].startswith("0.")
    assert {"dataset", "checkpoint", "centroids", "samples"} <= set(kinds.values())
    told = yaml.safe_load(said("info", results / "samples/guided/samples.zip"))
    assert told["images"] == 20 and told["counts"] == {"samples/flat": 10, "samples/stripes": 10}
    whole = (results / "models/guided/centroids.npz").read_bytes()
    (tmp_path / "centroids.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"centroids\.npz"):
        said("info", tmp_path / "centroids.npz")


def test_a_step_by_hand_takes_a_row_of_a_settings_file_and_gives_the_workflows_settings(tmp_path):
    row = load("params.yaml")
    from featdiff.commands.rows import settings_text

    for step, (table, resolved) in TABLES.items():
        for name in getattr(row, table):
            assert json.loads(settings_text(step, None, "params.yaml", name)) == resolved(row, name).model_dump(
                mode="json"
            )
    assert json.loads(settings_text("measure", None, "params.yaml", None)) == row.evaluation.model_dump(mode="json")
    assert {*TABLES, *SECTIONS} == _with_settings()
    with pytest.raises(UserError, match="rows of models: guided, mixture"):
        said("train", "--params", "params.yaml", "--row", "guide", "--data", "d", "--out", tmp_path / "o")
    with pytest.raises(UserError, match=r"--params params.yaml --row NAME"):
        said("train", "--settings", "params.yaml", "--data", "d", "--out", tmp_path / "o")
    with pytest.raises(UserError, match="give the settings once"):
        said("train", "--data", "d", "--out", tmp_path / "o")


def _with_settings() -> set[str]:
    import inspect

    from featdiff.cli import STEPS

    return {step.__name__ for step in STEPS if "settings" in inspect.signature(step).parameters}


def test_the_package_is_a_command_says_its_version_and_imports_no_torch_by_itself():
    run = [sys.executable, "-m", "featdiff", "--version"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "featdiff 0.1.0\n"
    code = "import sys, featdiff, featdiff.cli; print('torch' in sys.modules, 'snakemake' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_help_comes_in_three_groups_with_an_example_each():
    told = said("--help")
    for group in ("For people", "Versions", "Steps of the workflow"):
        assert f"─ {group} ─" in told and f"{group}: featdiff " in told
