"""``dvc.yaml`` and the rule graph of the report, generated from the graph; and whether they still are what it says."""

import json
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import BaseModel

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.settings.base import determining
from featdiff.settings.project import load
from featdiff.versions.graph import Graph, Stage, read_graph

DVC_FILE = Path("dvc.yaml")
GRAPH_FILE = Path("workflow/rulegraph.json")
CODE_FILE = Path("workflow/code.json")
Keys: TypeAlias = "dict[str, Keys] | None"
HEADER = (
    "# Generated from the Snakefile's graph by `featdiff ledger write`. Do not edit: "
    "change the rules and write it again.\n"
)


def dvc_yaml(graph: Graph) -> str:
    """The text of ``dvc.yaml``."""
    values = _written()
    keys = _keys(values, load())
    stages = {stage.name: _stage(stage, values, keys) for stage in graph.stages}
    return HEADER + yaml.safe_dump({"stages": stages}, sort_keys=False, width=10_000)


def _stage(stage: Stage, values: dict[str, Any], keys: Keys) -> dict[str, Any]:
    described: dict[str, Any] = {"cmd": stage.command, "deps": list(stage.inputs)}
    described["params"] = [{CODE_FILE.as_posix(): [f"commands.{stage.code}"]}]
    for section in (section for section in stage.sections if _has(values, section)):
        if (inner := _under(keys, section)) is not None:
            described["params"] += _leaves(inner, section)
            described["params"][0][CODE_FILE.as_posix()].append(f"keys.{section}")
        else:
            described["params"].append(section)
    outs: dict[str, list[Any]] = {}
    for file in stage.outputs:
        kind, options = _kind(file)
        outs.setdefault(kind, []).append({file: options})
    return described | {kind: outs[kind] for kind in ("outs", "metrics", "plots") if kind in outs}


def _written() -> dict[str, Any]:
    """The settings as params.yaml has them."""
    values: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return values


def _keys(values: Any, settings: Any) -> Keys:
    """The keys that params.yaml has under ``settings``, without those that change no bits; ``None`` where none is left
    out, so that DVC can ask for all at once. Else it asks key by key, and for the keys: which are written counts."""
    if not _has_idle(settings):
        return None
    kept = determining(settings) if isinstance(settings, BaseModel) else settings
    inner = dict(settings)
    return {key: _keys(values[key], inner[key]) for key in sorted(values or {}) if key in kept}


def _has_idle(settings: Any) -> bool:
    """Whether among settings are some that change no bits, given or left to their defaults."""
    if isinstance(settings, BaseModel) and len(determining(settings)) < len(type(settings).model_fields):
        return True
    return isinstance(settings, BaseModel | dict) and any(_has_idle(inner) for inner in dict(settings).values())


def _under(keys: Keys, section: str) -> Keys:
    for key in section.split("."):
        keys = keys and keys.get(key)
    return keys


def _leaves(keys: Keys, at: str) -> list[str]:
    return [at] if keys is None else [leaf for key, inner in keys.items() for leaf in _leaves(inner, f"{at}.{key}")]


def code_json(graph: Graph) -> str:
    """What the code means, for DVC: a digest for each kind of stage, and of each definition, to name what changed."""
    parts = {name: digest for code in graph.codes.values() for name, digest in code.parts.items()}
    commands = {key: code.digest for key, code in graph.codes.items()}
    found = {
        "commands": commands,
        "keys": {key: inner for key, inner in (_keys(_written(), load()) or {}).items() if inner is not None},
        "definitions": {name: parts[name][:16] for name in sorted(parts)},
    }
    return json.dumps(found, indent=0) + "\n"


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
    wanted = {DVC_FILE: dvc_yaml(graph), GRAPH_FILE: rule_graph(graph), CODE_FILE: code_json(graph)}
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def refresh(graph: Graph) -> None:
    """Bring what DVC knows of the code up to date: it follows from the code, there is nothing to decide."""
    if (text := code_json(graph)) != (CODE_FILE.read_text(encoding="utf-8") if CODE_FILE.is_file() else ""):
        artifacts.write_text(CODE_FILE, text)


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
        artifacts.write_text(CODE_FILE, code_json(graph))
        graph = read_graph()  # the report depends on the rule graph
    return graph
