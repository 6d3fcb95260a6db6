"""Quality against network evaluations: what each sampler makes of the same guided model, the more it may ask of it."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.evaluation.class_means import class_means
from featdiff.kinds.measures import MEASURES
from featdiff.kinds.samplers import SAMPLERS
from featdiff.reporting.drawing import LINES, REAL, Figure, Panel, log_axis, panel
from featdiff.reporting.tables import ALL, Cell, Group, Row, Table, number, title
from featdiff.settings.sampling import Sampling

COST = "network_evaluations"
SHOWN = ("frechet", "recall", "class_accuracy")
MARKS = "osD^vP"


class Point(NamedTuple):
    """One set of samples: evaluations an image, and means over the classes (value, spread) of the measures."""

    name: str
    sampler: str
    evaluations: float
    values: Mapping[str, tuple[float, float]]


def points(quality: pd.DataFrame, samplings: Mapping[str, Sampling], like: str) -> list[Point]:
    """Samplings that differ from the one called ``like`` in their sampler alone, by sampler and rising cost."""
    wanted = _but_sampler(samplings[like])
    found = []
    for name, row in samplings.items():
        own = quality[quality["samples"] == name]
        cost = own[(own["measure"] == COST) & (own["class"] == ALL)]["value"]
        if _but_sampler(row) == wanted and len(cost):
            found.append(Point(name, row.sampler.kind, float(cost.iloc[0]), _means(own)))
    order = list(SAMPLERS)
    return sorted(found, key=lambda p: (order.index(p.sampler), p.evaluations))


def figure(found: list[Point], real: Mapping[str, tuple[float, float]], frechet: str) -> Figure | None:
    """A panel a measure, a line a sampler; None unless some sampler was run at several costs."""
    lines: dict[str, list[Point]] = {}
    for point in found:
        lines.setdefault(point.sampler, []).append(point)
    if max(map(len, lines.values()), default=0) < 2:
        return None
    parts: list[Panel] = []
    ticks = sorted({round(point.evaluations) for point in found})
    for measure in SHOWN:
        if not any(measure in point.values for point in found):
            continue
        words = title(measure, frechet)
        with panel(f"evaluations-{measure}", f"{words} against network evaluations, a line a sampler", parts) as axes:
            for i, (sampler, of) in enumerate(lines.items()):
                _line(axes, [p for p in of if measure in p.values], measure, SAMPLERS.label(sampler), i)
            if measure in real:
                axes.axhline(real[measure][0], color=REAL, linestyle=":", linewidth=1.5, label="real test images")
            axes.set(xscale="log", title=words, xlabel="network evaluations an image", ylabel=words)
            log_axis(axes.xaxis, _spread_out(ticks))
            if measure == "frechet":
                axes.set(yscale="log")
                log_axis(axes.yaxis)
                axes.yaxis.set_minor_formatter("{x:g}")
            axes.legend(fontsize=9.5)
    caption = Markup(
        "<strong>How many network evaluations does quality cost?</strong> The same guided model, drawn from by each "
        "sampler at several numbers of steps; everything else is equal. Means over the classes; bars are standard "
        "deviations over repeated draws of the evaluation (accuracy: standard errors). Dotted: real test images."
    )
    return Figure("evaluations-guided", parts, caption)


def numbers(found: list[Point], frechet: str) -> Table:
    """The figure in numbers: a group a sampler, a row a cost."""
    groups: dict[str, list[Row]] = {}
    for point in found:
        cells = [_cell(point.values.get(m), MEASURES[m].digits) for m in SHOWN]
        groups.setdefault(SAMPLERS.label(point.sampler), []).append(Row(number(point.evaluations, 0), "", cells))
    titles = [title(m, frechet) for m in SHOWN]
    caption = (
        "Means over the classes by sampler and network evaluations an image; after ±: "
        "standard deviation over repeated draws (accuracy: standard error)."
    )
    body = [Group(name, rows) for name, rows in groups.items()]
    return Table("evaluations-numbers", caption, titles, body, first="Evaluations")


def means(quality: pd.DataFrame, name: str) -> dict[str, tuple[float, float]]:
    """Means over the classes of one set of images."""
    return _means(quality[quality["samples"] == name])


def _means(own: pd.DataFrame) -> dict[str, tuple[float, float]]:
    means = class_means(own)
    return {m: (row["value"], row["spread"]) for m in SHOWN if m in means.index for row in [means.loc[m]]}


def _but_sampler(row: Sampling) -> str:
    """All that makes the samples but the sampler; how they are shared out to jobs makes no difference."""
    return json.dumps(row.model_dump(mode="json", exclude={"sampler", "shards"}), sort_keys=True)


def _line(axes: Axes, of: list[Point], measure: str, label: str, i: int) -> None:
    values, spreads = zip(*(point.values[measure] for point in of), strict=True) if of else ((), ())
    cost = [point.evaluations for point in of]
    axes.errorbar(
        cost,
        values,
        yerr=spreads,
        label=label,
        color=LINES[i % len(LINES)],
        marker=MARKS[i % len(MARKS)],
        linewidth=1.5,
    )


def _spread_out(ticks: list[int]) -> list[int]:
    """Ticks at least a factor of 1.5 apart."""
    kept: list[int] = []
    for tick in ticks:
        if not kept or tick >= 1.5 * kept[-1]:
            kept.append(tick)
    return kept


def _cell(value: tuple[float, float] | None, digits: int) -> Cell:
    if value is None:
        return Cell("–")
    return Cell(number(value[0], digits), "" if pd.isna(value[1]) else f"± {value[1]:.{digits}f}")
