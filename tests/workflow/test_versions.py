"""Versions for real: run and record, look at what is stale, go back in history, experiments, and stores."""

import json
import os
import time

import pytest
import yaml

from featdiff import artifacts

pytestmark = pytest.mark.slow
PATIENCE = 300.0  # seconds, on a machine that is busy
MIXTURE_ONLY = {"gather-mixture", "embed-samples-mixture", "evaluate-mixture", "collect", "report"}
SAMPLES = "results/samples/mixture/samples.zip"


def lock_of(project):
    return yaml.safe_load((project.root / "dvc.lock").read_text())["stages"]


def status(project):
    return json.loads(project.run("featdiff", "ledger", "status", "--json").stdout)


def stale(project):
    """The stages that are stale, after making sure that the engines agree."""
    rows = status(project)
    assert [row for row in rows if not row["agree"]] == []
    return {row["stage"] for row in rows if row["snakemake"]}


@pytest.fixture(scope="module")
def second(recorded, tmp_path_factory):
    """A second version in git: the mixture sampled with another seed, by a run whose report failed and was mended."""
    project = recorded.copy(tmp_path_factory.mktemp("second") / "clone")
    project.edit_params({"samplings": {"mixture": {"seed": 3}}})
    page = project.root / "featdiff/reporting/page.py"
    whole = page.read_text()
    page.write_text(whole + "\nraise OSError('the report breaks')\n")
    before = lock_of(project)
    failed = project.run("featdiff", "ledger", "run", ok=False)
    assert failed.returncode == 1
    assert "recorded 4 of" in failed.stdout
    changed = {name for name, stage in lock_of(project).items() if stage != before[name]}
    assert changed == MIXTURE_ONLY - {"report"}
    assert stale(project) == {"report"}
    page.write_text(whole)
    assert "recorded 1 of" in project.run("featdiff", "ledger", "run").stdout
    project.commit("another seed")
    project.run("dvc", "push")
    return project


def test_a_run_records_what_is_whole_even_when_it_fails_and_the_rest_when_it_is_mended(second):
    assert stale(second) == set()
    assert second.dvc_status() == {}


def test_a_change_whose_no_effect_a_user_vouches_for_makes_nothing_stale_until_the_code_changes_again(
    recorded, tmp_path
):
    project = recorded.copy(tmp_path / "clone")
    file = project.root / "featdiff/evaluation/kernel.py"
    file.write_text(file.read_text() + "\n\nUNUSED = len('a new constant')\n")
    assert stale(project) == set()  # nothing reaches it
    file.write_text(file.read_text().replace("\n    return ", "\n    UNUSED\n    return ", 1))
    evaluations = {name for name in lock_of(project) if name.startswith("evaluate-")}
    assert evaluations and evaluations <= stale(project)
    refused = project.run("featdiff", "ledger", "accept", "nothing", "--why", "x", ok=False)
    assert refused.returncode == 2 and "there is no stage 'nothing'" in refused.stderr
    why = "a name that is looked up and dropped"
    told = project.run("featdiff", "ledger", "accept", "evaluate", "--why", why).stdout
    assert "counts as what its results were recorded with" in told
    assert stale(project) == {"report"}  # reaches the changed function as well
    assert set(project.dvc_status()) == {"report"}  # it shows the word, too
    project.run("dvc", "repro", "report")
    assert stale(project) == set() and project.dvc_status() == {}
    assert why in (project.root / "results/report.html").read_text()
    assert why in project.run("featdiff", "ledger", "history", "results/evaluation/guided.json").stdout
    project.commit("a change that has no effect")
    assert stale(project.copy(tmp_path / "another")) == set()
    file.write_text(file.read_text().replace("\n    UNUSED\n", "\n    UNUSED + 1\n"))
    assert evaluations <= stale(project)


def test_status_names_the_reasons_of_both_engines(recorded, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    assert "nothing is stale" in project.run("featdiff", "ledger", "status").stdout
    project.edit_params({"samplings": {"mixture": {"seed": 3}}})
    (project.root / "results/evaluation/guided.json").unlink()
    rows = {row["stage"]: row for row in status(project)}
    assert all(row["agree"] for row in rows.values())
    assert rows["gather-mixture"]["snakemake"] == "params changed"
    assert rows["gather-mixture"]["dvc"] == "params modified: samplings.mixture"
    assert rows["evaluate-guided"]["snakemake"] == "missing output: results/evaluation/guided.json"
    assert rows["evaluate-guided"]["dvc"] == "output deleted: results/evaluation/guided.json"
    assert rows["embed-samples-mixture"]["dvc"] == "follows gather-mixture"
    assert {name for name, row in rows.items() if row["dvc"]} == MIXTURE_ONLY | {"evaluate-guided"}


def test_a_run_with_other_settings_or_none_at_all_records_nothing_and_says_why(recorded, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    before = (project.root / "dvc.lock").read_bytes()
    project.edit_params({"samplings": {"mixture": {"seed": 3}}})
    done = project.run("featdiff", "ledger", "run", "--profile", "local", "--", "--dry-run")
    assert "nothing is recorded: a run with --dry-run makes nothing" in done.stdout
    done = project.run(
        "featdiff", "ledger", "run", "--profile", "tiny", "--", "--", "results/tiny/data/textures/dataset.zip"
    )
    assert "nothing is recorded: it ran with settings beside params.yaml" in done.stdout
    assert (project.root / "results/tiny/data/textures/dataset.zip").is_file()
    assert (project.root / "dvc.lock").read_bytes() == before


def test_a_result_made_from_something_else_than_what_lies_there_is_not_recorded(recorded, tmp_path):
    """An older file put in place of an input: its time says that nothing changed, and Snakemake believes it."""
    project = recorded.copy(tmp_path / "clone")
    old = time.time() - 10**7
    photograph = project.root / "photographs/brick/brick.png"
    photograph.write_bytes(photograph.read_bytes() + b"\0")
    os.utime(photograph, (old, old))
    samples = project.root / SAMPLES
    members, made = artifacts.read_zip(samples, "samples")
    artifacts.write_zip(samples, {**members, "note.txt": b""}, made)
    os.utime(samples, (old, old))
    before = lock_of(project)
    done = project.run("featdiff", "ledger", "record", ok=False)
    assert done.returncode == 2
    assert "not recorded, prepare-textures: " in done.stdout
    assert "photographs/brick/brick.png: not what the job read" in done.stdout
    assert "not recorded, embed-samples-mixture" in done.stdout
    after = lock_of(project)
    assert all(
        after[name] == before[name] for name in ("prepare-textures", "embed-samples-mixture", "evaluate-mixture")
    )


def test_verify_finds_a_flipped_bit_and_a_manifest_that_lies_and_passes_what_is_whole(recorded, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    assert "artifacts are what they say they are" in project.run("featdiff", "ledger", "verify").stdout
    checkpoint = project.root / "results/models/guided/checkpoint.safetensors"
    content = bytearray(checkpoint.read_bytes())
    content[-5] ^= 1
    checkpoint.write_bytes(content)
    features = project.root / "results/samples/mixture/features.npz"
    arrays, made = artifacts.read_arrays(features, "features")
    artifacts.write_arrays(features, arrays, made.model_copy(update={"inputs": {"images": "0" * 64}}))
    done = project.run("featdiff", "ledger", "verify", ok=False)
    assert done.returncode == 2
    wrong = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("WRONG")}
    named = {"results/models/guided/checkpoint.safetensors", "results/samples/mixture/features.npz"}
    assert named <= wrong
    assert all(name in done.stderr for name in named)
    assert "results/data/textures/dataset.zip" not in wrong


def test_history_tells_the_versions_apart_and_an_older_one_can_be_brought_back(second, tmp_path):
    versions = json.loads(second.run("featdiff", "ledger", "history", SAMPLES, "--json").stdout)["versions"]
    newest, first = versions
    assert newest["settings"] == {"samplings.mixture.seed": [None, 3]}
    assert newest["digest"] != first["digest"]
    assert newest["data"] == first["data"]
    assert newest["metrics"]["mixture"]["frechet"] != first["metrics"]["mixture"]["frechet"]
    project = second.copy(tmp_path / "clone")
    now = (project.root / SAMPLES).read_bytes()
    project.run("git", "checkout", "--quiet", first["commit"])
    project.run("dvc", "checkout")
    project.run("featdiff", "ledger", "adopt")
    assert (project.root / SAMPLES).read_bytes() != now
    assert stale(project) == set()
    project.run("featdiff", "ledger", "verify")
    project.run("git", "checkout", "--quiet", newest["commit"])
    project.run("dvc", "checkout")
    project.run("featdiff", "ledger", "adopt")
    assert (project.root / SAMPLES).read_bytes() == now
    assert stale(project) == set()


def test_dvc_shows_what_differs_between_two_versions(second, tmp_path):
    metrics = json.loads(second.run("dvc", "metrics", "diff", "HEAD~1", "--json").stdout)
    changed = metrics["results/metrics.json"]
    assert "quality.mixture.all.frechet" in changed
    assert not [name for name in changed if name.startswith("quality.guided.")]
    settings = json.loads(second.run("dvc", "params", "diff", "HEAD~1", "--json").stdout)
    assert settings["params.yaml"] == {"samplings.mixture.seed": {"old": None, "new": 3}}
    second.run("dvc", "plots", "diff", "HEAD~1", "HEAD", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text()
    assert "results/tables/quality.csv" in page.replace("\\u002f", "/")


EXPERIMENT = ("--set-param", "samplings.mixture.images=24", "gather-mixture")


def test_an_experiment_runs_the_stale_stage_and_no_other(recorded, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    before = lock_of(project)
    project.run("dvc", "exp", "run", "--name", "here", *EXPERIMENT)
    changed = {name for name, stage in lock_of(project).items() if stage != before[name]}
    assert changed == {"gather-mixture"}
    assert stale(project) == MIXTURE_ONLY - {"gather-mixture"}


@pytest.mark.exhaustive
def test_an_experiment_beside_the_folder_leaves_it_alone_and_ends_as_one_in_it(recorded, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    project.run("dvc", "exp", "run", "--name", "here", *EXPERIMENT)
    here = (project.root / "dvc.lock").read_bytes()
    project.run("git", "checkout", "--quiet", ".")
    project.run("dvc", "checkout")
    project.run("dvc", "exp", "run", "--temp", "--name", "beside", *EXPERIMENT)
    assert project.run("git", "status", "--short").stdout == ""
    assert project.run("git", "show", f"{experiment(project, 'beside')}:dvc.lock").stdout.encode() == here


@pytest.mark.exhaustive
def test_a_queued_experiment_runs_and_can_be_applied_and_adopted(recorded, tmp_path):
    project = recorded.copy(tmp_path / "clone")
    added = ("--set-param", "+samplings.mixture.seed=9")
    project.run("dvc", "exp", "run", "--queue", "--name", "queued", *added, "gather-mixture")
    project.run("dvc", "queue", "start", "--jobs", "1")
    try:
        wait_for(lambda: experiment(project, "queued"), lambda: project.run("dvc", "queue", "logs", "queued", ok=False))
    finally:
        project.run("dvc", "queue", "stop", ok=False)
    project.run("dvc", "exp", "apply", "queued")
    assert yaml.safe_load((project.root / "params.yaml").read_text())["samplings"]["mixture"]["seed"] == 9
    made = artifacts.read_zip(project.root / SAMPLES, "samples").made
    assert made.settings["seed"] == 9


def experiment(project, name):
    """The commit of an experiment that has ended well; empty before."""
    rows = project.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout.splitlines()
    return next((row.split()[0] for row in rows if row.endswith(f"/{name}")), "")


def wait_for(done, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if done():
            return
        time.sleep(1)
    raise TimeoutError(log().stdout)
