"""One small run of the whole graph for real, and what must hold afterwards: nothing to do, versions, clones, resume."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from featdiff import artifacts

pytestmark = pytest.mark.slow
PATIENCE = 300.0  # seconds, on a machine that is busy
GUIDED_ONLY = {"sample": 2, "gather": 1, "embed": 1, "evaluate": 1, "collect": 1, "report": 1}


def test_a_run_leaves_every_result_and_no_temporary_file(finished):
    results = finished.root / "results"
    for sampling in ("guided", "mixture"):
        assert artifacts.read_zip(results / "samples" / sampling / "samples.zip", "samples")
        assert not list((results / "samples" / sampling).glob("shards/*.zip"))
    assert (results / "report.html").stat().st_size > 50_000
    tables = ["quality.csv", "denoising.csv", "scatter.csv"]
    assert all((results / "tables" / name).stat().st_size for name in tables)


def test_a_second_run_does_nothing_and_says_so(finished):
    done = finished.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_training_log_shows_progress(finished):
    log = (finished.root / "results/logs/train/guided.log").read_text()
    assert "loss=" in log
    assert "image/s" in log or "images/s" in log


def test_a_training_can_be_watched_in_the_terminal_on_a_page_and_in_the_report(finished):
    assert "training guided: step 40 of 40, finished" in (finished.root.parent / "said").read_text()
    progress = finished.root / "results/logs/train/guided"
    assert len(list(progress.glob("previews/*.png"))) == 2
    assert "guided/previews/" in progress.with_suffix(".html").read_text()
    page = (finished.root / "results/report.html").read_text()
    assert "How it learned" in page and "Guided model: the same images as it learned" in page


def test_a_changed_setting_reruns_exactly_what_depends_on_it(finished, tmp_path):
    project = finished.copy(tmp_path / "clone")
    project.edit_params({"samplings": {"guided": {"sampler": {"steps": 5}}}})
    assert project.stale() == GUIDED_ONLY


def test_a_repeated_training_is_another_one_and_the_table_and_the_page_have_both(finished, tmp_path):
    project = finished.copy(tmp_path / "clone")
    project.edit_params({"repeats": {"seeds": [1], "rows": ["guided"]}})
    project.snakemake()
    results = project.root / "results"
    samples = [(results / f"samples/{name}/samples.zip").read_bytes() for name in ("guided", "guided-seed-1")]
    assert samples[0] != samples[1]
    values = []
    for name in ("guided", "guided-seed-1"):
        rows = artifacts.read_json(results / f"evaluation/{name}.json", "evaluation")[0]["rows"]
        values += [r["value"] for r in rows if (r["class"], r["measure"]) == ("brick", "frechet")]
    table = pd.read_csv(results / "tables/repeats.csv")
    row = table[(table["class"] == "brick") & (table["measure"] == "frechet")].iloc[0]
    assert row["mean"] == pytest.approx(sum(values) / 2, rel=1e-5) and row["trainings"] == 2
    assert row["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5, rel=1e-4) and row["spread"] > 0
    page = (results / "report.html").read_text()
    assert "How far trainings differ" in page and "guided-seed-1" not in page
    assert "Nothing to be done" in (again := project.snakemake()).stdout + again.stderr
    project.run("featdiff", "ledger", "write")
    stages = yaml.safe_load((project.root / "dvc.yaml").read_text())["stages"]
    named = [name for name in stages["train-guided-seed-1"]["params"] if isinstance(name, str)]
    assert {"models.guided", "repeats"} <= set(named)


def test_a_default_written_out_changes_nothing(finished, tmp_path):
    project = finished.copy(tmp_path / "clone")
    project.edit_params({"samplings": {"guided": {"seed": 0}}})
    assert set(project.stale()) <= {"report"}


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("featdiff/data/prepare.py", "prepare"),
        ("featdiff/diffusion/samplers.py", "sample"),
        ("featdiff/evaluation/kernel.py", "evaluate"),
        ("featdiff/reporting/report.css", "report"),
        ("workflow/rules/centroids.smk", "centroids"),
    ],
)
def test_a_changed_source_file_reruns_what_uses_it_and_not_what_comes_before(finished, tmp_path, path, first):
    order = ["prepare", "train", "centroids", "sample", "gather", "embed", "evaluate", "collect", "report"]
    project = finished.copy(tmp_path / "clone")
    file = project.root / path
    file.write_text(file.read_text() + ("/* */\n" if path.endswith("css") else "if True:\n    pass\n"))
    stale = project.stale()
    assert stale[first]
    assert not set(order[: order.index(first)]) & set(stale)


def test_record_commits_only_what_is_up_to_date(finished, tmp_path):
    project = finished.copy(tmp_path / "clone")
    (project.root / "results/models/guided/centroids.npz").unlink()
    project.edit_params({"samplings": {"mixture": {"seed": 3}}})
    done = project.run("featdiff", "ledger", "record")
    assert "not recorded" in done.stdout
    lock = yaml.safe_load((project.root / "dvc.lock").read_text())
    of_both = {f"{stage}-{row}" for stage in ("train", "progress", "health") for row in ("guided", "mixture")}
    of_the_data = {"prepare-textures", "embed-data-textures", "evaluate-real-textures"}
    assert set(lock["stages"]) == of_both | of_the_data | {"denoise-mixture"}


def test_after_recording_dvc_has_nothing_to_say_and_snakemake_nothing_to_do(recorded):
    assert recorded.dvc_status() == {}
    assert recorded.stale() == {}


def test_a_clone_pulls_and_adopts_and_then_tracks_settings(recorded, tmp_path):
    recorded.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    (tmp_path / "featdiff-store").symlink_to(recorded.root.parent / "featdiff-store")
    clone = type(recorded)(tmp_path / "clone")
    refused = clone.run("featdiff", "ledger", "adopt", ok=False)
    assert refused.returncode == 2
    assert "dvc pull" in refused.stderr
    clone.run("dvc", "pull")
    clone.run("featdiff", "ledger", "adopt")
    assert clone.stale() == {}
    assert clone.dvc_status() == {}
    clone.edit_params({"samplings": {"guided": {"sampler": {"steps": 5}}}})
    assert clone.stale() == GUIDED_ONLY
    assert set(clone.dvc_status()) == {"gather-guided", "report"}


def test_dvc_repro_runs_the_stale_stage_through_snakemake(recorded, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    before = (project.root / "results/samples/guided/samples.zip").read_bytes()
    project.edit_params({"samplings": {"guided": {"seed": 7}}})
    project.run("dvc", "repro", "gather-guided")
    assert (project.root / "results/samples/guided/samples.zip").read_bytes() != before
    assert project.stale() == {rule: n for rule, n in GUIDED_ONLY.items() if rule not in ("sample", "gather")}


def test_a_training_killed_half_way_resumes_to_the_same_bits(finished, tmp_path):
    project = finished.copy(tmp_path / "clone")
    target = "results/models/guided/checkpoint.safetensors"
    whole = (project.root / target).read_bytes()
    (project.root / target).unlink()
    shutil.rmtree(project.root / ".featdiff/state")
    run = subprocess.Popen(
        ["snakemake", "--workflow-profile", "workflow/profiles/local", "--", target],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        kill_training_after_a_state(project.root, PATIENCE)
        assert run.wait(PATIENCE) != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert list((project.root / ".featdiff/state").glob("*/*.safetensors"))
    assert not (project.root / target).exists()
    project.snakemake("--", target)
    assert (project.root / target).read_bytes() == whole


def kill_training_after_a_state(root: Path, patience: float) -> None:
    """Wait for the first resume state, then kill -9 the process that writes it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if list((root / ".featdiff/state").glob("*/*.safetensors")):
            for process in processes_in(root):
                os.kill(process, signal.SIGKILL)
            return
        time.sleep(0.01)
    raise TimeoutError("the training wrote no resume state")


def processes_in(root: Path) -> list[int]:
    """The ids of the processes that train in the folder ``root``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = (process / "cwd").resolve() == root.resolve()
            if here and b"featdiff\0train" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_what_changes_no_result_runs_no_job_and_what_changes_measures_keeps_the_features(finished, tmp_path):
    project = finished.copy(tmp_path / "clone")
    assert not project.stale()
    for file in ("cli.py", "artifacts.py", "training/loop.py", "settings/base.py"):
        path = project.root / "featdiff" / file
        path.write_text(path.read_text() + "\n# a comment\n")
    previews = project.root / "featdiff/watching/previews.py"
    previews.write_text(previews.read_text().replace("STEPS = 10", "STEPS = 12"))
    (training,) = yaml.safe_load((project.root / "params.yaml").read_text())["trainings"]
    project.edit_params({"trainings": {training: {"save_every": 333, "previews": 3}}})
    assert not project.stale()
    project.edit_params({"evaluation": {"neighbours": 4}})
    stale = project.stale()
    assert stale["evaluate"] and stale["report"] and not {"embed", "train", "gather"} & set(stale)


def test_a_run_says_whose_code_was_changed_meanwhile_and_the_next_one_makes_it_again(finished, tmp_path):
    project = finished.copy(tmp_path / "clone")
    (project.root / "results" / "metrics.json").unlink()
    edit = "import pathlib\npath = pathlib.Path('featdiff/evaluation/collect.py')\n"
    edit += "path.write_text(path.read_text().replace('def collect(', 'CHANGED = 1\\n\\n\\ndef collect(').replace("
    edit += "'made = artifacts.manifest', 'assert CHANGED\\n    made = artifacts.manifest'))\n"
    rule = project.root / "workflow/rules/evaluate.smk"
    rule.write_text(rule.read_text().replace('"featdiff collect', '"python edit.py; featdiff collect'))
    (project.root / "edit.py").write_text(edit)
    done = project.snakemake("--", "results/metrics.json")
    assert "The code of collect was changed during this run" in done.stderr
    assert project.stale()["collect"] == 1
