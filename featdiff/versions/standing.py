"""Where each stage stands: what Snakemake would run and why, what DVC calls changed and why, and whether they agree."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from featdiff.errors import UserError
from featdiff.versions.graph import Graph, shorten


@dataclass(frozen=True)
class Standing:
    """One stage in both engines' words; empty words say that it is up to date."""

    stage: str
    snakemake: str
    dvc: str

    @property
    def agree(self) -> bool:
        """Whether the engines call it the same: both stale or both up to date."""
        return bool(self.snakemake) == bool(self.dvc)


def dvc_changes() -> dict[str, Any]:
    """What is not as ``dvc.lock`` records it, stage by stage, as ``dvc status --json`` prints it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo() as repo:
            return dict(repo.status())
    except (DvcException, SCMError) as error:
        raise UserError(f"dvc status: {error}") from None


def standings(graph: Graph, changes: dict[str, Any]) -> list[Standing]:
    """Every stage of the graph, in its order. A stage that follows a stale one is stale to both engines."""
    stale = graph.with_followers(changes)
    found = []
    for stage in graph.stages:
        after = sorted(set(graph.feeds[stage.name]) & stale)
        found.append(
            Standing(
                stage.name,
                "; ".join([*stage.reasons, *_follows(stage.follows)]),
                "; ".join([*_changes(changes.get(stage.name, [])), *_follows(after)]),
            )
        )
    return found


def _follows(names: Any) -> list[str]:
    return [f"follows {shorten(names)}"] if names else []


def _changes(entries: list[Any]) -> Iterator[str]:
    """DVC's account of one stage, shortened: ``settings modified: samplings.guided``."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
            continue
        for what, files in entry.items():
            by_kind: dict[str, list[str]] = {}
            for file, change in files.items():
                if isinstance(change, dict):
                    for key, kind in change.items():
                        by_kind.setdefault(f"params {kind}", []).append(key)
                else:
                    by_kind.setdefault(f"{_WORDS.get(what, what)} {change}", []).append(file)
            yield from (f"{kind}: {shorten(names)}" for kind, names in by_kind.items())


_WORDS = {"changed deps": "input", "changed outs": "output"}


def advice(rows: list[Standing]) -> list[str]:
    """What to do about stages on which the engines differ."""
    made = [row.stage for row in rows if row.dvc and not row.snakemake]
    brought = [row.stage for row in rows if row.snakemake and not row.dvc]
    lines = []
    if made:
        lines.append(
            f"Snakemake has nothing to do for {shorten(made)}, but DVC has not recorded these files: after a run, "
            "'featdiff ledger record'; if a file was changed by hand, 'dvc checkout FILE'"
        )
    if brought:
        lines.append(
            f"DVC knows the files of {shorten(brought)}, but Snakemake does not: after dvc pull or dvc checkout, "
            "'featdiff ledger adopt'"
        )
    return lines


def as_table(rows: list[Standing]) -> str:
    """The stale stages as aligned text, a line for each thing that an engine says."""
    stale = [row for row in rows if row.snakemake or row.dvc]
    if not stale:
        return f"nothing is stale: {len(rows)} stages are up to date in both engines"
    lines = [("stage", "agree", "engine", "why")]
    for row in stale:
        lines.append((row.stage, "yes" if row.agree else "NO", "Snakemake", row.snakemake or "up to date"))
        lines.append(("", "", "DVC", row.dvc or "up to date"))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]).rstrip()
        for line in lines
    )


def as_json(rows: list[Standing]) -> str:
    """Every stage, for programs."""
    return json.dumps(
        [{"stage": r.stage, "snakemake": r.snakemake, "dvc": r.dvc, "agree": r.agree} for r in rows], indent=2
    )
