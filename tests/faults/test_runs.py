"""Whole runs: two at once, a clock that goes backwards, results that vanish, damage between two runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from typing import Any

import pytest

pytestmark = pytest.mark.slow
PATIENCE = 1800.0  # seconds, on a machine that is very busy
RUN = ("snakemake", "--workflow-profile", "workflow/profiles/local")


def background(project: Any, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RUN, *arguments],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(what: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_lock(project: Any, run: subprocess.Popen[str]) -> None:
    """Wait until a run has written down in Snakemake's lock what it makes: it builds the graph before that."""

    def locked() -> bool:
        assert run.poll() is None, run.communicate()[0]
        return any(file.stat().st_size for file in (project.root / ".snakemake/locks").glob("*.output.lock"))

    wait_for(locked)


def stop(run: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


@pytest.mark.fault(
    "two runs at once in one folder",
    "the second: exit 2, a run is going on in this folder (process N writes results/); the first goes on",
)
def test_a_second_run_in_the_same_folder_stops_and_the_first_goes_on(undisturbed, results_of, tmp_path):
    project = undisturbed.copy(tmp_path / "clone")
    (project.root / "results/samples/guided/samples.zip").unlink()  # six jobs: longer than the second looks
    first = background(project)
    try:
        wait_for_lock(project, first)
        second = project.run(*RUN, ok=False)
        assert second.returncode == 2
        assert f"a run is going on in this folder (process {first.pid} on" in second.stderr
        assert "Traceback" not in second.stderr
        assert project.run(*RUN, "--dry-run").returncode == 0, "looking is allowed"
        text, _ = first.communicate(timeout=PATIENCE)
        assert first.returncode == 0, text
    finally:
        stop(first)
    assert results_of(project) == results_of(undisturbed)


@pytest.mark.fault(
    "the lock of a run that was killed, or of another machine's run",
    "a line that it goes on from what was left; another machine's lock is kept and named",
)
def test_a_dead_runs_lock_is_removed_and_another_machines_is_not(undisturbed, tmp_path):
    project = undisturbed.copy(tmp_path / "clone")
    locks = project.root / ".snakemake/locks"
    (project.root / "results/report.html").unlink()
    run = background(project)
    wait_for_lock(project, run)
    stop(run)
    assert list(locks.glob("*.lock")), "kill -9 left the lock"
    signed = project.root / ".featdiff/locks/runs"
    text = signed.read_text()
    signed.write_text('{"host": "another-machine", "process": 1}')
    refused = project.run(*RUN, ok=False)
    assert refused.returncode != 0
    assert "A run started on another-machine may be alive" in refused.stderr
    assert list(locks.glob("*.lock"))
    signed.write_text(text)
    done = project.run(*RUN)
    assert "An earlier run was cut off; going on from what it left" in done.stderr
    assert (project.root / "results/report.html").exists()


@pytest.mark.exhaustive
@pytest.mark.fault(
    "an artifact damaged between two runs",
    "the job that reads it: exit 2, FILE: damaged; after deleting it as told, the run ends with the same bits",
)
def test_a_damaged_artifact_stops_the_run_and_deleting_it_as_told_mends_it(undisturbed, results_of, tmp_path):
    project = undisturbed.copy(tmp_path / "clone")
    file = project.root / "results/evaluation/guided.json"
    file.write_text(file.read_text().replace("0.", "1.", 1))
    done = project.run(*RUN, ok=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "results/evaluation/guided.json: damaged" in text and "delete it and run the pipeline again" in text
    assert "Traceback" not in text
    file.unlink()
    project.snakemake()
    assert results_of(project) == results_of(undisturbed)


@pytest.mark.fault(
    "the clock goes backwards: files with times in the future",
    "only what follows a changed file runs again; the same bits",
)
def test_files_from_the_future_do_no_harm(undisturbed, results_of, tmp_path):
    project = undisturbed.copy(tmp_path / "clone")
    future = time.time() + 30 * 24 * 3600
    for name in ("data/textures/dataset.zip", "metrics.json"):
        os.utime(project.root / "results" / name, (future, future))
    project.snakemake()
    assert results_of(project) == results_of(undisturbed)
    assert set(project.stale()) <= {"report"}, "a file that keeps its content starts nothing anew"
    for name in ("metrics.json", "report.html"):
        (project.root / "results" / name).unlink()
    project.snakemake()
    assert results_of(project) == results_of(undisturbed)


@pytest.mark.exhaustive
@pytest.mark.fault(
    "the results folder is deleted under a run",
    "the run fails or makes them anew; the same command again ends with the same bits",
)
def test_results_deleted_under_a_run_are_made_again(unstarted, undisturbed, results_of, tmp_path):
    project = unstarted.copy(tmp_path / "clone")
    run = background(project)
    try:
        wait_for((project.root / "results/data/textures/dataset.zip").exists)
        shutil.rmtree(project.root / "results", ignore_errors=True)
        run.communicate(timeout=PATIENCE)
    finally:
        stop(run)
    project.snakemake()
    assert results_of(project) == results_of(undisturbed)


def test_a_settings_error_of_the_command_line_has_no_traceback(undisturbed, tmp_path):
    arguments = ["--out", "m.json", "--quality", "q.csv", "--denoising-table", "d.csv", "--scatter-table", "s.csv"]
    arguments += ["--distances-table", "t.csv"]
    done = undisturbed.run("featdiff", "collect", *arguments, "--denoising", "nonsense", "x.json", ok=False)
    assert done.returncode == 2
    assert done.stderr == "featdiff: error: --denoising nonsense: should be MODEL=FILE, once for each model\n"
