"""The ledger: Snakemake runs, DVC keeps the versions, and the two never tell different stories.

The Snakefile is the only graph. ``dvc.yaml`` is generated from it (``write``), one stage a job, so that ``dvc status``,
``dvc repro``, ``dvc exp`` and ``dvc metrics diff`` work; a test checks that it has not drifted (``check``). After a run,
``record`` commits to DVC exactly the stages that are up to date by Snakemake's judgement, so nothing false is written down.
After ``dvc pull`` or ``dvc checkout``, ``adopt`` tells Snakemake that the files DVC brought are the current ones.

The only module of the package that needs Snakemake and DVC.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import yaml

from featdiff import artifacts, params
from featdiff.errors import UserError
from featdiff.locks import run_is_alive

DVC_FILE = Path("dvc.yaml")
GRAPH_FILE = Path("workflow/rulegraph.json")
HEADER = "# Generated from the Snakefile's graph by `featdiff ledger write`. Do not edit: change the rules and write it again.\n"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Versions of results: keep DVC in step with Snakemake.",
)


@dataclass(frozen=True)
class Stage:
    """One job of the graph, as DVC sees it. A temporary output belongs to the job that uses it up."""

    name: str
    rules: tuple[str, ...]
    inputs: tuple[str, ...]
    sections: tuple[str, ...]
    outputs: tuple[str, ...]
    stale: bool

    @property
    def command(self) -> str:
        """Run this job and no other, whatever Snakemake thinks of its files: DVC has decided that it is stale."""
        rules = " ".join(self.rules)
        run = "snakemake --workflow-profile workflow/profiles/local"
        return f"{run} --forcerun {rules} --allowed-rules {rules} -- {' '.join(self.outputs)}"


@dataclass(frozen=True)
class Graph:
    """The jobs in the order of the rules, and which rule feeds which."""

    rules: tuple[str, ...]
    stages: tuple[Stage, ...]
    edges: tuple[tuple[str, str], ...]


def read_graph() -> Graph:
    """The whole graph of the default settings, and what is stale in it, by a dry run through Snakemake's own API."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    _need_root()
    output = OutputSettings(dryrun=True, log_level_override=logging.ERROR, enable_file_logging=False)
    with SnakemakeApi(output) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1), config_settings=ConfigSettings(), snakefile=Path("Snakefile")
        )
        dag_api = workflow.dag(DAGSettings(force_incomplete=True))
        dag_api.execute_workflow(executor="dryrun")
        return _graph(workflow._workflow)


def _graph(workflow: Any) -> Graph:
    order = {rule.name: number for number, rule in enumerate(workflow.rules)}
    jobs = [job for job in workflow.dag.jobs if job.output]
    jobs.sort(key=lambda job: (order[job.rule.name], sorted(job.output)))
    stale = set(workflow.dag.needrun_jobs(exclude_finished=False))
    makers = {file: job for job in jobs for file in job.output}
    source_paths = {name: str(getattr(row.source, "path", "")) for name, row in params.load().datasets.items()}
    stages = tuple(_stage(job, makers, stale, source_paths) for job in jobs if not _is_temporary(job))
    edges = {(makers[file].rule.name, job.rule.name) for job in jobs for file in job.input if file in makers}
    used = {job.rule.name for job in jobs}
    return Graph(
        rules=tuple(rule for rule in order if rule in used),
        stages=stages,
        edges=tuple(sorted(edges, key=lambda edge: [order[rule] for rule in edge])),
    )


def _stage(job: Any, makers: dict[str, Any], stale: set[Any], source_paths: dict[str, str]) -> Stage:
    inputs = []
    temporary = []
    for name, files in _named(job.input):
        if name == "raw":
            inputs += [source_paths[job.wildcards.dataset]] if files else []
        elif files and files[0] in makers and _is_temporary(makers[files[0]]):
            temporary += [makers[file] for file in files]
        else:
            inputs += files
    undeclared = {file for maker in temporary for file in maker.input} - set(inputs)
    if undeclared:
        raise ValueError(f"rule {job.rule.name} uses up temporary files, so it must declare {sorted(undeclared)} too")
    return Stage(
        name="-".join([job.rule.name, *job.wildcards]),
        rules=(job.rule.name, *sorted({maker.rule.name for maker in temporary})),
        inputs=tuple(inputs),
        sections=tuple(job.params.sections),
        outputs=tuple(str(file) for file in job.output),
        stale=job in stale,
    )


def _is_temporary(job: Any) -> bool:
    return all(file.flags.get("temp") for file in job.output)


def _named(files: Any) -> Iterator[tuple[str, list[str]]]:
    for name, value in files.items():
        yield name, [str(value)] if isinstance(value, str) else [str(file) for file in value]


# --- dvc.yaml -----------------------------------------------------------------------------------------------------


def dvc_yaml(graph: Graph) -> str:
    """The text of ``dvc.yaml``."""
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    stages = {stage.name: _dvc_stage(stage, values) for stage in graph.stages}
    return HEADER + yaml.safe_dump({"stages": stages}, sort_keys=False, width=10_000)


def _dvc_stage(stage: Stage, values: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"cmd": stage.command, "deps": list(stage.inputs)}
    if sections := [section for section in stage.sections if _has(values, section)]:
        described["params"] = sections
    outs: dict[str, list[Any]] = {}
    for file in stage.outputs:
        kind, options = _kind(file)
        outs.setdefault(kind, []).append({file: options})
    return described | {kind: outs[kind] for kind in ("outs", "metrics", "plots") if kind in outs}


def _kind(file: str) -> tuple[str, dict[str, bool]]:
    """Small text for people goes to git, as metrics and plots; all else to DVC's cache. DVC never deletes an output."""
    if Path(file).name == "metrics.json":
        return "metrics", {"cache": False, "persist": True}
    if Path(file).suffix == ".csv":
        return "plots", {"cache": False, "persist": True}
    return "outs", {"persist": True}


def _has(values: Any, section: str) -> bool:
    """Whether ``a.b`` is written in params.yaml; a section left to its defaults is none that DVC can read."""
    for key in section.split("."):
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def rule_graph(graph: Graph) -> str:
    """The rules and what feeds what, for the report's picture."""
    edges = ",\n".join(f"  {json.dumps(edge)}" for edge in graph.edges)
    return f'{{"rules": {json.dumps(graph.rules)},\n"edges": [\n{edges}\n]}}\n'


def drifted(graph: Graph) -> list[Path]:
    """The generated files that are not what the Snakefile says now."""
    wanted = {DVC_FILE: dvc_yaml(graph), GRAPH_FILE: rule_graph(graph)}
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


# --- commands -----------------------------------------------------------------------------------------------------


@app.command()
def write() -> None:
    """Generate dvc.yaml and the rule graph from the Snakefile."""
    _need_root()
    if not GRAPH_FILE.is_file():
        artifacts.write_text(GRAPH_FILE, "{}\n")
    graph = read_graph()
    artifacts.write_text(DVC_FILE, dvc_yaml(graph))
    artifacts.write_text(GRAPH_FILE, rule_graph(graph))
    typer.echo(f"{DVC_FILE}: {len(graph.stages)} stages")


@app.command()
def check() -> None:
    """Say whether dvc.yaml and the rule graph are what the Snakefile says."""
    _need_no_drift(read_graph())
    typer.echo(f"{DVC_FILE} is what the Snakefile says")


@app.command()
def record() -> None:
    """After a run: commit to DVC the stages that are up to date, and no other."""
    graph = read_graph()
    _need_no_drift(graph)
    _need_no_run()
    changed = _dvc_status()
    ready = [stage.name for stage in graph.stages if stage.name in changed and not stage.stale]
    if ready:
        _run("dvc", "commit", "--force", "--no-relink", *ready)
    typer.echo(f"recorded {len(ready)} of {len(graph.stages)} stages" + (": " + ", ".join(ready) if ready else ""))
    if left := [stage.name for stage in graph.stages if stage.stale]:
        typer.echo(f"not recorded, because Snakemake would run them again: {', '.join(left)}")
    elif ready:
        typer.echo("now: git add dvc.lock results && git commit, then dvc push")


@app.command()
def adopt() -> None:
    """After dvc pull or dvc checkout: tell Snakemake that these files are the current ones."""
    _need_no_drift(read_graph())
    _need_no_run()
    if changed := _dvc_status():
        raise UserError(
            f"DVC says that these stages are not what dvc.lock records: {', '.join(sorted(changed))}; "
            "run 'dvc checkout' or 'dvc pull' first, or 'make run' to make them"
        )
    _run("snakemake", "--touch", "--forceall", "--cores", "1", "--quiet", "all")
    if left := [stage.name for stage in read_graph().stages if stage.stale]:
        raise UserError(f"Snakemake would still run {', '.join(left)}; please report this")
    typer.echo("adopted: nothing to be done")


def _dvc_status() -> set[str]:
    """The stages whose dependencies, settings or outputs are not what ``dvc.lock`` records."""
    return set(json.loads(_run("dvc", "status", "--json")))


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{program} {' '.join(arguments[:3])} failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _need_root() -> None:
    if not Path("Snakefile").is_file():
        raise UserError("there is no Snakefile here; run this from the project's root")


def _need_no_drift(graph: Graph) -> None:
    if files := drifted(graph):
        names = " and ".join(str(file) for file in files)
        raise UserError(f"{names}: not what the Snakefile says now; run 'featdiff ledger write' and commit the result")


def _need_no_run() -> None:
    alive = run_is_alive()
    if alive or (alive is None and any(Path(".snakemake/locks").glob("*"))):
        raise UserError("a run is going on in this folder; wait for its end")
