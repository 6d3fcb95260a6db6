"""Distances between centroids against distances between class densities (arXiv 2410.11646, figure 4)."""

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.features.isometry import Embedding, compare
from featdiff.reporting.drawing import FAINT, GUIDED, Figure, Panel, log_axis, panel, short

NAMED = 6  # pairs that have their names beside the dot
CAPTION = (
    "<strong>Do near centroids mean like classes?</strong> Each dot is a pair of classes: across, how far their "
    "densities lie apart (the difference of their scores, squared and integrated over the noise; bars are two "
    "standard errors), up, the squared distance of their centroids. If the features were a perfect map of the "
    "densities, all dots would lie on one line through the origin; the dotted lines bound what is found, A d² ≤ ‖φ − "
    "φ′‖² ≤ B d². {judges}"
)
JUDGES = (
    "On the left the guided network itself says how far apart the densities are; the "
    "others are networks told labels, which know no centroids."
)


def isometry(distances: pd.DataFrame, guided: str, judges: list[str]) -> Figure | None:
    """A panel for each model whose scores judge the densities, the guided one first; None without a pair of classes."""
    centroids = distances[distances["model"] == guided].set_index(["first", "second"])["centroids"].dropna()
    if centroids.empty:
        return None
    parts: list[Panel] = []
    for model in (guided, *judges):
        rows = distances[distances["model"] == model].set_index(["first", "second"])
        rows = rows[rows.index.isin(centroids.index)]  # first: assigning to an empty table would make rows of nothing
        if rows.empty:
            continue
        rows = rows.assign(centroids=centroids)
        found = compare(*(rows[c].to_numpy() for c in ("centroids", "density", "error")))
        alt = (
            "Squared distance of centroids against distance of densities by the scores of "
            f"{model}, for each pair of classes"
        )
        with panel(f"isometry-{len(parts)}", alt, parts, width=390) as axes:
            _pairs(axes, rows, found)
            axes.set(title=_numbers(found), xlabel=f"d² by the scores of {short(model)}", ylabel="‖φ − φ′‖²")
    return Figure("isometry", parts, Markup(CAPTION.format(judges=JUDGES if len(parts) > 1 else "")), narrow=True)


def _pairs(axes: Axes, rows: pd.DataFrame, found: Embedding) -> None:
    d, phi = rows["density"].to_numpy(), rows["centroids"].to_numpy()
    axes.errorbar(d, phi, xerr=2 * rows["error"], fmt="o", color=GUIDED, markersize=5, elinewidth=1)
    ends = np.array([d.min() / 1.3, d.max() * 1.3])
    for constant in (found.low, found.high):
        axes.plot(ends, constant * ends, ":", color=FAINT)
    axes.set(xscale="log", yscale="log")
    log_axis(axes.xaxis)
    log_axis(axes.yaxis)
    if len(rows) <= NAMED:
        for (first, second), x, y in zip(rows.index, d, phi, strict=True):
            axes.annotate(f"{short(first)}, {short(second)}", (x, y), (4, 6), textcoords="offset points", fontsize=10)


def _numbers(found: Embedding) -> str:
    """Correlations where there are enough pairs for them, and A and B."""
    ends = f"A = {found.low:.2g} ± {found.low_error:.1g}, B = {found.high:.2g} ± {found.high_error:.1g}"
    if found.pairs < NAMED:
        return f"{found.pairs} pairs\n{ends}"
    return f"{found.pairs} pairs: Spearman {found.spearman:.2f}, Pearson {found.pearson:.2f}\n{ends}"
