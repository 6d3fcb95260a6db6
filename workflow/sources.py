"""What the code of each rule means, so that a change of it reruns what it can change, and nothing else.

A rule holds one digest as its param ``code``: Snakemake runs a job again when it differs from the one the job ran with.
It is taken of all definitions that the rule's commands can reach (:mod:`featdiff.meaning`), of what its rule file says
of results, and of the files of ``extensions/`` that add to what it reaches. DVC is given the same digests by a tracked
file (``workflow/code.json``).
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from featdiff import meaning
from featdiff.versions import accepted

CLI = "featdiff.cli"
EXTENSIONS = Path("extensions")


class Code(NamedTuple):
    """What a fingerprint was taken of: the commands as one word, the digest, and the digest of each definition."""

    key: str
    digest: str  # what it counts as
    meant: str  # what it is
    parts: dict[str, str]


CODES: dict[str, Code] = {}  # by the param
_how: dict[str, tuple[str, ...]] = {}
_begun: dict[str, str] = {}  # of the run that a job belongs to: its params by rule file and commands


def go_by(run: Path) -> None:
    """In a job that another process started: take the params that the run began with, whatever the code is by now.

    Otherwise the job would judge what comes before it by other code than the run, and find it stale.
    """
    if run.is_file():
        _begun.update(json.loads(run.read_text(encoding="utf-8")))


def begin(run: Path) -> None:
    """Write down the params of the run that begins, for its jobs."""
    run.parent.mkdir(parents=True, exist_ok=True)
    aside = run.with_name(f"{run.name}.{os.getpid()}")
    aside.write_text(json.dumps({code.key: name for name, code in CODES.items()}), encoding="utf-8")
    aside.replace(run)


def changed_meanwhile() -> list[str]:
    """The commands whose code is not what it was when this process read it."""
    now = {key: meaning.digest(reach(*how)) for key, how in _how.items()}
    return sorted(code.key for code in CODES.values() if now.get(code.key, code.meant) != code.meant)


def fingerprint(rule_file: str, *commands: str) -> str:
    """The param ``code`` of a rule that runs these commands."""
    key = "-with-".join(commands)
    _how[key] = (rule_file, *commands)
    parts = reach(rule_file, *commands)
    meant = meaning.digest(parts)
    code = Code(key, accepted.standing_for(key, meant), meant, parts)
    name = _begun.get(key, f"code of {' and '.join(commands)}: {code.digest}")
    CODES[name] = code
    return name


def accepted_words() -> list[str]:
    """The user's words that let results stand as they are, whatever the code is by now: COMMANDS=WHY."""
    standing = {code.key: code.digest for code in CODES.values()}
    return [f"{word.stage}={word.why}" for word in accepted.read() if standing.get(word.stage) == word.counts_as]


def reach(rule_file: str, *commands: str) -> dict[str, str]:
    """The digests of all that a rule's results depend on in the code."""
    found = {f"workflow/rules/{rule_file}": meaning.rule_text(Path("workflow", "rules", rule_file))}
    for command in commands:
        found |= meaning.closure(CLI, command.replace("-", "_"))
    return meaning.with_outside(found, EXTENSIONS.glob("*.py"))
