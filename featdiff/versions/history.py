"""The versions of an artifact over the commits of git: what ``dvc.lock`` said of it, and the measures beside it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from featdiff.errors import UserError
from featdiff.versions.graph import shorten
from featdiff.versions.lock import LOCK_FILE, Lock, git, parse, read, together

METRICS = "results/metrics.json"
HEADLINE = ("frechet", "class_accuracy", "coverage")  # of all classes together, in a line
SHORT = 12  # digits of a digest
NOW = "not committed"


@dataclass(frozen=True)
class Version:
    """One version. ``settings`` and ``files`` are what differs from the version before: keys to (before, now),
    paths."""

    commit: str
    date: str
    message: str
    digest: str
    data: str
    code: str
    settings: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)


def history(artifact: str) -> list[Version]:
    """The versions of a file that a stage makes, the newest first.

    A version is a commit at which the file, its settings, its data or the code before it changed in ``dvc.lock``. The
    last may be recorded and not committed yet.
    """
    artifact = _within(artifact)
    found: list[Version] = []
    before: Lock | None = None
    for commit, date, message, text in _locks():
        lock = parse(text, f"dvc.lock of commit {commit[:SHORT]}")
        if artifact not in lock.makers:
            continue
        version = _version(artifact, lock, before, (commit, date, message))
        if before is None or version.digest != found[-1].digest or version.settings or version.files:
            found.append(version)
        before = lock
    if not found:
        raise UserError(
            f"{artifact}: no commit's dvc.lock names it; what is recorded now: {_known()} "
            "(featdiff ledger record, then git commit)"
        )
    return found[::-1]


def _within(artifact: str) -> str:
    """The path as dvc.lock writes it."""
    path = Path(artifact)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return path.as_posix()


def _known() -> str:
    return shorten(read().makers) or "nothing"


def _locks() -> list[tuple[str, str, str, str]]:
    """Commit, date, message and text of each dvc.lock on the way to here, the oldest first, and the one in the
    folder."""
    log = git("log", "--reverse", "--format=%H%x09%cI%x09%s", "--", str(LOCK_FILE)).splitlines()
    found = []
    for line in log:
        commit, date, message = line.split("\t", 2)
        if text := _at(commit, str(LOCK_FILE)):
            found.append((commit, date, message, text))
    here = LOCK_FILE.read_text(encoding="utf-8") if LOCK_FILE.is_file() else ""
    if here and (not found or found[-1][3] != here):
        found.append(("", "", NOW, here))
    return found


def _at(commit: str, path: str) -> str:
    """A file's text at a commit; nothing where it is not there. The commit "" is the folder as it is."""
    if not commit:
        return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
    if not git("ls-tree", "--name-only", commit, "--", path):
        return ""
    return git("show", f"{commit}:./{path}")


def _version(artifact: str, lock: Lock, before: Lock | None, commit: tuple[str, str, str]) -> Version:
    stage = lock.makers[artifact]
    settings, code, data = lock.settings(stage), lock.code(stage), lock.data(stage)
    changed: dict[str, tuple[Any, Any]] = {}
    files: list[str] = []
    if before is not None:
        old = before.makers[artifact]
        changed = _differences(before.settings(old), settings)
        files = [*_differences(before.code(old), code), *_differences(before.data(old), data)]
    return Version(
        *commit,
        digest=lock.outputs[artifact],
        data=together(data),
        code=together(code),
        settings=changed,
        files=tuple(file for file in files if file != artifact),
        metrics=_metrics(commit[0], artifact),
    )


def _differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = sorted({*old, *new})
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _metrics(commit: str, artifact: str) -> dict[str, dict[str, float]]:
    """The measures over all classes, of each set of samples; only of its own where the artifact belongs to one."""
    try:
        quality = json.loads(_at(commit, METRICS) or "{}").get("quality", {})
    except ValueError:
        return {}
    over_all = {name: rows["all"] for name, rows in quality.items() if "all" in rows}
    parts = Path(artifact).with_suffix("").parts
    own = parts[2] if len(parts) > 2 and parts[1] in ("samples", "evaluation") else ""
    return {own: over_all[own]} if own in over_all else over_all


def as_text(artifact: str, versions: list[Version]) -> str:
    """A line for each version with its digests, and below it what differs and what was measured."""
    lines = [
        artifact,
        f"{'date':10}  {'commit':{SHORT}}  {'file':{SHORT}}  {'data':{SHORT}}  {'code':{SHORT}}  message",
    ]
    for v in versions:
        digests = "  ".join(f"{digest[:SHORT] or '-':{SHORT}}" for digest in (v.commit, v.digest, v.data, v.code))
        lines.append(f"{v.date[:10] or 'now':10}  {digests}  {v.message}")
        lines += [f"    {key}: {_shown(old)} -> {_shown(new)}" for key, (old, new) in v.settings.items()]
        lines += [f"    changed: {shorten(v.files)}"] if v.files else []
        lines += [f"    {name}: {_headline(rows)}" for name, rows in v.metrics.items()]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return "(unset)" if value is None else json.dumps(value)


def _headline(rows: dict[str, float]) -> str:
    return ", ".join(f"{name} {rows[name]:.4g}" for name in HEADLINE if rows.get(name) is not None)


def as_json(artifact: str, versions: list[Version]) -> str:
    """The versions for programs, the newest first."""
    return json.dumps({"artifact": artifact, "versions": [asdict(version) for version in versions]}, indent=2)
