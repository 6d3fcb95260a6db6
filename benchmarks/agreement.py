"""Do Snakemake and DVC agree on what is stale? Change one thing, ask both, put it back; for everything there is to
change.

    python benchmarks/agreement.py [--out docs/tables/agreement.json] [--project FOLDER] [--only KIND] [--show]

Each setting (every leaf of the settings with their defaults, set to another value that is valid), each source file of
the package, each rule file and other file of the workflow, and each raw image is changed in turn, and each artifact
deleted, in a copy of the project with tiny settings, its photographs in a folder, after a whole run that was recorded.
``--project`` names such a project that is there already: one that has run, with ``featdiff ledger record`` done. Where
a change alters the graph itself, dvc.yaml is written again, as ``featdiff ledger run`` does.

What is compared: the stages Snakemake would run, and the stages DVC calls changed with all that follow them. Every
question is asked in a process of its own (a fork, so that nothing is imported twice).
"""

import argparse
import contextlib
import importlib.resources
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import yaml

from featdiff.errors import UserError
from featdiff.settings.project import Params, load
from featdiff.versions import dvcfile, graph, standing
from featdiff.versions.lock import flatten

COMMENT = {
    ".css": "/* changed */\n",
    ".html": "<!-- changed -->\n",
    ".svg": "<!-- changed -->\n",
    ".js": "// changed\n",
}
TEXT = {".py", ".smk", ".yaml", "", *COMMENT}
OTHER = "-other"  # a second folder of raw images has the name of the first with this after it
GENERATED = ("params.yaml", "dvc.yaml", "workflow/rulegraph.json", "workflow/code.json")


@dataclass(frozen=True)
class Change:
    """One thing to change: its kind, its name, and what to do in the project's folder; returns False where it cannot
    be."""

    kind: str
    name: str
    make: Callable[[], bool]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """The stages each engine calls stale after a change; ``None`` where there is no other value that is valid by
    itself."""

    kind: str
    name: str
    snakemake: frozenset[str] | None
    dvc: frozenset[str] | None

    @property
    def agree(self) -> bool:
        return self.snakemake == self.dvc

    def __str__(self) -> str:
        if self.snakemake is None or self.dvc is None:
            return f"-    {self.kind}: {self.name}: no other value that is valid by itself"
        differ = sorted(self.snakemake ^ self.dvc)
        return f"{'ok ' if self.agree else 'NO '}  {self.kind}: {self.name}: {len(self.snakemake)} stages" + (
            f"; they differ on {', '.join(differ)}" if differ else ""
        )


# --- what there is to change --------------------------------------------------------------------------------------


def changes(root: Path) -> list[Change]:
    """Everything that can be changed in a project, one at a time."""
    with contextlib.chdir(root):
        return [*_settings(), *_sources(), *_raw(), *_artifacts()]


def _settings() -> Iterator[Change]:
    resolved = load().model_dump(mode="json", exclude_none=False)
    for leaf, value in flatten(resolved, ""):
        yield Change("setting", leaf, lambda leaf=leaf, value=value: _set(leaf, value), GENERATED)


def _set(leaf: str, value: Any) -> bool:
    """Give a leaf of params.yaml another value that is valid; whether there is one."""
    written = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    before = load()
    for candidate in _candidates(leaf, value, before):
        for values in _with(written, leaf.split("."), candidate):
            if _is_valid(values, before):
                Path("params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
                return True
    return False


def _candidates(leaf: str, value: Any, before: Params) -> Iterator[Any]:
    """Other values of the same type; which of them are valid, the settings themselves say."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value * 2, value // 2)
    elif isinstance(value, float):
        yield from (value * 1.1, value * 0.9, value + 0.1)
    elif isinstance(value, str):
        yield from (value + OTHER, *_words(Params.model_json_schema()))
        yield from (row for table in before.model_dump().values() if isinstance(table, dict) for row in table)
        yield ["middle"]  # a network's block
    elif isinstance(value, list):
        for last in _candidates(leaf, value[-1], before) if value else ():
            yield [*value[:-1], last]
        yield from (value[:-1], [*value, *value[-1:]])
    elif value is None:
        yield from (1, 0.5, [1.0], [[1.0]], [[[1.0]]], [1], 64)


def _words(schema: Any) -> Iterator[str]:
    """Every word that a choice in the settings' schema allows."""
    if isinstance(schema, dict):
        yield from (word for word in [*schema.get("enum", []), schema.get("const")] if isinstance(word, str))
        for inner in schema.values():
            yield from _words(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _words(inner)


def _with(values: Any, keys: list[str], value: Any) -> Iterator[dict[str, Any]]:
    """Nested settings with one leaf set; another ``kind`` keeps what it may of the settings beside it."""
    key, *rest = keys
    if not isinstance(values, dict):
        return
    if rest:
        yield from ({**values, key: inner} for inner in _with(values.get(key, {}), rest, value))
    elif key == "kind":
        for count in range(len(values)):
            for beside in itertools.combinations([item for item in values.items() if item[0] != key], count):
                yield {key: value, **dict(beside)}
    else:
        yield {**values, key: value}


def _is_valid(values: dict[str, Any], before: Params) -> bool:
    from workflow.common import Project

    try:
        with open(os.devnull, "w") as silence, contextlib.redirect_stderr(silence):
            return Project(json.loads(json.dumps(values))).params != before
    except (SystemExit, UserError):
        return False


def _sources() -> Iterator[Change]:
    """Each source file of the package and the workflow gets a statement, and those in Python a comment."""
    package = [p for p in sorted(Path("featdiff").rglob("*")) if p.suffix in TEXT]
    workflow = [Path("Snakefile"), *(p for p in sorted(Path("workflow").rglob("*")) if p.suffix in TEXT)]
    for path in (p for p in [*package, *workflow] if p.is_file() and "__pycache__" not in p.parts):
        kind = {"featdiff": "source file", "rules": "rule file"}.get(
            path.parts[-2] if path.suffix == ".smk" else path.parts[0]
        )
        both = (*GENERATED, str(path))
        if path.suffix in (".py", ".smk"):
            yield Change("comment", f"{path} commented", lambda path=path: _comment(path), both)
        yield Change(kind or "workflow file", str(path), lambda path=path: _statement(path), both)


def _comment(path: Path) -> bool:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(COMMENT.get(path.suffix, "# changed\n"))
    return True


def _statement(path: Path) -> bool:
    """Something that a module does when it is imported, or that a rule file does: it may change results."""
    if path.suffix not in (".py", ".smk"):
        return _comment(path)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("if True:\n    pass\n")
    return True


def _raw() -> Iterator[Change]:
    """Each raw file is altered; one is added, one renamed, one removed."""
    for name, row in load().datasets.items():
        folder = Path(getattr(row.source, "path", ""))
        files = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.name else []
        for path in files:
            yield Change("raw file", f"{path} altered", lambda path=path: _append(path), (*GENERATED, str(path)))
        if files and folder.is_dir():
            path = files[0]
            new = path.with_name(f"new-{name}{path.suffix}")
            both = (*GENERATED, str(path), str(new))
            yield Change("raw file", f"{new} added", lambda path=path, new=new: bool(shutil.copy(path, new)), both)
            yield Change("raw file", f"{path} renamed", lambda path=path, new=new: bool(path.rename(new)), both)
            yield Change("raw file", f"{path} removed", lambda path=path: path.unlink() is None, both)


def _artifacts() -> Iterator[Change]:
    """Each result is deleted."""
    stages = yaml.safe_load(dvcfile.DVC_FILE.read_text(encoding="utf-8"))["stages"].values()
    for stage in stages:
        for file in (f for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, []) for f in entry):
            yield Change(
                "artifact", f"{file} deleted", lambda file=file: Path(file).unlink() is None, (*GENERATED, file)
            )


def _append(path: Path) -> bool:
    with path.open("ab") as stream:
        stream.write(b"\0")
    return True


# --- asking -------------------------------------------------------------------------------------------------------


def ask(root: Path, change: Change) -> Answer:
    """Make a change, ask both engines, and put everything back as it was, times and all."""
    forking = multiprocessing.get_context("fork")
    ours, theirs = forking.Pipe(duplex=False)
    with _kept(root, change.files):
        child = forking.Process(target=_asked, args=(root, change, theirs))
        child.start()
        theirs.close()
        try:
            found = ours.recv()
        except EOFError:
            found = "it ended without an answer"
        child.join()
    if isinstance(found, str):
        raise RuntimeError(f"{change.kind} {change.name}: {found}")
    return Answer(change.kind, change.name, *found)


def warm_up(root: Path) -> None:
    """Import here what every child needs, by asking both engines once: a child is a copy of this process."""
    sys.path.insert(0, str(root))
    with contextlib.chdir(root):
        graph.read_graph()
        standing.dvc_changes()


def _asked(root: Path, change: Change, answer: Connection) -> None:
    """In the child: the change and the two answers."""
    try:
        os.chdir(root)
        if not change.make():
            answer.send((None, None))
            return
        found = graph.read_graph()
        if dvcfile.drifted(found):
            found = dvcfile.write_generated()
        changed = found.with_followers(standing.dvc_changes())
        answer.send((frozenset(stage.name for stage in found.stages if stage.stale), frozenset(changed)))
    except BaseException as error:
        answer.send(f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _kept(root: Path, files: tuple[str, ...]) -> Iterator[None]:
    """Afterwards ``files`` are as before: content, times, or not there."""
    paths = [root / file for file in files]
    before = {path: (path.read_bytes(), path.stat()) for path in paths if path.is_file()}
    try:
        yield
    finally:
        for path in paths:
            if path not in before:
                path.unlink(missing_ok=True)
                continue
            content, stat = before[path]
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


NOTHING = Change("nothing", "nothing changed", lambda: True, GENERATED)


def need_settled(root: Path) -> None:
    """Refuse a project in which something is stale before anything was changed."""
    before = ask(root, NOTHING)
    if before.snakemake or before.dvc:
        raise SystemExit(f"{root}: not settled: Snakemake {sorted(before.snakemake)}, DVC {sorted(before.dvc)}")
    for row in load(root / "params.yaml").datasets.values():
        folder = root / str(getattr(row.source, "path", ""))
        if folder != root and folder.is_dir() and not folder.with_name(folder.name + OTHER).exists():
            shutil.copytree(folder, folder.with_name(folder.name + OTHER))
            for path in sorted(folder.with_name(folder.name + OTHER).rglob("*.png"))[:1]:
                _append(path)


# --- a project of its own -----------------------------------------------------------------------------------------


def settled_project(root: Path) -> Path:
    """A copy of this project with the tiny settings and the photographs in a folder, run once and recorded."""
    for file in subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines():
        if not file.startswith(("results/", "dvc.lock", "docs/", "tests/")) and Path(file).is_file():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, root / file)
    rows = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    rows = _merged(rows, yaml.safe_load((root / "workflow/presets/tiny.yaml").read_text(encoding="utf-8")))
    for name, row in rows["datasets"].items():
        if row["source"] == {"kind": "packaged", "name": "skimage-textures"}:
            row["source"] = {"kind": "folder", "path": f"photographs-{name}"}
            _write_photographs(root / f"photographs-{name}")
    (root / "params.yaml").write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (
        ("featdiff", "ledger", "write"),
        ("git", "init", "--quiet"),
        ("git", "add", "--all"),
        (*git, "commit", "--quiet", "--message", "start"),
        ("featdiff", "ledger", "run"),
    ):
        environment = {
            **os.environ,
            "PYTHONPATH": str(root),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    return root


def _write_photographs(folder: Path) -> None:
    for name in ("brick", "grass", "gravel"):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.png").write_bytes(
            (importlib.resources.files("skimage.data") / f"{name}.png").read_bytes()
        )


def _merged(base: Any, change: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return {**base, **{key: _merged(base.get(key), value) for key, value in change.items()}}


def summary(answers: list[Answer]) -> dict[str, Any]:
    """How often they agree, in all and for each kind of change; what differs; what has no other value."""
    asked = [answer for answer in answers if answer.snakemake is not None]
    kinds = sorted({answer.kind for answer in asked})
    count = {kind: [a.agree for a in asked if a.kind == kind] for kind in kinds}
    return {
        "agree": sum(answer.agree for answer in asked),
        "of": len(asked),
        "with stale stages": sum(bool(answer.snakemake) for answer in asked),
        "kinds": {kind: {"agree": sum(found), "of": len(found)} for kind, found in count.items()},
        "disagree": [str(answer) for answer in asked if not answer.agree],
        "no other value that is valid by itself": [answer.name for answer in answers if answer.snakemake is None],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, help="a project that has run and is recorded; without, one is made")
    parser.add_argument("--out", type=Path, help="write the summary here, as JSON")
    parser.add_argument("--only", help="only changes of this kind")
    parser.add_argument("--show", action="store_true", help="print a line for each change")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.project.resolve() if options.project else settled_project(Path(folder) / "project")
        warm_up(root)
        need_settled(root)
        answers = []
        for change in changes(root):
            if options.only in (None, change.kind):
                answers.append(ask(root, change))
                if options.show or not answers[-1].agree:
                    print(answers[-1], flush=True)
    found = summary(answers)
    for kind, row in found["kinds"].items():
        print(f"{kind:15} agreement {row['agree']} of {row['of']}")
    print(f"{'in all':15} agreement {found['agree']} of {found['of']}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.exit(bool(found["disagree"]))


if __name__ == "__main__":
    main()
