"""Images between two classes: a strip of them, and how far they are from each class, share by share."""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from featdiff import artifacts
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.reporting import templates
from featdiff.reporting.drawing import LINES, Figure, Panel, panel, picture, short
from featdiff.reporting.page import Section
from featdiff.reporting.tables import Cell, Group, Row, Table, number
from featdiff.settings.sampling import BetweenSpec

SHOWN = 6  # images of the strip, a row each
SIDE = 900  # CSS pixels of the strip, at most
MARKS = "os"


def section(images: Path, measures: Path) -> Section:
    """The part of the page for one line between two classes."""
    drawn = archive.read(images, "between")
    found, made = artifacts.read_json(measures, "between-measures")
    if made.inputs["images"] != artifacts.sha256_file(images):
        raise UserError(f"{measures}: these are measures of other images than {images}; make them again")
    between = BetweenSpec.model_validate(drawn.made.settings).between
    parts: list[Any] = [
        _strip(
            np.asarray(drawn.images).reshape(len(between.shares), between.images, *drawn.images.shape[1:]),
            between.shares,
            found,
        )
    ]
    parts += [_curves(found), _numbers(found)]
    name = f"between-{found['first']}-{found['second']}"
    return Section(
        _anchor(name), f"From {found['first']} to {found['second']}", templates.render("body.html", parts=parts)
    )


def sheet(images: np.ndarray, shown: int = SHOWN) -> np.ndarray:
    """The first images (S, N, H, W, C) side by side, a row an image and a column a share: (H', W', C + alpha) uint8."""
    shares, _, height, width, channels = images.shape
    rows = min(shown, images.shape[1])
    made = np.zeros((rows * (height + 1) - 1, shares * (width + 1) - 1, 4), np.uint8)
    for column in range(shares):
        for row in range(rows):
            y, x = row * (height + 1), column * (width + 1)
            made[y : y + height, x : x + width, :3] = (
                images[column, row] if channels == 3 else images[column, row, :, :, :1]
            )
            made[y : y + height, x : x + width, 3] = 255
    return made


def _strip(images: np.ndarray, shares: tuple[float, ...], found: dict[str, Any]) -> Figure:
    pixels = sheet(images)
    alt = f"Images from {found['first']} to {found['second']}, a column a share, a row a noise"
    markup = Markup('<div class="grid">{}</div>').format(picture(pixels, alt, scale=max(1, SIDE // pixels.shape[1])))
    caption = Markup(
        "<strong>What lies between two classes?</strong> Columns, from the left: a = {shares}. The network is asked "
        "for (1 − a) times the centroid of {first} plus a times that of {second}; below 0 and above 1 the line leaves "
        "the classes. A row starts from one noise and meets the same noise everywhere, so only the centroid changes "
        "along it. The first {rows} of {count} noises; nothing was chosen by eye."
    ).format(
        shares=", ".join(number(a, 2).rstrip("0").rstrip(".") for a in shares),
        first=found["first"],
        second=found["second"],
        rows=min(SHOWN, images.shape[1]),
        count=images.shape[1],
    )
    return Figure(_anchor(f"strip-{found['first']}-{found['second']}"), [Panel(markup)], caption)


def _curves(found: dict[str, Any]) -> Figure:
    parts: list[Panel] = []
    name = _anchor(f"{found['first']}-{found['second']}")
    with panel(f"between-frechet-{name}", f"{found['distance']} to each class along the line", parts) as axes:
        _lines(axes, found, "frechet", "spread")
        for i, label in enumerate((found["first"], found["second"])):
            axes.axhline(_real(found, label)["frechet"], linestyle=":", color=LINES[i], linewidth=1.2)
        axes.set(title="Distance to each class", xlabel="a", ylabel=found["distance"], ylim=(0, None))
        axes.legend()
    with panel(f"between-taken-{name}", "Probability of each class along the line", parts) as axes:
        _lines(axes, found, "probability", None)
        axes.set(title="What the judge takes them for", xlabel="a", ylabel="mean probability", ylim=(-0.02, 1.02))
        axes.legend()
    caption = Markup(
        "<strong>How far from each class?</strong> {} to training images of each class ({} a side; bars: standard "
        "deviation over repeated draws; dotted: what the class's own real test images get), and the mean probability "
        "that a judge, trained on real images of all classes, gives to each of the two."
    ).format(found["distance"], found["rows"][0]["count"])
    return Figure(f"between-{name}-curves", parts, caption)


def _lines(axes: Axes, found: dict[str, Any], value: str, spread: str | None) -> None:
    for i, label in enumerate((found["first"], found["second"])):
        rows = [row for row in found["rows"] if row["class"] == label and row["share"] is not None]
        errors = [row[spread] for row in rows] if spread else None
        axes.errorbar(
            [row["share"] for row in rows],
            [row[value] for row in rows],
            yerr=errors,
            color=LINES[i],
            marker=MARKS[i],
            label=short(label),
            linewidth=1.6,
        )
    axes.axvspan(0, 1, color=LINES[2], alpha=0.08, linewidth=0)


def _real(found: dict[str, Any], label: str) -> dict[str, Any]:
    return next(row for row in found["rows"] if row["images"] == row["class"] == label)


def _numbers(found: dict[str, Any]) -> Table:
    names = (found["first"], found["second"])
    by_place: dict[tuple[str, float | None], dict[str, Any]] = {}
    for row in found["rows"]:
        by_place.setdefault((row["images"], row["share"]), {})[row["class"]] = row
    groups: dict[str, list[Row]] = {"": [], "Real test images": []}
    for (images, share), rows in by_place.items():
        cells = [Cell(number(rows[n]["frechet"], 1), f"± {rows[n]['spread']:.1f}") for n in names]
        cells += [Cell(number(rows[n]["probability"], 3)) for n in names]
        groups["Real test images" if share is None else ""].append(
            Row(images if share is None else number(share, 2), "", cells)
        )
    columns = [f"{found['distance']} to {n}" for n in names] + [f"probability of {n}" for n in names]
    caption = f"Along the line from {names[0]} (a = 0) to {names[1]} (a = 1)."
    body_groups = [Group(heading, rows) for heading, rows in groups.items()]
    notes = [f"Protocol: {found['protocol']}."]
    return Table(_anchor(f"between-{names[0]}-{names[1]}-numbers"), caption, columns, body_groups, notes, first="a")


def _anchor(name: str) -> str:
    """A name that may stand in an identifier of the page, whatever the classes are called."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else f"-{ord(c):x}" for c in name)
