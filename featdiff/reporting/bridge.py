"""The bridge from exact mixtures to networks, drawn: errors by noise level, samples, and their components.

Reads what ``featdiff mixture-bridge`` wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.artifacts import Manifest
from featdiff.kinds.samplers import SAMPLERS
from featdiff.mixture import BRIDGE_TABLES
from featdiff.mixture import folder as studies
from featdiff.reporting.drawing import FAINT, GUIDED, INK, MIXTURE, Figure, Panel, log_axis, panel, picture
from featdiff.reporting.tables import Cell, Group, Row, Table

EXCESS = {  # (denoiser, truth) of the table: label, colour, mark, line
    ("guided, right class", "conditional"): ("guided network, told the class", GUIDED, "o", "-"),
    ("unguided", "unconditional"): ("unguided network", MIXTURE, "D", "-"),
    ("guided, no class", "unconditional"): ("guided network, told nothing", GUIDED, "^", ":"),
    ("exact, class unknown", "conditional"): ("not knowing the class (exact)", INK, "x", "--"),
}
MEASURES = {
    "weight": "Weights",
    "mean": "Distance of the means (pixel deviations)",
    "variance": "Variance, sampled over exact",
    "covariance": "Distance of the covariances (relative)",
}
SOURCES = {"network": ("network", GUIDED), "exact denoiser": ("exact denoiser", MIXTURE)}
MARKS = "osD^v"
COLUMNS = 8  # pictures in a row


@dataclass(frozen=True)
class Bridge:
    """What the command wrote, read back."""

    denoising: pd.DataFrame
    components: pd.DataFrame
    pictures: Mapping[str, np.ndarray]
    made: Manifest


def read(folder: Path | str) -> Bridge:
    """Read the folder of a bridge."""
    command = "featdiff mixture-bridge"
    found = studies.read(folder, "bridge", "bridge", BRIDGE_TABLES, command=command, keep_default_na=False)
    tables = found.tables
    components = tables["components"].astype({"component": str})
    for column in ("value", "exact", "spread"):
        components[column] = pd.to_numeric(components[column], errors="coerce")
    return Bridge(tables["denoising"], components, found.arrays, found.made)


def parts(bridge: Bridge) -> list[Figure | Table | Markup]:
    """Figures, the table and what is learned."""
    return [lesson(bridge), errors(bridge), samples(bridge), components(bridge), components_table(bridge)]


def lesson(bridge: Bridge) -> Markup:
    """What the numbers say, in a paragraph."""
    guided, plain, untold, unknown = (_of(bridge.denoising, key).set_index("sigma")["share"] for key in EXCESS)
    found = bridge.components
    found = found[(found["measure"] == "variance") & (found["group"] != "all")]
    kept = found.groupby(["sampler", "steps", "denoiser"], sort=False)["value"].mean()
    said = "; ".join(
        f"{_sampler(sampler, steps)} keeps {kept[sampler, steps, 'network']:.0%} of a component's variance with the "
        f"network and {kept[sampler, steps, 'exact denoiser']:.0%} with the exact denoiser"
        for sampler, steps in dict.fromkeys((s, n) for s, n, _ in kept.index)
    )
    where = unknown.idxmax()
    verdict = "it uses what it is told" if guided[where] < unknown[where] / 2 else "it hardly uses what it is told"
    text = (
        "<strong>From exact scores to a network.</strong> A small network was trained by the package's own loop on "
        "images drawn from a mixture, so its best possible answer is known. Where the class matters most, at σ = "
        "{:g}, not knowing it would add {:.1%} to the squared error that the exact denoiser of the class makes; the "
        "network, told the class by a feature centroid, adds {:.1%}: {}. Over all noise levels it adds {:.1%} to "
        "{:.1%}. A network of the same size that is told nothing adds {:.1%} to {:.1%} to the exact unconditional "
        "denoiser's error; the guided one left without a target adds up to {:.1%}, for it was never trained to do "
        "without. What samples lack is a matter of the sampler as well: {}."
    )
    return Markup(text).format(
        where,
        unknown[where],
        guided[where],
        verdict,
        guided.min(),
        guided.max(),
        plain.min(),
        plain.max(),
        untold.max(),
        said,
    )


def errors(bridge: Bridge) -> Figure:
    """Squared error against noise level, and its excess over the exact denoiser's."""
    drawn: list[Panel] = []
    rows = bridge.denoising
    with panel("bridge-error", "Squared error of networks and exact denoisers against noise level", drawn) as axes:
        for key in (("guided, right class", "conditional"), ("unguided", "unconditional")):
            label, colour, mark, _ = EXCESS[key]
            one = _of(rows, key)
            axes.plot(one["sigma"], one["best"], "--", color=colour, label=f"exact, {_knowing(key[1])}")
            axes.plot(one["sigma"], one["best"] + one["excess"], mark, color=colour, label=label)
        _axes(axes, rows, "squared error a pixel", "Denoising error")
    with panel("bridge-excess", "Error beyond the exact denoiser's against noise level", drawn) as axes:
        for key, (label, colour, mark, line) in EXCESS.items():
            one = _of(rows, key)
            axes.plot(one["sigma"], one["share"], line, color=colour, marker=mark, label=label)
            low, high = one["share"] - 2 * one["share_error"], one["share"] + 2 * one["share_error"]
            axes.fill_between(one["sigma"], low.clip(lower=1e-9), high, color=colour, alpha=0.2, linewidth=0)
        _axes(axes, rows, "excess over the least error", "What is added to the least error")
        axes.set_ylim(bottom=max(1e-5, float(rows.loc[rows["share"] > 0, "share"].min()) / 2))
    caption = (
        "<strong>The network against the exact denoiser.</strong> Left: the error that nobody can avoid (dashed: the "
        "exact denoiser's, with and without knowledge of the class) and the networks'. Right: what each adds to it, "
        "the mean squared distance of its estimate to the exact one, as a share of the error that nobody can avoid; "
        "the guided network told the class is held against the exact denoiser of that class, what is told nothing "
        "against that of the whole mixture. Crosses: what the exact denoiser loses when it does not know the class. "
        "Bands are two standard errors over test points."
    )
    return Figure("bridge-denoising", drawn, Markup(caption))


def samples(bridge: Bridge) -> Figure:
    """Exact draws beside the network's samples."""
    drawn = []
    groups = dict.fromkeys(key.rpartition(" ")[2] for key in bridge.pictures)
    for group in groups:
        title = "unguided, all classes" if group == "-1" else f"class {group}"
        for key in (k for k in bridge.pictures if k.rpartition(" ")[2] == group):
            kind = key.rpartition(" ")[0]
            by = "exact draws" if kind == "exact" else f"network, {SAMPLERS.label(kind)}"
            alt = f"Images of the mixture, {title}: {by}"
            drawn.append(Panel(picture(_sheet(bridge.pictures[key]), alt, scale=4), f"{title}: {by}"))
    caption = (
        "<strong>Samples.</strong> Exact draws of the law, and images that the networks drew. Each class has one or "
        "two components; a component is a grating with a rough texture around it."
    )
    return Figure("bridge-samples", drawn, Markup(caption), narrow=True)


def components(bridge: Bridge) -> Figure:
    """Each measure of each component, networks beside the exact denoiser and the range of exact draws."""
    drawn: list[Panel] = []
    guided = bridge.components[bridge.components["group"] != "all"]
    for measure, title in MEASURES.items():
        rows = guided[(guided["measure"] == measure) & (guided["component"] != "none")]
        with panel(f"bridge-{measure}", f"{title} of each component in samples of the guided network", drawn) as axes:
            _by_component(axes, rows)
            axes.set(title=title)
            axes.legend(fontsize=10)
    caption = (
        "<strong>Is each component sampled rightly?</strong> A sample counts for the component that it most likely "
        "comes from. Gray bars reach two standard deviations around what as many exact draws give (their distances "
        "are above zero by chance, too). The exact denoiser goes through the same sampler in the same steps: what it "
        "misses is the sampler's fault, not the network's."
    )
    return Figure("bridge-components", drawn, Markup(caption))


def components_table(bridge: Bridge) -> Table:
    """The measures averaged over components, and the share of samples that left their class."""
    rows = []
    guided = bridge.components[bridge.components["group"] != "all"]
    inside = guided[guided["component"] != "none"]
    for (sampler, steps, denoiser), some in inside.groupby(["sampler", "steps", "denoiser"], sort=False):
        of = guided[(guided["sampler"] == sampler) & (guided["steps"] == steps) & (guided["denoiser"] == denoiser)]
        rows.append(_table_row(f"{_sampler(sampler, steps)}, {denoiser}", some, of, "value"))
    first = inside.drop_duplicates(["group", "component", "measure"])
    rows.append(_table_row("exact draws", first, guided.drop_duplicates(["group", "component", "measure"]), "exact"))
    columns = ("largest gap of a weight", "means", "variance", "covariances", "outside the class")
    caption = (
        "Components of the guided samples: means over components; the row of exact draws "
        "is what chance alone gives (weights: one standard deviation)."
    )
    return Table("bridge-table", caption, columns, [Group("", rows)], first="sampler, denoiser")


def _table_row(name: str, rows: pd.DataFrame, every: pd.DataFrame, column: str) -> Row:
    by = rows.set_index("measure")
    weights = by.loc[["weight"]]
    gap = (weights[column] - weights["exact"]).abs().max() if column == "value" else weights["spread"].max()
    values = [by.loc[[m], column].mean() for m in ("mean", "variance", "covariance")]
    outside = every[every["component"] == "none"][column].mean()
    return Row(name, "", [Cell(f"{gap:.3f}"), *(Cell(f"{v:.3f}") for v in values), Cell(f"{outside:.1%}")])


def _by_component(axes: Axes, rows: pd.DataFrame) -> None:
    """Dots side by side, over bars for exact draws."""
    names = list(dict.fromkeys(rows["component"]))
    kinds = list(dict.fromkeys(zip(rows["sampler"], rows["steps"], rows["denoiser"], strict=True)))
    samplers = list(dict.fromkeys(sampler for sampler, *_ in kinds))
    place = {name: i for i, name in enumerate(names)}
    chance = rows.drop_duplicates("component").set_index("component")
    for name, i in place.items():
        middle, spread = chance.loc[name, "exact"], 2 * chance.loc[name, "spread"]
        axes.fill_between([i - 0.42, i + 0.42], middle - spread, middle + spread, color=FAINT, alpha=0.5, linewidth=0)
    for j, (sampler, steps, denoiser) in enumerate(kinds):
        own = rows[(rows["sampler"] == sampler) & (rows["steps"] == steps) & (rows["denoiser"] == denoiser)]
        label, colour = SOURCES[denoiser]
        at = [place[name] + (j - (len(kinds) - 1) / 2) * 0.18 for name in own["component"]]
        mark = MARKS[samplers.index(sampler) % len(MARKS)]
        fill = colour if denoiser == "network" else "none"
        axes.plot(
            at,
            own["value"],
            " ",
            marker=mark,
            color=colour,
            markerfacecolor=fill,
            label=f"{label}, {SAMPLERS.label(sampler)}",
        )
    groups = rows.drop_duplicates("component")["group"]
    axes.set_xticks(list(place.values()), [f"{name}\n{group}" for name, group in zip(names, groups, strict=True)])
    axes.grid(axis="x", visible=False)


def _of(rows: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    return rows[(rows["denoiser"] == key[0]) & (rows["truth"] == key[1])].sort_values("sigma")


def _knowing(truth: str) -> str:
    return "class known" if truth == "conditional" else "class unknown"


def _axes(axes: Axes, rows: pd.DataFrame, label: str, title: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel="noise level σ", ylabel=label, title=title)
    log_axis(axes.xaxis, sorted(rows["sigma"].unique()))
    log_axis(axes.yaxis)
    axes.legend(fontsize=10)


def _sheet(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) in rows of ``COLUMNS``, one white pixel between."""
    count, height, width, channels = images.shape
    rows = -(-count // COLUMNS)
    sheet = np.full((rows * (height + 1) - 1, COLUMNS * (width + 1) - 1, channels), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // COLUMNS * (height + 1), i % COLUMNS * (width + 1)
        sheet[y : y + height, x : x + width] = image
    return sheet


def _sampler(kind: str, steps: int) -> str:
    return f"{SAMPLERS.label(kind)} in {steps} steps"
