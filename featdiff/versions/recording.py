"""Recording in DVC what Snakemake made, and telling Snakemake of what DVC brought."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from featdiff.artifacts import sha256_file
from featdiff.errors import UserError
from featdiff.locks import run_is_alive
from featdiff.versions.dvcfile import need_no_drift, refresh
from featdiff.versions.graph import Stage, read_graph, shorten
from featdiff.versions.lock import read
from featdiff.versions.standing import dvc_changes
from featdiff.versions.verify import Checker


@dataclass(frozen=True)
class Recorded:
    """The stages that were recorded, of how many; those that were not because they are stale; and why others were
    not."""

    total: int
    done: list[str]
    stale: list[str]
    refused: dict[str, list[str]]


def record() -> Recorded:
    """Commit to DVC the stages that are up to date by Snakemake's judgement and whose files hold what they say."""
    graph = read_graph()
    refresh(graph)
    need_no_drift(graph)
    need_no_run()
    changed = dvc_changes()
    ready = [stage for stage in graph.stages if stage.name in changed and not stage.stale]
    checker = Checker({file for stage in graph.stages for file in stage.outputs}, read())
    refused = {stage.name: wrong for stage in ready if (wrong := _wrong(stage, checker))}
    done = [stage.name for stage in ready if stage.name not in refused]
    if done:
        run("dvc", "commit", "--force", "--no-relink", *done)
    return Recorded(len(graph.stages), done, [stage.name for stage in graph.stages if stage.stale], refused)


def _wrong(stage: Stage, checker: Checker) -> list[str]:
    """What speaks against recording: a damaged output, or an input that is not the one the job read."""
    found = []
    for file in stage.outputs:
        found += [f"{file}: {wrong}" for wrong in checker.content(file, list(stage.inputs))[1]]
    swapped = [path for path, digest in stage.read if Path(path).is_file() and sha256_file(path) != digest]
    if swapped:
        found.append(
            f"{shorten(swapped)}: not what the job read, though no younger than what it made, so that Snakemake does "
            "not see it; touch it and run again"
        )
    return found


def adopt() -> None:
    """Make Snakemake take the files that DVC brought for its own; refuses unless they are what ``dvc.lock`` records."""
    graph = read_graph()
    refresh(graph)
    need_no_drift(graph)
    need_no_run()
    if changed := dvc_changes():
        raise UserError(
            f"DVC says that these stages are not what dvc.lock records: {', '.join(sorted(changed))}; "
            "run 'dvc checkout' or 'dvc pull' first, or 'make run' to make them"
        )
    run("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all")
    if left := [stage.name for stage in read_graph().stages if stage.stale]:
        raise UserError(f"Snakemake would still run {', '.join(left)}; please report this")


def run(program: str, *arguments: str) -> None:
    """Run a Python program of this environment to its end, silently; what it says is told when it fails."""
    done = subprocess.run([sys.executable, "-m", program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{program} {' '.join(arguments[:3])} failed:\n{done.stderr.strip() or done.stdout.strip()}")


def need_no_run() -> None:
    """Refuse to judge files that a run is writing."""
    alive = run_is_alive()
    if alive or (alive is None and any(Path(".snakemake/locks").glob("*"))):
        raise UserError("a run is going on in this folder; wait for its end")
