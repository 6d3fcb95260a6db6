"""Which definitions a change of code has touched, stage by stage, since its results were recorded."""

import json

from featdiff.errors import UserError
from featdiff.versions import accepted
from featdiff.versions.dvcfile import CODE_FILE
from featdiff.versions.graph import Graph, shorten
from featdiff.versions.lock import git, read


def recorded(graph: Graph, key: str) -> str:
    """The digest of the code that the results of a kind of stage were recorded with; empty where none were."""
    lock = read()
    found = {lock.meant(stage.name).get(key, "") for stage in graph.stages if stage.code == key} - {""}
    if len(found) > 1:
        raise UserError(f"{key}: its stages were recorded with different code; run them again, or record them first")
    return found.pop() if found else ""


def changed(graph: Graph) -> dict[str, list[str]]:
    """For each kind of stage whose code is not what was recorded, the definitions that differ, as far as git knows
    them."""
    told: dict[str, list[str]] = {}
    for key, code in graph.codes.items():
        before = recorded(graph, key)
        if before and before != code.digest:
            old = _definitions(key, before)
            told[key] = (
                sorted(name for name, digest in code.parts.items() if old.get(name) != digest[:16]) if old else []
            )
    return told


def words(graph: Graph) -> list[str]:
    """What to tell of them."""
    lines = []
    for key, names in changed(graph).items():
        what = shorten(names) if names else "definitions that no version in git knows"
        lines.append(f"code of {key} changed: {what}; no effect on results? featdiff ledger accept {key} --why ...")
    return lines


def accept(graph: Graph, stage: str, why: str) -> str:
    """Let the code of a stage, or of a kind of stage, count as what its results were recorded with; returns what to
    tell."""
    named = [found.code for found in graph.stages if found.name == stage]
    named += [stage] if stage in graph.codes else []
    named += [found.code for found in graph.stages if found.name.startswith(f"{stage}-")]
    key = named[0] if named else ""
    if key not in graph.codes:
        raise UserError(f"there is no stage '{stage}'; stages: {shorten(found.name for found in graph.stages)}")
    before, code = recorded(graph, key), graph.codes[key]
    if not why.strip():
        raise UserError("say why the change has no effect on results: --why '...'")
    if not before:
        raise UserError(f"{key}: no results are recorded that its code could count as; 'featdiff ledger record' first")
    if before == code.digest:
        return f"{key}: its code is what its results were recorded with; nothing to accept"
    accepted.accept(key, code.meant, before, why.strip())
    return f"{key}: its code counts as what its results were recorded with ({accepted.FILE})"


def _definitions(key: str, digest: str) -> dict[str, str]:
    """The definitions of the last version of the file that gave this digest to these commands."""
    texts = [CODE_FILE.read_text(encoding="utf-8")] if CODE_FILE.is_file() else []
    try:
        commits = git("log", "--format=%H", "-n", "50", "--", str(CODE_FILE)).split()
    except UserError:
        commits = []
    for text in (*texts, *(git("show", f"{commit}:./{CODE_FILE}") for commit in commits)):
        try:
            found = json.loads(text)
            if found["commands"].get(key) == digest:
                return dict(found["definitions"])
        except (ValueError, KeyError, AttributeError):
            continue
    return {}
