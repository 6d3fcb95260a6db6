"""Soft diffusion's part of the report: chosen levels beside hand-made ones, and quality against network evaluations."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff import artifacts
from featdiff.kinds.corruptions import CORRUPTIONS
from featdiff.kinds.samplers import SoftSampler
from featdiff.reporting.drawing import LINES, Figure, Panel, log_axis, panel
from featdiff.reporting.tables import ALL
from featdiff.settings.project import Params

MARKS = "osD^vP"
ANCHOR = "soft"


def figures(settings: Params, levels: Mapping[str, Path], quality: pd.DataFrame, frechet: str) -> list[Figure]:
    """The figures of a run with corruptions; ``levels`` are the levels' files by the names of the corruptions."""
    found = [_schedule(name, path) for name, path in levels.items()]
    cost = _evaluations(settings, quality, frechet)
    return [*found, cost] if cost else found


def _schedule(name: str, path: Path) -> Figure:
    """One corruption: strength along the path, and the lengths of the hops, for each spacing."""
    arrays, made = artifacts.read_arrays(path, "levels")
    kind = CORRUPTIONS[made.settings["corruption"]["kind"]]
    spacings, power = arrays["spacings"].tolist(), made.settings["levels"]["relative"]
    parts: list[Panel] = []
    with panel(f"levels-{name}", f"Strength of {name} along the path for each spacing", parts) as axes:
        for i, spacing in enumerate(spacings):
            share = np.linspace(0, 1, arrays["strengths"].shape[1])
            axes.plot(share, arrays["strengths"][i], MARKS[i], ls="-", color=LINES[i], label=spacing, ms=3)
        axes.set(
            yscale="log", title=f"{name}: strength", xlabel="share of the path from clean", ylabel=kind.strength_label
        )
        log_axis(axes.yaxis)
        axes.legend()
    with panel(f"hops-{name}", f"Distance of neighbouring levels of {name} for each spacing", parts) as axes:
        for i, spacing in enumerate(spacings):
            hops = arrays["hops"][i]
            axes.plot(np.linspace(0, 1, len(hops)), hops, MARKS[i], ls="-", color=LINES[i], label=spacing, ms=3)
        axes.set(
            title=f"{name}: hops",
            xlabel="share of the path from clean",
            ylabel=f"Wasserstein distance of a hop{f' / σ^{power:g}' if power else ''}",
        )
        axes.legend()
    caption = Markup(
        "<strong>Where does {name} stop on its way?</strong> Levels from clean to fully corrupted, as many for each "
        "spacing. Chosen: the shortest path through {count} candidates whose hops, Wasserstein distances between the "
        "corrupted training images{unit}, are at most {eps:.3g}. Linear, cosine and logarithmic space the strength by "
        "hand. Second panel: how far neighbouring levels are apart; a spacing that leaps at one end wastes its steps "
        "at the other."
    ).format(
        name=name,
        count=len(arrays["candidates"]),
        eps=float(arrays["eps"][0]),
        unit=f" over the noise to the power {power:g}" if power else "",
    )
    return Figure(f"levels-{name}", parts, caption)


def _evaluations(settings: Params, quality: pd.DataFrame, frechet: str) -> Figure | None:
    """Distance against evaluations, a line for each model, sampler and spacing of unguided samples."""
    rows = quality[(quality["measure"] == "frechet") & (quality["class"] == ALL)].set_index("samples")
    values, spreads = rows["value"].to_dict(), rows["spread"].fillna(0).to_dict()
    lines: dict[str, list[tuple[int, float, float]]] = {}
    for name, row in settings.samplings.items():
        sampler, corrupted = row.sampler, settings.models[row.model].corruption is not None
        if corrupted and isinstance(sampler, SoftSampler) and not row.guidance.told and name in values:
            label = f"{row.model}, {sampler.kind}, {sampler.spacing}"
            lines.setdefault(label, []).append((sampler.steps, values[name], spreads[name]))
    if not lines:
        return None
    parts: list[Panel] = []
    with panel("evaluations", f"{frechet} against network evaluations", parts, width=560, height=400) as axes:
        for i, (label, points) in enumerate(sorted(lines.items())):
            _line(axes, sorted(points), label, i)
        axes.set(
            xscale="log",
            yscale="log",
            title="Quality against cost",
            xlabel="network evaluations an image",
            ylabel=frechet,
        )
        log_axis(axes.xaxis, sorted({point[0] for points in lines.values() for point in points}))
        log_axis(axes.yaxis)
        axes.legend(fontsize=9)
    caption = Markup(
        "<strong>How many network evaluations does quality cost?</strong> {}: lower is better. Unguided samples of "
        "models with a corruption; a line is one model, sampler and spacing of levels. Bars: standard deviation over "
        "repeated draws."
    ).format(frechet)
    return Figure("evaluations", parts, caption)


def _line(axes: Axes, points: list[tuple[int, float, float]], label: str, i: int) -> None:
    steps, values, spreads = zip(*points, strict=True)
    dash = ("-", "--", ":")[i // len(LINES) % 3]
    colour, mark = LINES[i % len(LINES)], MARKS[i % len(MARKS)]
    axes.errorbar(steps, values, yerr=spreads, label=label, linewidth=1.5, color=colour, marker=mark, linestyle=dash)
