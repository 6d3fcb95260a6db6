"""The guidance study on a page: confidence, entropy, splitting, neighbouring results, convergence (arXiv 2403.01639).

Reads what ``featdiff mixture`` wrote; makes a section of the report, a page of its own, and one SVG file a picture.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff import artifacts
from featdiff.artifacts import Manifest
from featdiff.mixture import TABLES
from featdiff.mixture import folder as studies
from featdiff.reporting import bridge, templates
from featdiff.reporting.drawing import FAINT, GUIDED, INK, LINES, MIXTURE, Figure, Panel, log_axis, panel
from featdiff.reporting.tables import Cell, Group, Row, Table

TITLE = "What guidance does, exactly"
LEAD = (
    "On a mixture of Gaussians the score is known at every time, so what guidance does can be computed without a "
    "network between it and the truth. Guidance to a class y follows (1 + η) grad log p(x|y) − η grad log p(x); η = 0 "
    "is the class itself."
)
SAMPLERS = {"ddim": ("DDIM (no noise)", GUIDED, "o", "-"), "ddpm": ("DDPM (with noise)", MIXTURE, "s", "--")}
DOTS = 700  # points drawn in a cloud


@dataclass(frozen=True)
class Study:
    """What the command wrote, read back."""

    tables: Mapping[str, pd.DataFrame]
    arrays: Mapping[str, np.ndarray]
    summary: Mapping[str, Any]
    made: Manifest


def read(folder: Path | str) -> Study:
    """Read the folder of a study."""
    found = studies.read(folder, "study", "mixture", TABLES, command="featdiff mixture")
    return Study(found.tables, found.arrays, found.summary, found.made)


def write_page(folder: Path | str, out: Path | str, *, figures: Path | str, network: Path | str | None = None) -> None:
    """Write the study's own page, and a zip with each picture as an SVG file; ``network`` is the folder of the
    bridge."""
    study = read(folder)
    drawn = parts(study, network)
    pictures = {
        f"{part.name}-{i}.svg": standalone(one.markup).encode()
        for part in drawn
        if isinstance(part, Figure)
        for i, one in enumerate(part.panels)
        if one.markup.startswith("<svg")
    }
    inputs = {name: Path(folder) / name for name in ("study.json", "pictures.npz")}
    artifacts.write_zip(figures, pictures, artifacts.manifest("mixture figures", {}, inputs, by=write_page))
    made = json.dumps(study.made.model_dump(), indent=2)
    section = templates.render("body.html", parts=drawn)
    artifacts.write_text(out, templates.render("mixture.html", title=TITLE, lead=LEAD, body=section, made=made))


def body(study: Study, network: Path | str | None = None) -> Markup:
    """The section of the report: its anchor is "mixture", its title ``TITLE``; ``network`` is the folder of the
    bridge."""
    return templates.render("body.html", parts=[Markup("{}").format(LEAD), *parts(study, network)])


def parts(study: Study, network: Path | str | None = None) -> list[Figure | Table | Markup]:
    """Figures, tables and paragraphs in the order of the page."""
    return [
        confidence(study),
        entropy(study),
        *ends(study),
        *fields(study),
        splitting(study),
        thresholds(study),
        plane(study),
        neighbours(study),
        convergence(study),
        orders(study),
        *(bridge.parts(bridge.read(network)) if network else ()),
    ]


def confidence(study: Study) -> Figure:
    """Mean confidence and the share of paths that gain, against eta."""
    table = study.tables["guidance"]
    drawn: list[Panel] = []
    for case, rows in table.groupby("case", sort=False):
        with panel(f"confidence-{case}", f"Confidence against guidance strength, case {case}", drawn) as axes:
            _lines(axes, rows, "confidence", "confidence_error")
            axes.set(title=f"{case}: confidence", ylabel="mean P(y|x)")
    with panel("gaining", "Share of paths that gain confidence against guidance strength", drawn) as axes:
        for i, ((case, sampler), rows) in enumerate(table[table["eta"] > 0].groupby(["case", "sampler"], sort=False)):
            _, _, mark, line = SAMPLERS[str(sampler)]
            _band(axes, rows, "gaining", "gaining_error", LINES[i % len(LINES)], mark, line, f"{case}, {sampler}")
        _strengths(axes)
        axes.set(title="Paths that gain", ylabel="share of paths", ylim=(None, 1.02))
    held = table.groupby("case", sort=False)["inner_product"].first()
    said = "; ".join(f"{case}: {value:.2f}" for case, value in held.items())
    caption = Markup(
        "<strong>Guidance raises confidence.</strong> Each path is run at every strength from the same start with the "
        "same noise. The mean probability of the class asked for rises with η for both samplers. Path by path it must "
        "rise where ⟨μ<sub>y</sub> − μ<sub>a</sub>, μ<sub>y</sub> − μ<sub>b</sub>⟩ ≥ 0 for all other components a, b; "
        "the least cosine here is {}. Where it is negative, noise can carry a path to the other side: under DDPM some "
        "lose. Bands are two standard errors."
    ).format(said)
    return Figure("mixture-confidence", drawn, caption)


def entropy(study: Study) -> Figure:
    """Differential entropy against eta: exact for the ODE, nearest neighbours for both."""
    drawn: list[Panel] = []
    for case, rows in study.tables["guidance"].groupby("case", sort=False):
        with panel(f"entropy-{case}", f"Differential entropy against guidance strength, case {case}", drawn) as axes:
            _lines(axes, rows, "entropy_knn", "entropy_knn_error")
            exact = rows[rows["sampler"] == "ddim"]
            axes.plot(exact["eta"], exact["entropy"], "x", color=INK, markersize=9, label="DDIM, exact identity")
            axes.set(title=f"{case}: entropy", ylabel="nats")
            axes.legend()
    caption = (
        "<strong>Guidance lowers diversity.</strong> Differential entropy of the samples, by the distance to the k-th "
        "neighbour (Kozachenko and Leonenko), and for DDIM by an exact identity: what it loses is η times the "
        "integral, along the path, of the posterior's spread of the noisy means. DDPM loses less at equal η: its "
        "noise opens again what guidance closes."
    )
    return Figure("mixture-entropy", drawn, Markup(caption))


def ends(study: Study) -> list[Figure]:
    """Where the paths end: clouds in the plane, histograms on the line."""
    figures = []
    settings = study.made.settings["cases"]
    for case, values in settings.items():
        drawn: list[Panel] = []
        etas = values["etas"]
        shown = sorted({0, len(etas) // 2, len(etas) - 1})
        for sampler in SAMPLERS:
            points = study.arrays[f"ends {case} {sampler}"]
            if points.shape[2] == 1:
                with panel(f"ends-{case}-{sampler}", f"Histograms of {case} by {sampler}", drawn) as axes:
                    _histograms(axes, {f"η = {etas[i]:g}": points[i, :, 0] for i in shown})
                    axes.set(title=f"{case}, {sampler.upper()}")
            for i in shown if points.shape[2] == 2 else ():
                alt = f"Ends of paths of {case} by {sampler} at strength {etas[i]:g}"
                with panel(f"ends-{case}-{sampler}-{i}", alt, drawn, width=330, height=300) as axes:
                    _cloud(axes, points[i], SAMPLERS[sampler][1], 5.5)
                    means = np.array(values["law"]["means"])
                    axes.plot(*means.T, "+", color=INK, markersize=10)
                    axes.set(title=f"{sampler.upper()}, η = {etas[i]:g}")
        moved = (
            "Crosses are the components' means. Guidance moves samples away from the other "
            "classes, beyond the mean of their own"
        )
        flat = "Densities of the ends, one outline a strength. Guidance narrows what lies between competitors"
        said = "<strong>Where the paths of “{}” end.</strong> {}; DDIM squeezes them, DDPM keeps them wider."
        caption = Markup(said).format(case, moved if points.shape[2] == 2 else flat)
        if drawn:
            figures.append(Figure(f"mixture-ends-{case}", drawn, caption, narrow=len(drawn) > 2))
    return figures


def fields(study: Study) -> list[Figure]:
    """The score as arrows, without and with guidance."""
    figures = []
    for name in (key.removeprefix("grid ") for key in study.arrays if key.startswith("grid ")):
        drawn: list[Panel] = []
        grid = study.arrays[f"grid {name}"]
        strengths = (0.0, 1.0, study.made.settings["cases"][name]["etas"][-1])
        for eta, arrows in zip(strengths, study.arrays[f"field {name}"], strict=True):
            length = np.linalg.norm(arrows, axis=1, keepdims=True)
            with panel(f"field-{name}-{eta:g}", f"Score at strength {eta:g}", drawn, width=330, height=300) as axes:
                axes.quiver(*grid.T, *(arrows / np.sqrt(length)).T, color=GUIDED, angles="xy", width=0.004)
                axes.plot(
                    *np.array(study.made.settings["cases"][name]["law"]["means"]).T, "+", color=INK, markersize=10
                )
                axes.set(title=f"η = {eta:g}", aspect="equal")
        caption = Markup(
            "<strong>The vector field of “{}”</strong> at time 0.5: the direction the score pushes to (length is its "
            "square root). Guidance adds a push away from the other components that fades where the class is already "
            "sure."
        ).format(name)
        figures.append(Figure(f"mixture-field-{name}", drawn, caption, narrow=True))
    return figures


def splitting(study: Study) -> Figure:
    """Histograms of the centre component under coarse steps."""
    drawn: list[Panel] = []
    for (sampler, step), rows in study.tables["splitting"].groupby(["sampler", "step"], sort=False):
        alt = f"Histograms of {sampler} with step {step} at several strengths"
        with panel(f"splitting-{sampler}-{step}", alt, drawn) as axes:
            clouds = {f"η = {eta:g}": study.arrays[f"splitting {sampler} {step} {eta}"] for eta in rows["eta"]}
            _histograms(axes, clouds)
            axes.set(title=f"{str(sampler).upper()}, step {step:g}")
    caption = (
        "<strong>The phase shift.</strong> Three aligned means −μ, 0, μ; the class asked for is the centre. In coarse "
        "steps strong guidance overshoots: the centre begins to repel and the component splits in two. Smaller steps "
        "need stronger guidance. DDIM first collapses to a point, so the split shows only once the repulsion has had "
        "time to grow."
    )
    return Figure("mixture-splitting", drawn, Markup(caption))


def thresholds(study: Study) -> Table:
    """Predicted and measured thresholds of the splitting."""
    rows = tuple(
        (str(r.sampler).upper(), f"{r.step:g}", f"{r.centre_repels:.1f}", f"{r.splits:.1f}")
        for r in study.tables["thresholds"].itertuples()
    )
    caption = (
        "η at which the centre begins to repel (linear theory), and at which half of the density has left it (measured)"
    )
    return _table("mixture-thresholds", caption, ("sampler", "step", "repels", "splits"), rows)


def plane(study: Study) -> Figure:
    """Kinds of guidance in the plane."""
    drawn: list[Panel] = []
    rows = study.tables["neighbours"]
    rows = rows[rows["study"] == "plane"].set_index(["method", "measure"])["value"]
    for key in (k for k in study.arrays if k.startswith("plane ")):
        name = key.removeprefix("plane ")
        with panel(f"plane-{len(drawn)}", f"Samples in the plane: {name}", drawn, width=330, height=300) as axes:
            _cloud(axes, study.arrays[key], GUIDED, None)
            axes.set(title=f"{name}: {100 * rows[name, 'outliers']:.0f}% out, {rows[name, 'lost modes']:.0f} lost")
            axes.set(xlim=(-1.2, 2.4), ylim=(-0.9, 2.6))
    caption = (
        "<strong>Outliers against lost modes.</strong> The class is a branching curve; the model is a blurred version "
        "of it, so its plain samples stray (outliers: less likely than 99% of exact draws). Classifier-free guidance "
        "pushes away from the other class and loses branches; in a limited interval of noise it does so less; "
        "autoguidance by a still more blurred model removes the outliers and keeps the branches."
    )
    return Figure("mixture-plane", drawn, Markup(caption), narrow=True)


def neighbours(study: Study) -> Table:
    """Numbers of the neighbouring papers."""
    rows = tuple(
        (
            str(r.study),
            str(r.method),
            f"{r.strength:g}",
            str(r.measure),
            f"{r.value:.3f}" + ("" if np.isnan(r.error) or r.error == 0 else f" ± {r.error:.3f}"),
            "" if np.isnan(r.predicted) else f"{r.predicted:.3f}",
        )
        for r in study.tables["neighbours"].itertuples()
    )
    return _table(
        "mixture-neighbours",
        "Neighbouring results, measured with one standard error, beside the formula where there is one",
        ("study", "method", "strength", "measure", "measured", "formula"),
        rows,
    )


def convergence(study: Study) -> Figure:
    """Distance to the exact law against steps, by dimension."""
    drawn: list[Panel] = []
    for dim, rows in study.tables["convergence"].groupby("dim"):
        with panel(f"convergence-{dim}", f"Distance to the exact law against steps in {dim} dimensions", drawn) as axes:
            chance, spread = rows["chance"].iloc[0], rows["chance_spread"].iloc[0]
            axes.axhspan(
                max(chance - 3 * spread, chance / 3), chance + 3 * spread, color=FAINT, alpha=0.4, label="chance"
            )
            for i, (sampler, one) in enumerate(rows.groupby("sampler", sort=False)):
                colour, line = (*LINES, INK)[i % 7], ("-", "--")[i % 2]
                axes.plot(one["steps"], one["distance"], line, color=colour, marker="osD^vx*"[i % 7], label=sampler)
            axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="sliced Wasserstein", title=f"{dim} dimensions")
            log_axis(axes.xaxis, sorted(set(rows["steps"])))
            log_axis(axes.yaxis)
            axes.legend(ncols=2)
    caption = (
        "<strong>Every sampler against the exact law</strong> of one class of a random mixture. The band is where as "
        "many exact draws fall by chance. The ascent estimates its own noise level from the residual and does not "
        "converge to the law."
    )
    return Figure("mixture-convergence", drawn, Markup(caption))


def orders(study: Study) -> Table:
    """Order of convergence in the number of steps."""
    rows = tuple(
        (str(r.sampler), str(r.dim), "" if np.isnan(r.order) else f"{r.order:.2f}", f"{r.from_steps} to {r.to_steps}")
        for r in study.tables["orders"].itertuples()
    )
    columns = ("sampler", "dimensions", "order", "steps used")
    return _table("mixture-orders", "Order of convergence in the number of steps", columns, rows)


def standalone(markup: Markup) -> str:
    """A picture of the page as an SVG file of its own, in the page's light colours."""
    light = re.search(r":root \{(.*?)\}", templates.style(), flags=re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w+);", light[1])) if light else {}
    text = re.sub(r"var\(--(\w+)\)", lambda match: colours.get(match[1], "#000000"), str(markup))
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return text.replace("<svg ", f"<svg {spaces} ", 1) + "\n"


def _table(name: str, caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table: the first cell of a row is its heading."""
    body = [Row(first, "", [Cell(text) for text in rest]) for first, *rest in rows]
    return Table(name, caption, columns[1:], [Group("", body)], first=columns[0])


def _lines(axes: Axes, rows: pd.DataFrame, value: str, error: str) -> None:
    for sampler, one in rows.groupby("sampler", sort=False):
        label, colour, mark, line = SAMPLERS[str(sampler)]
        _band(axes, one, value, error, colour, mark, line, label)
    _strengths(axes)


def _band(
    axes: Axes, rows: pd.DataFrame, value: str, error: str, colour: str, mark: str, line: str, label: str
) -> None:
    middle, spread = rows[value], 2 * rows[error]
    axes.plot(rows["eta"], middle, line, color=colour, marker=mark, label=label)
    axes.fill_between(rows["eta"], middle - spread, middle + spread, color=colour, alpha=0.25, linewidth=0)


def _strengths(axes: Axes) -> None:
    axes.set_xlabel("guidance strength η")
    axes.legend()


def _histograms(axes: Axes, clouds: Mapping[str, np.ndarray]) -> None:
    """Outlines of densities on one range."""
    reach = max(float(np.abs(points).max()) for points in clouds.values())
    for colour, (name, points) in zip(LINES, clouds.items(), strict=False):
        axes.hist(
            points, bins=121, range=(-reach, reach), density=True, histtype="step", color=colour, label=name, lw=1.6
        )
    axes.set(yscale="log", xlabel="x", ylabel="density")
    log_axis(axes.yaxis)
    axes.legend(loc="upper right")


def _cloud(axes: Axes, points: np.ndarray, colour: str, reach: float | None) -> None:
    """Points as dots; the path of one dot is written once."""
    axes.plot(*points[:DOTS].T, ".", color=colour, markersize=2.5, alpha=0.4)
    axes.set_aspect("equal")
    if reach:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
