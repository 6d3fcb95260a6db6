"""What an evaluation of any images gives: its rows with their protocol, as JSON, CSV and Markdown."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.evaluation.protocol import ALL
from featdiff.kinds.measures import MEASURES

COLUMNS = ["samples", "class", "measure", "value", "spread", "interval", "count"]
SUFFIXES = (".json", ".csv", ".md")


@dataclass(frozen=True)
class Result:
    """Measures of sets of images side by side.

    ``rows`` are {samples, class, measure, value, spread, interval, count}; ``distance`` is what the Frechet distance
    may be called, ``protocol`` what all numbers depend on besides the images, ``notes`` what could not be measured.
    """

    rows: list[dict[str, Any]]
    distance: str
    protocol: str
    real: str
    notes: list[str] = field(default_factory=list)

    @property
    def samples(self) -> list[str]:
        """The names of the sets, in their order."""
        return list(dict.fromkeys(row["samples"] for row in self.rows))

    def value(self, measure: str, samples: str | None = None, of: str = ALL) -> float:
        """One number: of the only set, or of the set that is named; over all classes, or of one class. KeyError when
        there is none."""
        wanted = self.samples[0] if samples is None and len(self.samples) == 1 else samples
        for row in self.rows:
            if (row["samples"], row["class"], row["measure"]) == (wanted, of, measure):
                return float(row["value"])
        raise KeyError(f"no {measure} of {wanted}, class {of}; sets: {', '.join(self.samples)}")

    def table(self) -> pd.DataFrame:
        """The rows, with the protocol beside each."""
        return pd.DataFrame(self.rows, columns=COLUMNS).assign(protocol=self.protocol)

    def json(self) -> str:
        """All of it, for programs."""
        whole = {"real": self.real, "distance": self.distance, "protocol": self.protocol, "notes": self.notes}
        return json.dumps({**whole, "rows": self.rows}, indent=2, allow_nan=False) + "\n"

    def csv(self) -> str:
        """A row a number."""
        return self.table().to_csv(index=False, lineterminator="\n")

    def markdown(self) -> str:
        """A table of all classes together, with one of each class after it where there are any, for people."""
        classes = list(dict.fromkeys(row["class"] for row in self.rows if row["class"] != ALL))
        parts = [self._of_class(ALL, f"Against {self.real}" + (", all classes" if classes else ""))]
        parts += [self._of_class(name, name) for name in classes]
        return "\n\n".join([*parts, f"Protocol: {self.protocol}.", *self.notes]) + "\n"

    def _of_class(self, name: str, title: str) -> str:
        own = [row for row in self.rows if row["class"] == name]
        sets = list(dict.fromkeys(row["samples"] for row in own))
        cells = {(row["samples"], row["measure"]): self._cell(row) for row in own}
        measured = [m for m in MEASURES if any(row["measure"] == m for row in own)]
        lines = [f"| {_plain(title)} | " + " | ".join(map(_plain, sets)) + " |", "|---|" + "---:|" * len(sets)]
        for measure in measured:
            label = self.distance if measure == "frechet" else MEASURES[measure].label
            found = " | ".join(cells.get((one, measure), "") for one in sets)
            lines.append(f"| {label} | {found} |")
        return "\n".join(lines)

    @staticmethod
    def _cell(row: dict[str, Any]) -> str:
        measure = MEASURES[row["measure"]]
        error = row["interval"] if row["interval"] is not None else row["spread"]
        value = f"{measure.scale * row['value']:.{measure.digits}f}"
        return value if error is None else f"{value} ± {measure.scale * error:.{measure.digits}f}"

    def write(self, files: Sequence[Path]) -> None:
        """Write it to files, each in the form that its suffix says; see :func:`check_suffixes`."""
        for path in files:
            texts = {".json": self.json, ".csv": self.csv, ".md": self.markdown}
            artifacts.write_text(path, texts[path.suffix]())


def check_suffixes(files: Sequence[Path]) -> None:
    """Refuse a file whose form its suffix does not say, before anything is measured."""
    for path in files:
        if path.suffix not in SUFFIXES:
            raise UserError(f"{path}: the result is written as {', '.join(SUFFIXES)}; name the file so")


def _plain(text: str) -> str:
    """A name that breaks no table."""
    return text.replace("|", "\\|").replace("\n", " ")
