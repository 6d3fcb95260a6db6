"""One run a results folder, and no lock left by a dead one: the same command can be run again after anything.

Snakemake locks the working directory by plain files that stay after kill -9 or a power cut, so that the next run stops
and asks for ``--unlock``. Here each run holds locks of the operating system (:mod:`featdiff.locks`), which end with the
process. A run that finds no other alive removes Snakemake's files; one that finds its results folder in use says so and
stops.
"""

import gc
import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from featdiff.locks import FOLDER, RUNS, Lock, Unsupported
from workflow.sources import changed_meanwhile

SNAKEMAKE_LOCKS = Path(".snakemake/locks")
PATIENCE = 5.0  # seconds for a run that is just ending
LOOKING = {  # options with which Snakemake runs no job
    "-n",
    "--dry-run",
    "--dryrun",
    "--dag",
    "--rulegraph",
    "--filegraph",
    "--d3dag",
    "--summary",
    "-S",
    "--detailed-summary",
    "-D",
    "--list-rules",
    "--list",
    "-l",
    "--list-target-rules",
    "--lt",
    "--list-changes",
    "--lc",
    "--lint",
    "--report",
    "--export-cwl",
    "--generate-unit-tests",
    "--containerize",
    "--archive",
}
_held: list[Lock] = []  # as long as this process lives
RUNS_FOLDER = Path(".featdiff/runs")  # the code that each run began with, for its jobs


def collect_seldom() -> None:
    """Let Python look for garbage in circles a hundred times less often than by default: a graph is made of objects
    that stay.

    At a thousand jobs these looks took a fifth of a run with nothing to do (benchmarks/orchestration.py).
    """
    gc.freeze()
    gc.set_threshold(70_000)


def run_file(results: str) -> Path:
    """Where the run of a results folder keeps what its jobs have to go by."""
    return RUNS_FOLDER / f"{re.sub('[^a-zA-Z0-9]+', '-', results)}.json"


def is_run(workflow: Any) -> bool:
    """Whether this process is a run: it starts jobs, and is not itself one of another."""
    return workflow.is_main_process and not workflow.output_settings.dryrun and not LOOKING & set(sys.argv)


def hold(results: str, workflow: Any) -> None:
    """Keep other runs off the folder ``results`` until this process ends, if it is a run; mend what a dead run has
    left."""
    if not is_run(workflow) or _held:
        return
    try:
        own = Lock(FOLDER / f"run-{re.sub('[^a-zA-Z0-9]+', '-', results)}")
        if not own.wait(seconds=PATIENCE):
            print(
                f"error: a run is going on in this folder ({own.holder() or 'another process'} writes {results}/): "
                "wait for its "
                "end, or give this one a folder of its own: --config results=results/other",
                file=sys.stderr,
            )
            raise SystemExit(2)
        own.sign()
        _held.append(own)
        _held.append(_unlock(Lock(FOLDER / RUNS)))
    except Unsupported:
        pass  # Snakemake's own lock is all there is
    _mend_times(Path(results))


def _unlock(everybody: Lock) -> Lock:
    """Remove Snakemake's lock files if no run of any results folder is alive, then be counted as one."""
    if everybody.take():
        last, left = everybody.holder(), any(SNAKEMAKE_LOCKS.glob("*.lock"))
        if left and last and last.host != socket.gethostname():
            print(f"A run started on {last.host} may be alive; if it is not: snakemake --unlock", file=sys.stderr)
        else:
            if left:
                print("An earlier run was cut off; going on from what it left.", file=sys.stderr)
                shutil.rmtree(SNAKEMAKE_LOCKS, ignore_errors=True)
            everybody.sign()
    everybody.wait(shared=True)
    return everybody


def _mend_times(results: Path) -> None:
    """Give results whose times lie in the future, as after a clock that went backwards, the time of now.

    Snakemake would fail each job that reads one: its output would be older than its input. Contents decide what is
    stale.
    """
    now = time.time()
    ahead = [path for path in results.rglob("*") if path.is_file() and path.stat().st_mtime > now]
    for path in ahead:
        os.utime(path, (now, now))
    if ahead:
        print(f"{len(ahead)} results have times in the future, as {ahead[0]}: set to now.", file=sys.stderr)


def tell_of_changes() -> None:
    """At the end of a run: say whose code was changed meanwhile. It counts as run with the code that the run began
    with."""
    if changed := changed_meanwhile():
        print(
            f"The code of {', '.join(changed)} was changed during this run: what ran after the change will be run "
            "again by the "
            "next run, with all that follows.",
            file=sys.stderr,
        )
