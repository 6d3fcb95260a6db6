"""The graph as Snakemake builds it: one stage a job, and why each is stale, by a dry run through Snakemake's own
API."""

import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from featdiff.errors import UserError
from featdiff.settings.project import Params, load

CHECKSUM_LIMIT = 10**10  # bytes up to which Snakemake compares content and not times, as in workflow/profiles
SHOWN = 3  # files named in one reason


@dataclass(frozen=True)
class Stage:
    """One job of the graph, as DVC sees it. A temporary output belongs to the job that uses it up. ``code`` names the
    commands whose meaning it depends on (:class:`workflow.sources.Code`).

    ``reasons`` say in Snakemake's terms why it would run; ``follows`` names the stages that would run before it and
    make its inputs anew. Both are empty when it is up to date. ``read`` are the input files with the SHA-256 that
    Snakemake wrote down when the job ran.
    """

    name: str
    rules: tuple[str, ...]
    inputs: tuple[str, ...]
    sections: tuple[str, ...]
    outputs: tuple[str, ...]
    code: str
    reasons: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    read: tuple[tuple[str, str], ...] = ()

    @property
    def stale(self) -> bool:
        """Whether Snakemake would run it."""
        return bool(self.reasons or self.follows)

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
    codes: dict[str, Any]  # what the code of each kind of stage means, by Stage.code

    @cached_property
    def feeds(self) -> dict[str, tuple[str, ...]]:
        """The stages that each stage takes files from, by name."""
        makers = {file: stage.name for stage in self.stages for file in stage.outputs}
        return {
            stage.name: tuple(sorted({makers[file] for file in stage.inputs if file in makers}))
            for stage in self.stages
        }

    def with_followers(self, names: Iterable[str]) -> set[str]:
        """``names`` and every stage after them."""
        found = set(names) & set(self.feeds)
        while more := {name for name, before in self.feeds.items() if name not in found and found & set(before)}:
            found |= more
        return found


def need_root() -> None:
    """Refuse to work outside a project."""
    if not Path("Snakefile").is_file():
        raise UserError("there is no Snakefile here; run this from the project's root")


def read_graph() -> Graph:
    """The whole graph of the default settings, and what is stale in it."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    need_root()
    params = load()  # before Snakemake, whose own words about a broken file are a traceback
    if sources := sys.modules.get("workflow.sources"):
        sources.CODES.clear()  # what an earlier reading in this process found
    output = OutputSettings(dryrun=True, log_level_override=logging.ERROR, enable_file_logging=False)
    with SnakemakeApi(output) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1), config_settings=ConfigSettings(), snakefile=Path("Snakefile")
        )
        dag_api = workflow.dag(DAGSettings(force_incomplete=True, max_checksum_file_size=CHECKSUM_LIMIT))
        dag_api.execute_workflow(executor="dryrun")
        return _Reader(workflow._workflow, params).graph()


class _Reader:
    """Turns Snakemake's jobs into stages."""

    def __init__(self, workflow: Any, params: Params) -> None:
        self.dag = workflow.dag
        self.metadata = workflow.persistence.metadata
        self.order = {rule.name: number for number, rule in enumerate(workflow.rules)}
        jobs = [job for job in self.dag.jobs if job.output]
        self.jobs = sorted(jobs, key=lambda job: (self.order[job.rule.name], sorted(job.output)))
        self.stale = set(self.dag.needrun_jobs(exclude_finished=False))
        self.makers = {file: job for job in self.jobs for file in job.output}
        self.codes = sys.modules["workflow.sources"].CODES  # the Snakefile imported it
        self.source_paths = {name: str(getattr(row.source, "path", "")) for name, row in params.datasets.items()}

    def graph(self) -> Graph:
        stages = tuple(self.stage(job) for job in self.jobs if not _is_temporary(job))
        edges = {(self.makers[file].rule.name, job.rule.name) for job in self.jobs for file in self.made(job)}
        used = {job.rule.name for job in self.jobs}
        return Graph(
            rules=tuple(rule for rule in self.order if rule in used),
            stages=stages,
            edges=tuple(sorted(edges, key=lambda edge: [self.order[rule] for rule in edge])),
            codes={code.key: code for code in sorted(self.codes.values())},
        )

    def made(self, job: Any) -> list[Any]:
        return [file for file in job.input if file in self.makers]

    def stage(self, job: Any) -> Stage:
        temporary = {maker for maker in map(self.makers.get, self.made(job)) if maker and _is_temporary(maker)}
        inputs = tuple(self.inputs(job))
        undeclared = {file for maker in temporary for file in self.inputs(maker)} - set(inputs)
        if undeclared:
            raise ValueError(
                f"rule {job.rule.name} uses up temporary files, so it must declare {sorted(undeclared)} too"
            )
        together = [j for j in (job, *temporary) if j in self.stale]
        return Stage(
            name=_name(job),
            rules=(job.rule.name, *sorted({maker.rule.name for maker in temporary})),
            inputs=inputs,
            sections=tuple(job.params.sections),
            outputs=tuple(str(file) for file in job.output),
            code=self.codes[job.params.code].key,
            reasons=tuple(sorted({reason for j in together for reason in _reasons(self.dag.reason(j))})),
            follows=tuple(sorted({name for j in together for name in self.follows(j)})),
            read=tuple(sorted(self.read(job))),
        )

    def inputs(self, job: Any) -> Iterator[str]:
        """The files a job declares; of raw images their folder, of temporary files none (their inputs are declared)."""
        for name, files in _named(job.input):
            if name == "raw":
                yield from [self.source_paths[job.wildcards.dataset]] if files else []
            elif not (files and files[0] in self.makers and _is_temporary(self.makers[files[0]])):
                yield from files

    def read(self, job: Any) -> Iterator[tuple[str, str]]:
        for file in job.output[:1]:  # the same for all outputs of a job
            record = self.metadata(file)
            for path, checksum in ((record and record.input_checksums) or {}).items():
                if checksum and checksum.startswith("sha256:"):
                    yield str(path), checksum.removeprefix("sha256:")

    def follows(self, job: Any) -> Iterator[str]:
        for file in self.dag.reason(job).updated_input_run:
            if not _is_temporary(self.makers[file]):
                yield _name(self.makers[file])


def _name(job: Any) -> str:
    return "-".join([job.rule.name, *job.wildcards])


def _is_temporary(job: Any) -> bool:
    return all(file.flags.get("temp") for file in job.output)


def _named(files: Any) -> Iterator[tuple[str, list[str]]]:
    for name, value in files.items():
        yield name, [str(value)] if isinstance(value, str) else [str(file) for file in value]


def _reasons(reason: Any) -> Iterator[str]:
    """Why a job runs, by Snakemake's own record, but for the jobs before it."""
    files = {
        "missing output": {file for file in reason.missing_output if not file.flags.get("temp")},
        "incomplete output": reason.incomplete_output,
        "input changed": reason.updated_input - reason.updated_input_run,
    }
    yield from (f"{words}: {shorten(map(str, found))}" for words, found in files.items() if found)
    params_changed = reason.params_changed.only_old | reason.params_changed.only_new if reason.params_changed else set()
    code = {text for text in params_changed if text.startswith("'code of ")}
    changed = {
        "set of inputs changed": reason.input_changed,
        "rule changed": reason.code_changed,
        "sources changed": code,
        "params changed": params_changed - code,
        "environment changed": reason.software_stack_changed,
        "forced": reason.forced,
    }
    yield from (words for words, is_so in changed.items() if is_so)


def shorten(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    found = sorted(names)
    more = len(found) - SHOWN
    return ", ".join(found[:SHOWN] if more > 1 else found) + (f" and {more} more" if more > 1 else "")
