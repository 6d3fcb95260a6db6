"""``dvc.yaml`` and the rule graph of the report, generated from the graph; and whether they still are what it says."""

import json
from pathlib import Path
from typing import Any

import yaml

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.versions.graph import Graph, Stage, read_graph

DVC_FILE = Path("dvc.yaml")
GRAPH_FILE = Path("workflow/rulegraph.json")
HEADER = "# Generated from the Snakefile's graph by `featdiff ledger write`. Do not edit: change the rules and write it again.\n"


def dvc_yaml(graph: Graph) -> str:
    """The text of ``dvc.yaml``."""
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    stages = {stage.name: _stage(stage, values) for stage in graph.stages}
    return HEADER + yaml.safe_dump({"stages": stages}, sort_keys=False, width=10_000)


def _stage(stage: Stage, values: dict[str, Any]) -> dict[str, Any]:
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


def need_no_drift(graph: Graph) -> None:
    """Refuse to go on with a ``dvc.yaml`` that is not the Snakefile's."""
    if files := drifted(graph):
        names = " and ".join(str(file) for file in files)
        raise UserError(f"{names}: not what the Snakefile says now; run 'featdiff ledger write' and commit the result")


def write_generated() -> Graph:
    """Write both files where they are not current, and return the graph."""
    if not GRAPH_FILE.is_file():
        artifacts.write_text(GRAPH_FILE, "{}\n")
    graph = read_graph()
    if drifted(graph):
        artifacts.write_text(DVC_FILE, dvc_yaml(graph))
        artifacts.write_text(GRAPH_FILE, rule_graph(graph))
        graph = read_graph()  # the report depends on the rule graph
    return graph
