"""Curves: PSNR against noise level, and how well features separate the classes (arXiv 2410.11646, figures 2 and 3)."""

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff.reporting.drawing import FAINT, GUIDED, MIXTURE, REAL, Figure, Panel, log_axis, panel

NOISE = "noise level σ (pixels in 0 to 1)"
COLOURS = {"guided": GUIDED, "mixture": MIXTURE, "real": REAL}
TARGETS = (("right", "right centroid", "-", "o"), ("wrong", "wrong centroid", "--", "s"), ("none", "none", ":", "^"))


def mean_over_classes(denoising: pd.DataFrame, model: str, target: str) -> pd.DataFrame:
    """PSNR of one model and target by noise level: mean over classes and its standard error, columns sigma, psnr, error."""
    rows = denoising[(denoising["model"] == model) & (denoising["target"] == target)]
    groups = rows.assign(square=rows["spread"].fillna(0) ** 2).groupby("sigma")
    error = groups["square"].sum().pow(0.5) / groups.size()
    return pd.DataFrame({"psnr": groups["psnr"].mean(), "error": error}).reset_index()


def gain(denoising: pd.DataFrame, guided: str, target: str, baseline: str) -> pd.DataFrame:
    """PSNR of the guided model less the mixture's, by noise level (rows) and class (columns), in decibel."""
    table = {}
    for name, model, kind in (("guided", guided, target), ("mixture", baseline, "none")):
        rows = denoising[(denoising["model"] == model) & (denoising["target"] == kind)]
        table[name] = rows.pivot_table(index="sigma", columns="class", values="psnr")
    return (table["guided"] - table["mixture"]).dropna(how="all")


def psnr(denoising: pd.DataFrame, guided: str, baseline: str) -> Figure:
    """PSNR of both models, and the difference, which is too small to be seen in the first panel."""
    parts: list[Panel] = []
    alt = "PSNR against noise level: guided model with right, wrong and no centroid, and the mixture model"
    with panel("psnr", alt, parts) as axes:
        for target, label, line, mark in TARGETS:
            _banded(axes, mean_over_classes(denoising, guided, target), GUIDED, line, mark, f"guided, {label}")
        _banded(axes, mean_over_classes(denoising, baseline, "none"), MIXTURE, "-", "D", "mixture model")
        _noise_axis(axes, denoising["sigma"])
        axes.set(title="Denoising quality", ylabel="PSNR (dB), higher is better")
        axes.legend()
    with panel("psnr-gain", "PSNR of the guided model less that of the mixture model", parts) as axes:
        axes.axhline(0, color=MIXTURE, linewidth=2)
        for target, label, line, mark in TARGETS:
            _gain(axes, gain(denoising, guided, target, baseline), line, mark, f"guided, {label}")
        _noise_axis(axes, denoising["sigma"])
        axes.set(title="Difference to the mixture model", ylabel="PSNR gained (dB)")
        axes.legend()
    caption = (
        "<strong>Does knowing the class help to remove noise?</strong> Real test images with noise added are cleaned by "
        "the network, and the result is compared with the clean image: PSNR is −10 log<sub>10</sub> of the mean squared "
        "error, so 3 dB is half the error. The guided model is told the class by its mean feature vector (right centroid), "
        "told another class (wrong: the next in the list), or told nothing. The mixture model is the same network trained without "
        "features. Left: means over classes; bands are two standard errors over the images on either side, and mostly "
        "show that some images are harder than others. Right: the same less the mixture model on the same images and noise; "
        "bands reach from the class that gains least to the one that gains most. Above zero the guided model is "
        "better; a gap between right and wrong shows that it listens."
    )
    return Figure("psnr", parts, Markup(caption))


def scatter(table: pd.DataFrame, guided: str, baseline: str) -> Figure:
    """Between-class over within-class scatter of each block against noise level; one small panel a block."""
    parts: list[Panel] = []
    both = table[table["model"].isin([guided, baseline])]
    low, high = both["ratio"].min(), both["ratio"].max()
    for block in both["block"].drop_duplicates():
        alt = f"Between-class over within-class scatter against noise level in block {block}"
        with panel(f"scatter-{len(parts)}", alt, parts, width=330, height=250) as axes:
            for model, colour, line, mark in ((guided, GUIDED, "-", "o"), (baseline, MIXTURE, "-", "D")):
                rows = both[(both["model"] == model) & (both["block"] == block)].sort_values("sigma")
                axes.plot(rows["sigma"], rows["ratio"], line, color=colour, marker=mark)
            axes.set_yscale("log")
            _noise_axis(axes, both["sigma"])
            axes.set(title=block, ylabel="between / within", ylim=(low / 1.3, high * 1.3), xlabel="noise level σ")
            log_axis(axes.yaxis)
    caption = (
        "<strong>Do the features gather by class?</strong> For each block of the network (encoder0 sees the image first, "
        "decoder0 is last) the feature vector is the spatial mean of each channel. Shown is how far the class means lie "
        "from each other over how far the images of a class lie from their mean (variances, summed over channels; "
        "noisy test images). Higher means tighter, better separated classes; both axes are logarithmic, and all panels have the "
        "same scale."
    )
    key = (("guided", "guided model"), ("mixture", "mixture model"))
    return Figure("scatter", parts, Markup(caption), key=key, narrow=True)


def distances(quality: pd.DataFrame, names: dict[str, str], classes: list[str], title: str) -> list[Panel]:
    """The Frechet distance of each class as dots on a logarithmic line: guided, mixture and real test images.

    ``names`` maps the colours' names (guided, mixture, real) to the names of the sets in ``quality``.
    """
    parts: list[Panel] = []
    rows = quality[(quality["measure"] == "frechet") & quality["class"].isin(classes)]
    if rows.empty:
        return parts
    places = {name: -i for i, name in enumerate(classes)}
    alt = f"{title} of guided samples, mixture samples and real test images to the real training images of each class"
    with panel("frechet", alt, parts, height=110 + 26 * len(classes)) as axes:
        for kind, mark in (("mixture", "D"), ("guided", "o"), ("real", "|")):
            found = rows[rows["samples"] == names[kind]]
            style = {"color": COLOURS[kind], "marker": mark, "markersize": 9 if kind != "real" else 16}
            axes.errorbar(
                found["value"], [places[c] for c in found["class"]], xerr=found["spread"].fillna(0), fmt=" ", **style
            )
        axes.set_xscale("log")
        axes.set_yticks(list(places.values()), list(places))
        axes.set(xlabel=f"{title} (log scale), lower is better", ylim=(0.6 - len(classes), 0.4))
        axes.grid(axis="x", visible=False)
        _few_ticks(axes, rows["value"])
    return parts


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


def _gain(axes: Axes, table: pd.DataFrame, line: str, mark: str, label: str) -> None:
    if table.empty:
        return
    axes.plot(table.index, table.mean(axis=1), line, color=GUIDED, marker=mark, label=label)
    axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=GUIDED, alpha=0.12, linewidth=0)


def _noise_axis(axes: Axes, sigmas: pd.Series) -> None:
    axes.set_xscale("log")
    axes.set_xlabel(NOISE)
    ticks = sorted(sigmas.unique())
    log_axis(axes.xaxis, ticks if len(ticks) <= 9 else None)
    axes.tick_params(axis="both", color=FAINT)
