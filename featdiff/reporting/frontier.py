"""Confidence against diversity: what each kind of guidance pays for being sure of the class, strength by strength.

Samplings that differ in the strength of their guidance alone are one family, and a curve: as the strength rises,
samples are taken for their class more often and become less varied (arXiv 2207.12598, section 4; exactly, on mixtures,
arXiv 2403.01639). The better of two kinds of guidance is the one whose curve lies further up and to the right.
"""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.evaluation.class_means import class_means
from featdiff.kinds.guidance import CentroidGuidance, StrongGuidance
from featdiff.kinds.measures import MEASURES
from featdiff.reporting.drawing import LINES, REAL, Figure, Panel, panel
from featdiff.reporting.tables import Cell, Group, Row, Table, number
from featdiff.reporting.tables import title as title_of
from featdiff.settings.sampling import Sampling

CONFIDENCE = "class_accuracy"
DIVERSITY = {"recall": "Recall", "vendi": "Vendi score"}
SHOWN = (CONFIDENCE, "recall", "vendi", "frechet")
COST = "network_evaluations"
COLUMNS = ["family", "strength", "samples", "measure", "value", "spread"]
MARKS = "osD^vP"


class Family(NamedTuple):
    """Samplings that differ in strength alone: how the page calls them, and their names by strength."""

    title: str
    members: Mapping[float, str]


def families(samplings: Mapping[str, Sampling]) -> list[Family]:
    """The families of guided samplings, in the order of their first members; of equal settings the first counts."""
    found: dict[str, dict[float, str]] = {}
    first: dict[str, Sampling] = {}
    for name, row in samplings.items():
        if not isinstance(row.guidance, StrongGuidance):
            continue
        key = _without_strength(row)
        first.setdefault(key, row)
        found.setdefault(key, {}).setdefault(row.guidance.strength, name)
    titles = _titles(list(first.values()))
    return [Family(t, dict(sorted(m.items()))) for t, m in zip(titles, found.values(), strict=True)]


def frontier(quality: pd.DataFrame, found: list[Family]) -> pd.DataFrame:
    """One row a family, strength and measure (``COLUMNS``): means over classes, with the standard deviation of that
    mean.

    The spread of a class is that of the quality table, over its repeated draws; for class accuracy it is the standard
    error.
    """
    return along(found, lambda name: _means(quality, name))


def along(found: list[Family], measured: Callable[[str], list[dict]]) -> pd.DataFrame:
    """The same of any numbers: ``measured`` has rows of measure, value and spread for the name of a sampling."""
    rows = [
        {"family": family.title, "strength": strength, "samples": name, **row}
        for family in found
        for strength, name in family.members.items()
        for row in measured(name)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def curves(
    table: pd.DataFrame,
    real: pd.DataFrame,
    *,
    name: str = "frontier",
    bars: str = "over repeated draws (accuracy: standard errors)",
) -> Figure | None:
    """Class accuracy against recall and against the Vendi score; None if no family has two strengths.

    ``table`` is :func:`frontier`'s; ``real`` has the rows of the real test images, as :func:`real_images` makes them;
    ``bars`` says what the standard deviations are over.
    """
    found = _measured(table) if len(table) else table
    if not len(found) or found.groupby("family")["strength"].nunique().max() < 2:
        return None
    drawn: list[Panel] = []
    for measure, title in DIVERSITY.items():
        if found[measure].isna().all():
            continue
        alt = f"Class accuracy against {title}, a curve for each kind of guidance through its strengths"
        with panel(f"{name}-{measure}", alt, drawn) as axes:
            for i, (family, rows) in enumerate(found.groupby("family", sort=False)):
                _curve(axes, rows, measure, LINES[i % len(LINES)], MARKS[i % len(MARKS)], str(family))
            _real(axes, real.set_index("measure"), measure)
            axes.set(title=f"Class accuracy against {title}", xlabel=title, ylabel="class accuracy")
            axes.legend(fontsize=10)
    caption = (
        "<strong>What does it cost to be sure of the class?</strong> Each curve is one kind of guidance, each mark "
        "one strength (the number beside it); everything else is equal along a curve. Upwards: the share of samples "
        "that a judge, trained on real images, takes for the class asked for. To the right: more varied samples. "
        "Guidance that is stronger moves along a curve, guidance that is better moves the curve. The square is what "
        "real test images reach. Means over classes; bars are standard deviations {bars}."
    )
    return Figure(name, drawn, Markup(caption).format(bars=bars)) if drawn else None


def real_images(quality: pd.DataFrame, name: str) -> pd.DataFrame:
    """The means over classes of the real test images: columns measure, value, spread."""
    return pd.DataFrame(list(_means(quality, name)), columns=["measure", "value", "spread"])


def numbers(table: pd.DataFrame, frechet: str) -> Table:
    """The curves in numbers: a group a family, a row a strength."""
    values = {(r.samples, r.measure): r for r in table.itertuples()}
    measures = [m for m in (*SHOWN, COST) if (table["measure"] == m).any()]
    groups = []
    for family, rows in table.groupby("family", sort=False):
        names = rows.drop_duplicates("samples")[["samples", "strength"]].itertuples(index=False)
        body = [Row(f"{s:g}", "", [_cell(values.get((name, m)), m) for m in measures]) for name, s in names]
        groups.append(Group(str(family), body))
    titles = [title_of(m, frechet) if m in SHOWN else "Network evaluations" for m in measures]
    caption = (
        "Means over classes, strength by strength; after ±: standard deviation over "
        "repeated draws (accuracy: standard error)."
    )
    return Table("frontier-numbers", caption, titles, groups, first="Strength")


def _means(quality: pd.DataFrame, name: str) -> list[dict]:
    """Means over the classes of one set of images, and what a sample cost."""
    own = quality[quality["samples"] == name]
    means = class_means(own)
    found = [{"measure": m, **means.loc[m]} for m in SHOWN if m in means.index]
    cost = own[(own["measure"] == COST) & (own["class"] == "all")]
    return found + [{"measure": COST, "value": float(value), "spread": np.nan} for value in cost["value"][:1]]


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """A row a sampling that has a class accuracy: columns of values, and of spreads under ``NAME spread``."""
    keys = ["family", "strength", "samples"]
    wide = table.set_index([*keys, "measure"])[["value", "spread"]].unstack()
    flat = pd.DataFrame(
        {
            m + suffix: wide[column].get(m, pd.Series(np.nan, wide.index))
            for m in (CONFIDENCE, *DIVERSITY)
            for column, suffix in (("value", ""), ("spread", " spread"))
        }
    ).reset_index()
    order = {family: i for i, family in enumerate(table["family"].drop_duplicates())}
    flat = flat.sort_values(["family", "strength"], key=lambda c: c.map(order) if c.name == "family" else c)
    return flat[flat[CONFIDENCE].notna()]


def _curve(axes: Axes, rows: pd.DataFrame, measure: str, colour: str, mark: str, label: str) -> None:
    rows = rows[rows[measure].notna()]
    errors = {"xerr": rows[f"{measure} spread"].fillna(0), "yerr": rows[f"{CONFIDENCE} spread"].fillna(0)}
    axes.errorbar(
        rows[measure], rows[CONFIDENCE], **errors, color=colour, marker=mark, label=label, elinewidth=0.8, linewidth=1.6
    )
    for row in rows.to_dict("records"):
        place = (row[measure], row[CONFIDENCE])
        axes.annotate(f"{row['strength']:g}", place, (5, 4), textcoords="offset points", fontsize=9, color=colour)


def _real(axes: Axes, real: pd.DataFrame, measure: str) -> None:
    if {measure, CONFIDENCE} <= set(real.index):
        x, y = real.loc[measure], real.loc[CONFIDENCE]
        errors = {"xerr": np.nan_to_num(x["spread"]), "yerr": np.nan_to_num(y["spread"])}
        axes.errorbar(
            x["value"], y["value"], **errors, fmt=" ", marker="s", markersize=9, color=REAL, label="real test images"
        )


def _without_strength(row: Sampling) -> str:
    """All that makes the samples but the strength; how they are shared out to jobs makes no difference."""
    values = row.model_dump(mode="json", exclude={"shards"})
    values["guidance"].pop("strength")
    return json.dumps(values, sort_keys=True)


def _titles(rows: list[Sampling]) -> list[str]:
    """Short names: the kind of guidance with its interval or weak model, then whatever else tells families apart."""
    plain = [_kind(row) for row in rows]
    further = {
        "model": lambda r: f"model {r.model}",
        "sampler": lambda r: " ".join(str(v) for v in r.sampler.model_dump().values() if v is not None),
        "images": lambda r: f"{r.images} images",
        "sigma": lambda r: f"σ {r.sigma_start:g} to {r.sigma_end:g}",
        "seed": lambda r: f"seed {r.seed}",
        "batch": lambda r: f"batch {r.batch}",
    }
    for tell in further.values():
        twice = {title for title in plain if plain.count(title) > 1}
        for title in twice:
            alike = [i for i, t in enumerate(plain) if t == title]
            if len({tell(rows[i]) for i in alike}) > 1:
                for i in alike:
                    plain[i] = f"{title}, {tell(rows[i])}"
    return plain


def _kind(row: Sampling) -> str:
    guidance = row.guidance
    text = guidance.label
    if weak := guidance.models():
        text += f" of {row.model} by {weak[0]}"
    if isinstance(guidance, CentroidGuidance) and guidance.examples:
        text += f" by {guidance.examples.images} examples a class"
    interval = getattr(guidance, "interval", None)
    return f"{text} at σ {interval[0]:g} to {interval[1]:g}" if interval else text


def _cell(row: object, measure: str) -> Cell:
    if row is None or pd.isna(row.value):  # type: ignore[attr-defined]
        return Cell("–")
    digits = MEASURES[measure].digits
    spread = "" if pd.isna(row.spread) else f"± {row.spread:.{digits}f}"  # type: ignore[attr-defined]
    return Cell(number(row.value, digits), spread)  # type: ignore[attr-defined]
