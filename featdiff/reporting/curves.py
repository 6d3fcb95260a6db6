"""Curves: PSNR against noise level, and how well features separate the classes (arXiv 2410.11646, figures 2 and 3)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.reporting.drawing import FAINT, GUIDED, MIXTURE, REAL, Figure, Panel, log_axis, panel, short

NOISE = "noise level σ (pixels in 0 to 1)"
COLOURS = {"guided": GUIDED, "mixture": MIXTURE, "real": REAL}
NETWORKS = (("guided", "guided model"), ("mixture", "mixture model"), ("real", "untrained network"))
SMALL = {"width": 330, "height": 250}
SINGLE = "one model a class"
TARGETS = (("right", "right centroid", "-", "o"), ("wrong", "wrong centroid", "--", "s"), ("none", "none", ":", "^"))


def mean_over_classes(denoising: pd.DataFrame, model: str, target: str) -> pd.DataFrame:
    """PSNR of one model and target by noise level: mean over classes and its standard error, columns sigma, psnr,
    error."""
    rows = denoising[(denoising["model"] == model) & (denoising["target"] == target)]
    groups = rows.assign(square=rows["spread"].fillna(0) ** 2).groupby("sigma")
    error = groups["square"].sum().pow(0.5) / groups.size()
    return pd.DataFrame({"psnr": groups["psnr"].mean(), "error": error}).reset_index()


def psnr_of(denoising: pd.DataFrame, model: str, target: str) -> pd.DataFrame:
    """PSNR of one model and target by noise level (rows) and class (columns)."""
    rows = denoising[(denoising["model"] == model) & (denoising["target"] == target)]
    return rows.pivot_table(index="sigma", columns="class", values="psnr")


def joined(denoising: pd.DataFrame, single: Sequence[str]) -> pd.DataFrame:
    """The table with the models of one class each under one name, as one model of all classes: ``SINGLE``."""
    return denoising.assign(model=denoising["model"].where(~denoising["model"].isin(single), SINGLE))


def psnr(denoising: pd.DataFrame, guided: str, baseline: str, single: Sequence[str] = ()) -> Figure:
    """PSNR of both models, and the difference, which is too small to be seen in the first panel.

    ``single`` names the models of one class, one for each class: together the upper reference.
    """
    parts: list[Panel] = []
    together = joined(denoising, single)
    alt = "PSNR against noise level: guided model with right, wrong and no centroid, and the mixture model"
    with panel("psnr", alt, parts, width=390) as axes:
        for target, label, line, mark in TARGETS:
            _banded(axes, mean_over_classes(denoising, guided, target), GUIDED, line, mark, f"guided, {label}")
        _banded(axes, mean_over_classes(denoising, baseline, "none"), MIXTURE, "-", "D", "mixture model")
        _banded(axes, mean_over_classes(together, SINGLE, "none"), REAL, "-", "v", "one model a class")
        _noise_axis(axes, denoising["sigma"])
        axes.set(title="Denoising quality", ylabel="PSNR (dB), higher is better")
        axes.legend()
    with panel("psnr-gain", "PSNR of the guided model less that of the mixture model", parts, width=390) as axes:
        axes.axhline(0, color=MIXTURE, linewidth=2)
        for target, label, line, mark in TARGETS:
            if target != "wrong":
                difference = psnr_of(denoising, guided, target) - psnr_of(denoising, baseline, "none")
                _with_range(axes, difference, line, mark, f"guided, {label}")
        difference = psnr_of(together, SINGLE, "none") - psnr_of(denoising, baseline, "none")
        _with_range(axes, difference, "-", "v", "one model a class", REAL)
        _noise_axis(axes, denoising["sigma"])
        axes.set(title="Gained over the mixture model", ylabel="PSNR difference (dB)")
        axes.legend()
    with panel("psnr-wrong", "PSNR with the right centroid less PSNR with a wrong one", parts, width=390) as axes:
        axes.axhline(0, color=FAINT, linewidth=2)
        difference = psnr_of(denoising, guided, "right") - psnr_of(denoising, guided, "wrong")
        _with_range(axes, difference, "-", "o", "right less wrong")
        _noise_axis(axes, denoising["sigma"])
        axes.set(title="Lost by a wrong centroid", ylabel="PSNR difference (dB)")
    caption = (
        "<strong>Does knowing the class help to remove noise?</strong> Real test images with noise added are cleaned "
        "by the network, and the result is compared with the clean image: PSNR is −10 log<sub>10</sub> of the mean "
        "squared error, so 3 dB is half the error. The guided model is told the class by its mean feature vector "
        "(right centroid), told another class (wrong: the next in the list), or told nothing. The mixture model is "
        "the same network trained without features. {single}First panel: means over classes; bands are two standard "
        "errors over the images on either side, and mostly show that some images are harder than others. As these "
        "curves nearly touch, the second panel shows the guided model less the mixture model on the same images and "
        "noise: above the line the guided model is better. Third panel: what a wrong centroid costs; if it were zero, "
        "the network would not listen. Bands in the second and third reach from the class with the least to the class "
        "with the most."
    )
    told = "Networks that saw one class alone are the upper reference. " if single else ""
    return Figure("psnr", parts, Markup(caption.format(single=told)), narrow=True)


def scatter(table: pd.DataFrame, guided: str, baseline: str) -> Figure:
    """Between-class over within-class scatter of each block against noise level; one small panel a block."""
    parts = _blocks(_networks(table, guided, baseline), "ratio", "scatter", "Between-class over within-class scatter")
    caption = (
        "<strong>Do the features gather by class?</strong> For each block of the network (encoder0 sees the image "
        "first, decoder0 is last) the feature vector is the spatial mean of each channel. Shown is how far the class "
        "means lie from each other over how far the images of a class lie from their mean (variances, summed over "
        "channels; noisy test images). Higher means tighter, better separated classes; both axes are logarithmic, and "
        "all panels have the same scale. The untrained network is the guided one with its first, random weights: what "
        "the architecture does alone."
    )
    return Figure("scatter", parts, Markup(caption), key=NETWORKS, narrow=True)


def nearest_centroid(table: pd.DataFrame, guided: str, baseline: str) -> Figure:
    """Share of test images nearest to their class's centroid, of each block against noise level; one small panel a
    block."""
    parts = _blocks(
        _networks(table, guided, baseline), "nearest_centroid", "nearest", "Share nearest to their own centroid"
    )
    caption = (
        "<strong>Does the nearest centroid tell the class?</strong> The share of noisy test images whose features lie "
        "nearest to the mean of their own class (over training images at the same noise level). Guessing gives one "
        "over the number of classes."
    )
    return Figure("nearest", parts, Markup(caption), key=NETWORKS, narrow=True)


def _networks(table: pd.DataFrame, guided: str, baseline: str) -> pd.DataFrame:
    """The rows of the guided network, the mixture network and the untrained one, under these names in column
    ``line``."""
    trained = table["network"] == "trained"
    line = pd.Series(index=table.index, dtype=object)
    line[(table["model"] == baseline) & trained] = "mixture"
    line[(table["model"] == guided) & ~trained] = "real"
    line[(table["model"] == guided) & trained] = "guided"
    return table.assign(line=line).dropna(subset="line")


def _blocks(rows: pd.DataFrame, value: str, name: str, what: str) -> list[Panel]:
    """A panel for each block, all of the same scale."""
    parts: list[Panel] = []
    low, high = rows[value].min(), rows[value].max()
    for block in rows["block"].drop_duplicates():
        with panel(f"{name}-{len(parts)}", f"{what} against noise level in block {block}", parts, **SMALL) as axes:
            for line, style, mark in (("real", ":", "s"), ("mixture", "-", "D"), ("guided", "-", "o")):
                found = rows[(rows["line"] == line) & (rows["block"] == block)].sort_values("sigma")
                axes.plot(found["sigma"], found[value], style, color=COLOURS[line], marker=mark)
            _noise_axis(axes, rows["sigma"])
            axes.set(title=block, xlabel="noise level σ")
            if value == "ratio":
                axes.set_yscale("log")
                axes.set(ylabel="between / within", ylim=(low / 1.3, high * 1.3))
                log_axis(axes.yaxis)
            else:
                axes.set(ylabel="share", ylim=(0, 1.03))
    return parts


def dots(quality: pd.DataFrame, names: dict[str, str], classes: list[str], frechet: str) -> list[Panel]:
    """Distance, recall and Vendi score of each class as dots: guided, mixture and real test images.

    ``names`` maps the names of colours (guided, mixture, real) to the sets in ``quality``.
    """
    parts: list[Panel] = []
    titles = {"frechet": f"{frechet}, lower is better", "recall": "Recall", "vendi": "Vendi score"}
    for measure, title in titles.items():
        rows = quality[(quality["measure"] == measure) & quality["class"].isin(classes)]
        if rows.empty:
            continue
        alt = f"{title} of guided samples, mixture samples and real test images, for each class"
        with panel(f"dots-{measure}", alt, parts, width=360, height=100 + 30 * len(classes)) as axes:
            _dots(axes, rows, names, classes)
            axes.set(title=title, ylim=(0.5 - len(classes), 0.5))
            if measure == "frechet":
                axes.set_xscale("log")
                _few_ticks(axes, rows["value"])
            else:
                axes.set_xlim(0, 1.08 * float((rows["value"] + rows["spread"].fillna(0)).max()))
    return parts


def _dots(axes: Axes, rows: pd.DataFrame, names: dict[str, str], classes: list[str]) -> None:
    places = {name: -i for i, name in enumerate(classes)}
    for kind, mark, shift in (("mixture", "D", -0.18), ("guided", "o", 0), ("real", "s", 0.18)):
        found = rows[rows["samples"] == names[kind]]
        y = [places[c] + shift for c in found["class"]]
        spread, colour = found["spread"].fillna(0), COLOURS[kind]
        axes.errorbar(found["value"], y, xerr=spread, fmt=" ", color=colour, marker=mark, markersize=8)
    axes.set_yticks(list(places.values()), [short(name) for name in places])
    axes.grid(axis="y", visible=False)
    for name in classes[1:]:
        axes.axhline(places[name] + 0.5, color=FAINT, linewidth=0.6)


def _few_ticks(axes: Axes, values: pd.Series) -> None:
    """Ticks at 1, 2 and 5 times powers of ten."""
    low, high = np.log10(values.clip(lower=1e-9).min()), np.log10(values.max())
    ticks = [m * 10.0**p for p in range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1) for m in (1, 2, 5)]
    axes.set_xlim(10**low / 1.4, 10**high * 1.4)
    log_axis(axes.xaxis, [t for t in ticks if 10**low / 1.4 <= t <= 10**high * 1.4])


def _banded(axes: Axes, rows: pd.DataFrame, colour: str, line: str, mark: str, label: str) -> None:
    if rows.empty:
        return
    axes.plot(rows["sigma"], rows["psnr"], line, color=colour, marker=mark, label=label)
    low, high = rows["psnr"] - 2 * rows["error"], rows["psnr"] + 2 * rows["error"]
    axes.fill_between(rows["sigma"], low, high, color=colour, alpha=0.12, linewidth=0)


def _with_range(axes: Axes, table: pd.DataFrame, line: str, mark: str, label: str, colour: str = GUIDED) -> None:
    table = table.dropna(how="all")
    if table.empty:
        return
    axes.plot(table.index, table.mean(axis=1), line, color=colour, marker=mark, label=label)
    axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=colour, alpha=0.12, linewidth=0)


def _noise_axis(axes: Axes, sigmas: pd.Series) -> None:
    axes.set_xscale("log")
    axes.set_xlabel(NOISE)
    ticks: list[float] = []
    for sigma in sorted(sigmas[sigmas > 0].unique()):  # a clean image under a corruption has no place on the axis
        if not ticks or sigma / ticks[-1] > 2:  # room for the number
            ticks.append(sigma)
    log_axis(axes.xaxis, ticks if len(ticks) <= 9 else None)
    axes.tick_params(axis="both", color=FAINT)
