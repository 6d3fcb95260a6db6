"""A user's word that a change of code has no effect on the results of a stage: ``workflow/accepted.json``, tracked by
git.

The digest of the changed code stands for the one that results were made with, in both engines and in every clone, until
the code changes again.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from featdiff.errors import UserError

FILE = Path("workflow/accepted.json")


class Accepted(NamedTuple):
    """One such word: of which commands, what the code means now, what it counts as, and why."""

    stage: str
    code: str
    counts_as: str
    why: str


def read() -> list[Accepted]:
    """All words that were given, the oldest first."""
    try:
        return [Accepted(**row) for row in json.loads(_text())]
    except (ValueError, TypeError) as error:
        raise UserError(f"{FILE}: can't be read ({error}); take back what was changed in it by hand") from None


def standing_for(stage: str, digest: str) -> str:
    """What a digest of code counts as."""
    for word in reversed(read()):
        if (word.stage, word.code) == (stage, digest):
            return word.counts_as
    return digest


def accept(stage: str, code: str, counts_as: str, why: str) -> None:
    """Write down a word."""
    from featdiff import artifacts  # the graph is built without it

    words = [word for word in read() if (word.stage, word.code) != (stage, code)]
    rows = [word._asdict() for word in (*words, Accepted(stage, code, counts_as, why))]
    artifacts.write_text(FILE, json.dumps(rows, indent=1) + "\n")
    _text.cache_clear()


@cache
def _text() -> str:
    return FILE.read_text(encoding="utf-8") if FILE.is_file() else "[]"
