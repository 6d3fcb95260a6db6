"""A real Slurm, and what becomes of a training when things go wrong.

All stories start at once and wait mostly for Slurm, each with a copy of the project of its own; a test then looks at
what is left of its story. In each, a training hangs when two resume states are on disk, and something happens to it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from featdiff.models import checkpoint
from tests.slurm.onehost import processes_of
from tests.workflow.slurm.conftest import ONE_THREAD

pytestmark = pytest.mark.slow
TARGET = "results/models/guided/checkpoint.safetensors"
IMAGES = 1600  # of the training in the stories: ten states
FEW = {"trainings": {"preview": {"images": 320}}}  # before rounding has grown to a difference
CENTROIDS = "results/models/guided/centroids.npz"
LOG = "results/logs/train/guided.log"


# --- stories ------------------------------------------------------------------------------------------------------


def cancelled(run):
    """Somebody cancels the job."""
    run.hold_training()
    snakemake = run.start("--", TARGET)
    run.cluster.call("scancel", run.held()["JobId"])
    run.finish(snakemake)


def out_of_time(run):
    """The job's time limit, cut to a minute while it hangs, runs out."""
    run.hold_training()
    snakemake = run.start("--", TARGET)
    run.cluster.call("scontrol", "update", f"JobId={run.held()['JobId']}", "TimeLimit=1")
    run.finish(snakemake)


def node_lost(run):
    """The node's daemon and all processes of its job are killed, and it stays away."""
    run.hold_training()
    snakemake = run.start("--", TARGET)
    run.cluster.kill_node(run.held()["NodeList"])
    run.finish(snakemake)


def preempted(run):
    """A job of a partition that goes first wants the node."""
    run.hold_training()
    snakemake = run.start("--", TARGET)
    node = run.held()["NodeList"]
    run.cluster.call(
        "sbatch", "--partition=urgent", f"--nodelist={node}", "--gpus=1", "--output=/dev/null", "--wrap=sleep 1"
    )
    run.finish(snakemake)


def coordinator_killed(run):
    """Snakemake itself is killed and simply started again, while its job is still there."""
    run.hold_training()
    snakemake = run.start("--", TARGET)
    job = run.held()["JobId"]
    kill(snakemake)
    snakemake = run.start("--", TARGET)
    log = run.root / LOG  # Snakemake takes it away before the job writes a new one
    run.wait(lambda: log.is_file() and "waiting for its end" in log.read_text())
    for process in processes_of(job):
        os.kill(process, signal.SIGCONT)
    run.finish(snakemake)


def leftovers_cancelled(run):
    """Snakemake itself is killed; what it left is cancelled, and it is started again."""
    run.hold_training()
    snakemake = run.start("--", TARGET)
    run.held()
    kill(snakemake)
    subprocess.run(
        [sys.executable, "-m", "workflow.leftovers"], cwd=run.root, env=run.environment, check=True, capture_output=True
    )
    run.finish(run.start("--", TARGET))


def cancelled_generic(run):
    """Somebody cancels the job of the other executor."""
    run.hold_training()
    snakemake = run.start("--", TARGET, profile="generic")
    run.cluster.call("scancel", run.held()["JobId"])
    run.finish(snakemake)


def two_nodes(run):
    """One short training in two processes on two nodes, without GPUs."""
    run.project.edit_params(FEW)
    asked = {"slurm_partition": "cpu", "processes": 2, "nodes": 2, "mpi": "srun", "tasks": 2}
    run.edit_profile({"set-resources": {"train": asked}})
    run.finish(run.start("--", TARGET))


def edited(run):
    """While the training hangs, somebody changes a function that every rule reaches, data preparation and training
    too."""
    run.hold_training()
    snakemake = run.start("--", CENTROIDS)
    job = run.held()["JobId"]
    file = run.root / "featdiff/derived.py"
    file.write_text(file.read_text().replace("\n    return ", "\n    CHANGED\n    return ", 1) + "\n\nCHANGED = 1\n")
    for process in processes_of(job):
        os.kill(process, signal.SIGCONT)
    run.finish(snakemake)


STORIES = (
    out_of_time,
    node_lost,
    cancelled,
    preempted,
    coordinator_killed,
    leftovers_cancelled,
    cancelled_generic,
    two_nodes,
    edited,
)


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


# --- the stage ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def trained(pristine, tmp_path_factory):
    """The tiny project with a somewhat longer training, done here without Slurm: the bits that each story has to end
    with."""
    project = pristine.copy(tmp_path_factory.mktemp("trained") / "clone")
    project.edit_params(yaml.safe_load((project.root / "workflow/presets/tiny.yaml").read_text()))
    project.edit_params({"trainings": {"preview": {"images": IMAGES, "save_every": IMAGES // 10, "precision": "fp32"}}})
    project.snakemake("--", TARGET)
    return project


@pytest.fixture(scope="session")
def told(on_cluster, trained, tmp_path_factory):
    """All stories, started together: a function that waits for the end of one and returns its run."""
    runs = {story: on_cluster(trained.copy(tmp_path_factory.mktemp("story") / "clone")) for story in STORIES}
    for run in runs.values():
        (run.root / TARGET).unlink()
        shutil.rmtree(run.root / ".featdiff/state")
        run.edit_profile(ONE_THREAD)
        run.edit_profile(ONE_THREAD, name="generic")
    with ThreadPoolExecutor(len(runs)) as pool:
        ends = {story: pool.submit(story, run) for story, run in runs.items()}

        def ended(story):
            ends[story].result()
            return runs[story]

        yield ended
        for run in runs.values():
            run.stop()


def states(run):
    return [(job["JobState"], int(job["Restarts"])) for job in run.jobs()]


def resumed_at(run):
    """The first number of images in the training's log: where the last attempt began."""
    return int(re.search(rf"(\d+)/{IMAGES} ", (run.root / LOG).read_text())[1])


def assert_one_right_checkpoint(run, trained):
    """The bits of an undisturbed training, made once and never again, by a training that went on where it was."""
    assert (run.root / TARGET).read_bytes() == (trained.root / TARGET).read_bytes()
    checkpoint.read(run.root / TARGET)
    assert run.written(TARGET) == 1
    assert resumed_at(run) >= 2 * IMAGES // 10
    assert "Nothing to be done" in run.project.snakemake("--dry-run", "--", TARGET).stdout


# --- what is left -------------------------------------------------------------------------------------------------


def test_a_cancelled_training_is_submitted_again_and_resumes(told, trained):
    run = told(cancelled)
    assert states(run) == [("CANCELLED", 0), ("COMPLETED", 0)]
    assert_one_right_checkpoint(run, trained)


def test_a_training_out_of_time_resumes_with_more_time_and_memory(told, trained):
    run = told(out_of_time)
    assert states(run) == [("TIMEOUT", 0), ("COMPLETED", 0)]
    first, second = run.jobs()
    assert "mem=8000M" in first["TRES"]
    assert "mem=16000M" in second["TRES"]
    assert second["TimeLimit"] == "08:00:00"
    assert_one_right_checkpoint(run, trained)


def test_a_training_whose_node_is_lost_resumes_on_another(told, trained):
    run = told(node_lost)
    assert states(run) == [("COMPLETED", 1)]
    down = run.cluster.call("sinfo", "--noheader", "--Node", "--states=down", "--format=%N").split()
    assert down
    assert run.jobs()[0]["NodeList"] not in down
    assert_one_right_checkpoint(run, trained)


def test_a_preempted_training_waits_and_resumes(told, trained):
    run = told(preempted)
    assert states(run) == [("COMPLETED", 1)]
    assert_one_right_checkpoint(run, trained)


def test_a_second_copy_of_a_lost_job_waits_for_the_first_and_trains_nothing(told, trained):
    run = told(coordinator_killed)
    assert states(run) == [("COMPLETED", 0), ("COMPLETED", 0)]
    assert (run.root / TARGET).read_bytes() == (trained.root / TARGET).read_bytes()
    assert run.written(TARGET) == 1


def test_after_a_killed_coordinator_its_jobs_are_cancelled_and_training_resumes(told, trained):
    run = told(leftovers_cancelled)
    assert states(run) == [("CANCELLED", 0), ("COMPLETED", 0)]
    assert_one_right_checkpoint(run, trained)


def test_with_cluster_generic_a_cancelled_training_is_submitted_again_and_resumes(told, trained):
    run = told(cancelled_generic)
    assert states(run) == [("CANCELLED", 0), ("COMPLETED", 0)]
    assert run.jobs()[0]["TresPerJob"] == "gres:gpu:1"
    assert_one_right_checkpoint(run, trained)


def test_one_training_on_two_nodes_learns_what_one_process_does(told, trained, tmp_path):
    reference = trained.copy(tmp_path / "clone")
    reference.edit_params(FEW)
    reference.snakemake("--", TARGET)
    run = told(two_nodes)
    assert states(run) == [("COMPLETED", 0)]
    assert run.jobs()[0]["NumNodes"] == "2"
    assert run.written(TARGET) == 1
    ours, alone = (checkpoint.read_tensors(one.root / TARGET)[0] for one in (run, reference))
    assert ours.keys() == alone.keys()
    # sums in another order at each step; a process that learned from its half alone would be a hundred times further
    assert max(float((ours[name] - alone[name]).abs().max()) for name in alone) < 1e-4


def test_jobs_of_a_run_whose_code_is_edited_run_nothing_upstream_and_the_run_says_what_is_to_be_made_again(
    told, trained
):
    run = told(edited)
    assert [state for state, _ in states(run)] == ["COMPLETED"] * 2
    assert (run.root / TARGET).read_bytes() == (trained.root / TARGET).read_bytes()
    wrote = {path: run.written(path) for path in ("results/data/textures/dataset.zip", TARGET, CENTROIDS)}
    assert wrote == {"results/data/textures/dataset.zip": 0, TARGET: 1, CENTROIDS: 1}
    said = re.search(r"The code of (.*) was changed during this run: what ran after the change will be run", run.said())
    assert {"prepare", "train", "centroids"} <= set(said[1].split(", "))
    assert {"prepare", "train", "centroids"} <= set(run.project.stale("--", CENTROIDS))
