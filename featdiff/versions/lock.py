"""What ``dvc.lock`` records, now or at a commit: which stage made a file, from what, with which settings and
digests."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from featdiff import artifacts
from featdiff.errors import UserError

LOCK_FILE = Path("dvc.lock")
CODE = ("featdiff/", "workflow/")  # what a stage depends on and no stage makes is code, or else raw data
CODE_FILE = "workflow/code.json"  # what the code means, for DVC a file of params


@dataclass(frozen=True)
class Lock:
    """The stages of one ``dvc.lock`` as they stand there."""

    stages: dict[str, dict[str, Any]]

    @cached_property
    def makers(self) -> dict[str, str]:
        """The stage that makes each file."""
        return {out["path"]: name for name, stage in self.stages.items() for out in stage.get("outs", [])}

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The digest (MD5) of each file."""
        return {out["path"]: _digest(out) for stage in self.stages.values() for out in stage.get("outs", [])}

    def above(self, stage: str) -> list[str]:
        """``stage`` and every stage it comes from, by the files."""
        found, todo = set(), [stage]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                deps = (dep["path"] for dep in self.stages[name].get("deps", []))
                todo += [self.makers[path] for path in deps if path in self.makers]
        return sorted(found)

    def settings(self, stage: str) -> dict[str, Any]:
        """Every setting that ``stage`` and what comes before it depend on, flat: ``samplings.guided.images`` to 192."""
        flat: dict[str, Any] = {}
        for name in self.above(stage):
            for file, sections in self.stages[name].get("params", {}).items():
                for section, values in sections.items() if file != CODE_FILE else ():
                    flat.update(flatten(values, section))
        return flat

    def code(self, stage: str) -> dict[str, str]:
        """The digest of what the code of ``stage`` and of what comes before it means; of old versions, of each file."""
        files = {path: digest for path, digest in self._leaves(stage) if path.startswith(CODE)}
        return files | {
            f"code of {key}": self.meant(name)[key] for name in self.above(stage) for key in self.meant(name)
        }

    def meant(self, stage: str) -> dict[str, str]:
        """The digest of the code that a stage was recorded with, by the commands it runs."""
        found = self.stages.get(stage, {}).get("params", {}).get(CODE_FILE, {})
        return {key.removeprefix("commands."): str(d) for key, d in found.items() if key.startswith("commands.")}

    def data(self, stage: str) -> dict[str, str]:
        """The digest of the raw files, and of the archives made without another artifact, that ``stage`` comes from."""
        raw = {path: digest for path, digest in self._leaves(stage) if not path.startswith(CODE)}
        roots = [name for name in self.above(stage) if self.above(name) == [name]]
        return raw | {out["path"]: _digest(out) for name in roots for out in self.stages[name].get("outs", [])}

    def _leaves(self, stage: str) -> Iterator[tuple[str, str]]:
        for name in self.above(stage):
            for dep in self.stages[name].get("deps", []):
                if dep["path"] not in self.makers:
                    yield dep["path"], _digest(dep)


def _digest(entry: dict[str, Any]) -> str:
    return str(entry.get("md5", ""))


def together(digests: dict[str, str]) -> str:
    """One digest of several, the file's own where there is one file; empty where there is none."""
    if len(digests) < 2:
        return next(iter(digests.values()), "")
    return artifacts.digest({path: digest.encode() for path, digest in digests.items()})


def flatten(values: Any, above: str) -> Iterator[tuple[str, Any]]:
    """The leaves of nested settings with their dotted keys; a list is one leaf."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from flatten(value, f"{above}.{key}" if above else str(key))
    else:
        yield above, values


def parse(text: str, where: str) -> Lock:
    """Read the text of a ``dvc.lock``."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        stages = (yaml.load(text, loader) or {}).get("stages", {})  # safe: both loaders are
        return Lock(dict(stages))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{where}: not a dvc.lock that can be read: {error}") from None


def read() -> Lock:
    """``dvc.lock`` as it lies in the project; empty where nothing is recorded yet."""
    text = LOCK_FILE.read_text(encoding="utf-8") if LOCK_FILE.is_file() else ""
    return parse(text, str(LOCK_FILE))


def git(*arguments: str) -> str:
    """Run git and return what it prints."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed; the history of versions is read from it") from None
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
