"""What the workflow costs beside the work: runs with nothing to do, and the share of a whole run.

    python benchmarks/orchestration.py no-op [--jobs 10 100 1000] [--repeats 5] [--out docs/tables]
    python benchmarks/orchestration.py share [--results results] [--log .snakemake/log/NEWEST.log] [--wall SECONDS]
    [--out docs/tables]

**no-op** writes a project with so many jobs (samplings as rows of an overlay), puts an empty file at each output, lets
Snakemake take them as made (``--touch``), and times runs that find nothing to do. Beside it a bare workflow of as many
jobs in the same shape: five rules, one input and one output a job, no code, settings, logs or resources. The two take
turns; what counts is the ratio of the medians, of processor time (user and system), which does not hang on who else
uses the machine.

**share** reads a finished run. Each job's benchmark file says how long it took, and its time of change when it ended;
the union of these intervals is the time in which at least one job ran. Wall time is what ``--wall`` says (``time make
run``), else what Snakemake writes at the end of its log, without its own start. The share of orchestration is ``1 -
union / wall``: start, building the graph, scheduling, and the end.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "params.yaml", "workflow", "featdiff")
PROFILE = ("--workflow-profile", "workflow/profiles/local")
PER_SAMPLING = 4  # sample, gather, embed, evaluate
BARE = """
N = {samplings}

rule all:
    input: "out/report"

rule report:
    input: [f"out/d{{i}}" for i in range(N)], [f"base/{{i}}" for i in range({base})]
    output: "out/report"
    shell: "cat {{input}} > {{output}}"

rule base:
    output: "base/{{i}}"
    shell: "touch {{output}}"

rule a:
    input: "base/0"
    output: "out/a{{i}}"
    shell: "cp {{input}} {{output}}"

rule b:
    input: "out/a{{i}}"
    output: "out/b{{i}}"
    shell: "cp {{input}} {{output}}"

rule c:
    input: "out/b{{i}}"
    output: "out/c{{i}}"
    shell: "cp {{input}} {{output}}"

rule d:
    input: "out/b{{i}}", "out/c{{i}}"
    output: "out/d{{i}}"
    shell: "cat {{input}} > {{output}}"
"""


@dataclass(frozen=True)
class Run:
    """Seconds of one run: by the clock, and of processors."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Row:
    """Medians of runs with nothing to do."""

    jobs: int
    bare_jobs: int
    wall: float
    bare_wall: float
    cpu: float
    bare_cpu: float

    @property
    def ratio(self) -> float:
        return self.cpu / self.bare_cpu


def snakemake(folder: Path, *arguments: str) -> Run:
    """Run Snakemake in a folder with the package of that folder, if it has one."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"snakemake {' '.join(arguments)} failed in {folder}:\n{done.stdout}\n{done.stderr}")
    snakemake.text = done.stdout + done.stderr  # type: ignore[attr-defined]
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def planned() -> dict[str, int]:
    """The table "Job stats" of the last run's output."""
    table = snakemake.text.partition("Job stats:")[2].partition("\n\n")[0]  # type: ignore[attr-defined]
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}


def our_project(folder: Path, samplings: int) -> None:
    """A copy of the project whose only samplings are so many guided ones, and one without guidance for the report."""
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / part)
    rows = yaml.safe_load((folder / "params.yaml").read_text())
    guided, baseline = (rows["samplings"][rows["report"][name]] for name in ("guided", "baseline"))
    rows["samplings"] = {f"s{i}": {**guided, "seed": i, "shards": 1} for i in range(samplings)}
    rows["samplings"]["baseline"] = {**baseline, "shards": 1}
    rows["report"] |= {"guided": "s0", "baseline": "baseline"}
    rows["models"] = {row["model"]: rows["models"][row["model"]] for row in (guided, baseline)}
    (folder / "params.yaml").write_text(yaml.safe_dump(rows, sort_keys=False))


def pretend(folder: Path, *arguments: str) -> None:
    """Put an empty file at each output and let Snakemake take it as made."""
    snakemake(folder, *arguments, "--summary", "--cores", "1")
    lines = [line.split("\t") for line in snakemake.text.splitlines()]  # type: ignore[attr-defined]
    header = next(i for i, words in enumerate(lines) if words[0] == "output_file")
    for name, *_ in lines[header + 1 :]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    snakemake(folder, *arguments, "--touch", "--forceall", "--cores", "1", "--quiet", "all")


def no_op(jobs: int, repeats: int) -> Row:
    """Medians at about so many jobs; the number of samplings that gives them is found from the number that two give."""
    with tempfile.TemporaryDirectory() as name:
        counts = count_of(Path(name) / "probe", 1)
        base = counts - 2 * PER_SAMPLING  # the baseline is a sampling too
        samplings = max(1, round((jobs - base) / PER_SAMPLING) - 1)
        ours, bare = Path(name) / "ours", Path(name) / "bare"
        target: tuple[str, ...] = ()
        if jobs < counts:  # too few for the whole graph: the evaluation of one sampling and what it needs
            target = ("results/evaluation/s0.json", "results/models/mixture/denoising.json")
        ours.mkdir()
        our_project(ours, samplings)
        snakemake(ours, *PROFILE, "--forceall", "--dry-run", *target)
        number = planned()["total"] - (0 if target else 1)
        bare.mkdir()
        shape = (0, number - 1) if target else (samplings + 1, number - (samplings + 1) * PER_SAMPLING - 1)
        (bare / "Snakefile").write_text(BARE.format(samplings=shape[0], base=shape[1]))
        snakemake(bare, "--forceall", "--dry-run", "--cores", "2")
        bare_number = planned()["total"] - 1
        pretend(ours, *PROFILE)
        pretend(bare)
        runs: dict[str, list[Run]] = {"ours": [], "bare": []}
        for _ in range(repeats):
            runs["ours"].append(nothing_to_do(ours, *PROFILE, *target))
            runs["bare"].append(nothing_to_do(bare, "--cores", "2"))
    median = {
        (who, what): statistics.median(getattr(run, what) for run in runs[who])
        for who in runs
        for what in ("wall", "cpu")
    }
    return Row(
        number,
        bare_number,
        median["ours", "wall"],
        median["bare", "wall"],
        median["ours", "cpu"],
        median["bare", "cpu"],
    )


def count_of(folder: Path, samplings: int) -> int:
    folder.mkdir()
    our_project(folder, samplings)
    snakemake(folder, *PROFILE, "--forceall", "--dry-run")
    return planned()["total"] - 1  # without rule all


def nothing_to_do(folder: Path, *arguments: str) -> Run:
    run = snakemake(folder, *arguments)
    if "Nothing to be done" not in snakemake.text:  # type: ignore[attr-defined]
        raise SystemExit(f"this was to be a run with nothing to do:\n{snakemake.text}")  # type: ignore[attr-defined]
    return run


def share(results: Path, log: Path, outer: float | None = None) -> dict[str, float]:
    """Orchestration's share of a finished run, with what it is computed from, in seconds."""
    text = log.read_text()
    hours, minutes, seconds = re.findall(r"Elapsed time: (\d+):(\d+):([\d.]+)", text)[-1]
    wall = outer or int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    ends = {path: path.stat().st_mtime for path in (results / "benchmarks").rglob("*.tsv")}
    intervals = sorted((end - float(p.read_text().splitlines()[1].split("\t")[0]), end) for p, end in ends.items())
    last = max(end for _, end in intervals)
    of_this_run = [(a, b) for a, b in intervals if a >= last - wall]
    busy, until = 0.0, 0.0
    for begin, end in of_this_run:
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
    jobs = len(of_this_run)
    return {
        "jobs": jobs,
        "wall": wall,
        "busy": busy,
        "sum_of_jobs": sum(b - a for a, b in of_this_run),
        "share": 1 - busy / wall,
    }


def table(rows: list[Row]) -> str:
    lines = [
        "| Jobs | Nothing to do, s | A bare workflow, s | Ratio of processor time |",
        "|---:|---:|---:|---:|",
        *(
            f"| {r.jobs} | {r.wall:.1f} ({r.cpu:.1f}) | {r.bare_wall:.1f} ({r.bare_cpu:.1f}) | {r.ratio:.2f} |"
            for r in rows
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    timing = commands.add_parser("no-op")
    timing.add_argument("--jobs", type=int, nargs="+", default=[10, 100, 1000])
    timing.add_argument("--repeats", type=int, default=5)
    timing.add_argument("--out", type=Path, help="folder for no-op.json")
    whole = commands.add_parser("share")
    whole.add_argument("--results", type=Path, default=Path("results"))
    whole.add_argument("--log", type=Path)
    whole.add_argument("--out", type=Path, help="folder for share.json")
    whole.add_argument("--wall", type=float, help="seconds of the whole command, by the clock")
    arguments = parser.parse_args()
    if arguments.command == "share":
        logs = sorted(Path(".snakemake/log").glob("*.log"))
        keep(arguments.out, "share", share(arguments.results, arguments.log or logs[-1], arguments.wall))
        return
    rows = []
    for jobs in arguments.jobs:
        rows.append(no_op(jobs, arguments.repeats))
        print(table(rows), flush=True)
    values = [{**asdict(row), "ratio": row.ratio} for row in rows]
    keep(arguments.out, "no-op", {"repeats": arguments.repeats, "python": platform.python_version(), "rows": values})


def keep(folder: Path | None, name: str, values: dict[str, Any]) -> None:
    """Print what was found; ``benchmarks/summary.py`` reads the file."""
    text = json.dumps(values, indent=2) + "\n"
    print(text)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
