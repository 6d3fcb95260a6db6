"""Tables of the report: tidy pandas rows become cells; what a measure means and how it was taken stands below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from featdiff.kinds.measures import MEASURES, Frechet

ALL = "all"


ARROWS = {"low": "↓", "high": "↑", "real": "≈", "none": ""}


class Cell(NamedTuple):
    """A cell: its text and, smaller, its spread."""

    text: str
    spread: str = ""
    mark: str = ""  # a CSS class


class Row(NamedTuple):
    """A row: its heading, the colour variable of the set it belongs to, and its cells."""

    heading: str
    colour: str
    cells: Sequence[Cell]


class Group(NamedTuple):
    """Rows below a common heading (none if empty)."""

    heading: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Table:
    """A table of the page: a caption, headings, groups of rows, and notes below."""

    name: str
    caption: str
    columns: Sequence[str]
    groups: Sequence[Group]
    notes: Sequence[str] = ()
    first: str = ""  # heading of the first column


class Source(NamedTuple):
    """A set of images in the quality table: its name there, how the page calls it, its colour variable."""

    name: str
    title: str
    colour: str


def quality(
    table: pd.DataFrame, sources: Sequence[Source], classes: Sequence[str], frechet: str, *, name: str = "quality"
) -> Table:
    """Rows guided, mixture, real (and other samplings) for each class and over all, a column a measure."""
    shown = table[table["samples"].isin([s.name for s in sources])]
    measures = [m for m, kind in MEASURES.items() if kind.shown and (shown["measure"] == m).any()]
    values = {(r["samples"], r["class"], r["measure"]): r for r in shown.to_dict("records")}
    groups = []
    for label in (ALL, *classes):
        rows = [
            Row(s.title, s.colour, [_cell(values.get((s.name, label, m)), m) for m in measures])
            for s in sources
            if any((s.name, label, m) in values for m in measures)
        ]
        groups.append(Group("All classes together" if label == ALL else label, rows))
    titles = {m: title(m, frechet) for m in measures}
    notes = [f"{titles[m]} {ARROWS[MEASURES[m].better]}".strip() + f": {MEASURES.line(m)}" for m in measures]
    notes += [f"Protocol: {text}." for text in shown["protocol"].drop_duplicates()]
    caption = (
        "How good and how varied the images are, judged against real training images. The row of real test images is "
        "the floor: what a perfect model would reach. ↓ lower is better, ↑ higher is better, ≈ best near real test "
        "images. After ±: half of the 95% interval of a Frechet distance at its count, with both sides' share; else "
        "the standard deviation over repeated draws (KID: over subsets)."
    )
    columns = [f"{titles[m]}\N{NO-BREAK SPACE}{ARROWS[MEASURES[m].better]}".rstrip() for m in measures]
    return Table(name, caption, columns, groups, notes, "Images")


def title(measure: str, frechet: str) -> str:
    """What the page calls a measure; ``frechet`` is what the extractor's distance may be called."""
    return frechet if measure == Frechet.name else MEASURES.label(measure)


def curve_numbers(curves: dict[str, pd.DataFrame]) -> Table:
    """PSNR in numbers: a row a noise level, a column a curve with columns sigma, psnr and error."""
    sigmas = sorted({sigma for rows in curves.values() for sigma in rows["sigma"]})
    found = {name: rows.set_index("sigma") for name, rows in curves.items()}
    rows = [Row(f"{s:g}", "", [_psnr_cell(found[name], s) for name in curves]) for s in sigmas]
    caption = "PSNR in dB, mean over classes and its standard error over images."
    return Table("psnr-numbers", caption, list(curves), [Group("", rows)], first="σ")


def _psnr_cell(rows: pd.DataFrame, sigma: float) -> Cell:
    if sigma not in rows.index:
        return Cell("–")
    return Cell(f"{rows.loc[sigma, 'psnr']:.2f}", f"± {rows.loc[sigma, 'error']:.2f}")


def _cell(row: dict | None, measure: str) -> Cell:
    if row is None or pd.isna(row["value"]):
        return Cell("–")
    digits, scale = MEASURES[measure].digits, MEASURES[measure].scale
    error = row["spread"] if pd.isna(row["interval"]) else row["interval"]
    return Cell(number(scale * row["value"], digits), "" if pd.isna(error) else f"± {scale * error:.{digits}f}")


def number(value: float, digits: int) -> str:
    """A number with a true minus sign and no negative zero."""
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")
