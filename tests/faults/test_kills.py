"""kill -9 at seeded moments of each rule, of a job, of the workflow or of both: the same command again ends with the
same bits.

A moment is a rule and a share of the time that the rule took undisturbed. Kills are chained: a run is killed, started
again, killed in the next rule, and so on; in the end every result is compared with that of a run that nothing
disturbed.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
PATIENCE = 1800.0  # seconds for the next job to begin, on a machine that is very busy
RULES = (
    "prepare",
    "train",
    "centroids",
    "denoise",
    "distances",
    "sample",
    "gather",
    "embed",
    "evaluate",
    "collect",
    "report",
)
COMMANDS = {"sample": "sample-shard", "evaluate": "measure"}  # of the rules that are not called like theirs
VICTIMS = ("all", "all", "workflow", "job")  # who is killed; everybody twice as often
REDUCED = ("sample", "evaluate", "report")  # of a killed training: test_run.py, test_resume.py
LAST = {  # an output of each rule, to be made again with all that follows when a chain comes to the rule too late
    "prepare": "data/textures/dataset.zip",
    "train": "models/guided/checkpoint.safetensors",
    "centroids": "models/guided/centroids.npz",
    "denoise": "models/guided/denoising.json",
    "distances": "models/guided/distances.json",
    "sample": "samples/guided/samples.zip",
    "gather": "samples/guided/samples.zip",
    "embed": "samples/guided/features.npz",
    "evaluate": "evaluation/guided.json",
    "collect": "metrics.json",
    "report": "report.html",
}
SURVIVED = "the same command again finishes the job; every result has the same bits as undisturbed"


@dataclass(frozen=True)
class Moment:
    """When and whom to kill: ``share`` of the rule's undisturbed time after its process has begun."""

    rule: str
    share: float
    victim: str


def moments(seed: int, rules: Sequence[str]) -> list[Moment]:
    draw = random.Random(f"kill {seed}")
    return [Moment(rule, draw.uniform(0, 1.2), draw.choice(VICTIMS)) for rule in rules]


def jobs_in(root: Path, rule: str) -> list[int]:
    """The processes of a rule's command in the folder ``root``."""
    found, command = [], COMMANDS.get(rule, rule).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = (process / "cwd").resolve() == root.resolve()
            if here and command in words[1:4] and any(word.endswith(b"featdiff") for word in words[:2]):
                found.append(int(process.name))
    return found


def duration(project: Any, rule: str) -> float:
    """The longest time, in seconds, that a job of a rule took in a finished run."""
    folder = project.root / "results/benchmarks"
    files = [*folder.glob(f"{rule}.tsv"), *folder.glob(f"{rule}/*.tsv")]
    return max(float(file.read_text().splitlines()[1].split("\t")[0]) for file in files)


def start(project: Any, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        command = ["snakemake", "--workflow-profile", "workflow/profiles/local"]
        return subprocess.Popen(
            command, cwd=project.root, env=project.environment, stdout=stream, stderr=stream, start_new_session=True
        )


def kill(run: subprocess.Popen[bytes], victim: str, jobs: list[int]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if victim == "all":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            os.kill(run.pid if victim == "workflow" else jobs[0], signal.SIGKILL)


def strike(project: Any, moment: Moment, seconds: float, log: Path) -> bool:
    """Run, kill at the moment, and wait for the end of what is left of the run; False if the rule did not come up."""
    run = start(project, log)
    deadline = time.monotonic() + PATIENCE
    try:
        while not (jobs := jobs_in(project.root, moment.rule)):
            if run.poll() is not None:
                assert run.returncode == 0, log.read_text()[-4000:]
                return False
            assert time.monotonic() < deadline, f"no job of {moment.rule} came up"
            time.sleep(0.01)
        time.sleep(moment.share * seconds)
        kill(run, moment.victim, jobs)
        run.wait(PATIENCE)
        return True
    finally:
        kill(run, "all", [])


def chain(project: Any, undisturbed: Any, plan: Sequence[Moment], log: Path) -> None:
    """Strike at each moment of the plan, in the order of the rules, then finish."""
    for moment in plan:
        seconds = duration(undisturbed, moment.rule)
        while not strike(project, moment, seconds, log):
            for rule in RULES[RULES.index(moment.rule) :]:
                (project.root / "results" / LAST[rule]).unlink(missing_ok=True)
    project.snakemake()
    assert "Nothing to be done" in project.snakemake().stderr


def check(project: Any, undisturbed: Any, results_of: Callable[[Any], dict[str, str]]) -> None:
    assert results_of(project) == results_of(undisturbed)
    assert not list(project.root.rglob("*.part")), "parts of killed writers are left"


@pytest.mark.fault(f"kill -9 in {len(REDUCED)} rules: {', '.join(REDUCED)}", SURVIVED)
def test_killed_in_some_rules_the_same_command_finishes_the_same_results(undisturbed, results_of, tmp_path):
    project = undisturbed.copy(tmp_path / "clone")
    (project.root / "results" / LAST[REDUCED[0]]).unlink()  # all that follows is made again, nothing else
    chain(project, undisturbed, moments(0, REDUCED), tmp_path / "log")
    check(project, undisturbed, results_of)


@pytest.mark.exhaustive
@pytest.mark.fault(f"kill -9 in each of {len(RULES)} rules", SURVIVED)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_in_every_rule_the_same_command_finishes_the_same_results(
    unstarted, undisturbed, results_of, tmp_path, seed, record_property
):
    project = unstarted.copy(tmp_path / "clone")
    plan = moments(seed, RULES)
    record_property("moments", "; ".join(f"{m.rule} at {m.share:.2f}: {m.victim}" for m in plan))
    chain(project, undisturbed, plan, tmp_path / "log")
    check(project, undisturbed, results_of)


def test_the_moments_are_more_than_thirty_and_hit_every_rule_and_victim():
    plan = [moment for seed in (1, 2, 3) for moment in moments(seed, RULES)]
    assert len(plan) == 33
    assert {moment.rule for moment in plan} == set(LAST) == set(RULES)
    assert {moment.victim for moment in plan} == set(VICTIMS)
