"""The report's section on training: curves over the images seen, and a film of samples as the networks learned."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import LogLocator

from featdiff.reporting.curves import COLOURS
from featdiff.reporting.drawing import LINES, Figure, Panel, log_axis, panel, picture
from featdiff.training.progress import Record
from featdiff.training.record import TrainingRecord

ANCHOR, TITLE = "training", "How it learned"
SMALL = {"width": 390, "height": 270}
PSNR, LOSS, RATE = "psnr", "loss", "learning_rate"
KNOWN = (PSNR, LOSS, RATE, "step", "images")
STYLES = ("-", "--", ":", "-.")
BYTES = 2_000_000  # of all frames before compression
FRAME = 96  # a frame is enlarged to about so many CSS pixels


class Shown(NamedTuple):
    """One training: its colour variable, what the page calls it, and its record."""

    colour: str
    title: str
    record: TrainingRecord


def figures(trainings: Sequence[Shown]) -> list[Figure]:
    """A film of each training that left previews, and curves; none where no training left a record."""
    kept = [shown for shown in trainings if shown.record.stats]
    return [_film(shown) for shown in kept if shown.record.previews] + ([_curves(kept)] if kept else [])


def words(trainings: Sequence[Shown]) -> Markup:
    """What to say of trainings whose record is empty."""
    lost = [shown.title for shown in trainings if not shown.record.stats]
    if not lost:
        return Markup()
    told = "no record of the training is here: it was made elsewhere, or by an earlier version."
    return Markup('<p class="lead">{}: {}</p>').format(", ".join(lost), told)


def _curves(trainings: Sequence[Shown]) -> Figure:
    parts: list[Panel] = []
    with panel("learned-loss", "Training loss against images seen", parts, **SMALL) as axes:
        for shown in trainings:
            axes.plot(*_curve(shown.record.stats, LOSS), color=COLOURS[shown.colour], lw=1.4, label=shown.title)
        axes.set(title="Training loss", xlabel="training images seen")
        low, high = axes.get_ylim()
        if high > 4 * low > 0:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            log_axis(axes.yaxis)
        axes.legend()
    psnr = _of_chart(trainings, PSNR)
    if psnr:
        with panel("learned-psnr", "PSNR of test images against images seen", parts, **SMALL) as axes:
            for shown in trainings:
                for i, name in enumerate(psnr):
                    label = f"{shown.title}, {_level(shown, name)}"
                    style: Any = {"ls": STYLES[i % len(STYLES)], "marker": "o", "ms": 3, "lw": 1.4}
                    axes.plot(*_curve(shown.record.stats, name), color=COLOURS[shown.colour], label=label, **style)
            axes.set(title="Denoising by the averaged weights", xlabel="training images seen", ylabel="PSNR (dB)")
            axes.legend(fontsize=9.5, ncols=2)
    with panel("learned-rate", "Learning rate against images seen", parts, **SMALL) as axes:
        for shown in trainings:
            axes.plot(*_curve(shown.record.stats, RATE), color=COLOURS[shown.colour], lw=1.4, label=shown.title)
        axes.set(title="Learning rate", xlabel="training images seen")
        axes.legend()
    for chart in _other_charts(trainings):
        parts += _chart(chart, trainings)
    caption = Markup(
        "<strong>How the networks learned.</strong> Against the training images seen: the mean loss since the point "
        "before (the losses of the two models are not of one kind); the PSNR of a few test images, "
        "cleaned from three {levels} by the averaged weights of that moment; the learning rate. How many images a "
        "second there were is the machine's and stands in results/logs/train, beside the same curves."
    ).format(levels="levels of the corruption" if trainings[0].record.run.get("corruption") else "noise levels")
    return Figure("learned", parts, caption)


def _chart(chart: str, trainings: Sequence[Shown]) -> list[Panel]:
    """A panel of numbers that other looks at a training have left."""
    parts: list[Panel] = []
    title = chart.replace("_", " ")
    with panel(f"learned-{chart}", f"{title} against images seen", parts, **SMALL) as axes:
        for j, shown in enumerate(trainings):
            for i, name in enumerate(_of_chart([shown], chart)):
                label = ", ".join([shown.title, *filter(None, [name.partition("/")[2]])])
                axes.plot(*_curve(shown.record.stats, name), color=LINES[i % len(LINES)], ls=STYLES[j], label=label)
        axes.set(title=title, xlabel="training images seen")
        if len(axes.lines) < 9:
            axes.legend(fontsize=9.5)
    return parts


def _film(shown: Shown) -> Figure:
    """Frames of each class in a row, which goes sideways; fewer frames and classes where they are large."""
    record, names = shown.record, [str(name) for name in shown.record.run["rows"]]
    size = next(iter(record.previews.values())).nbytes // len(names)
    rows = _some(range(len(names)), max(1, BYTES // (2 * size)))
    seen = _some(record.previews, max(2, BYTES // (len(rows) * size)))
    panels = [Panel(_strip(record, row, seen, names[row]), names[row]) for row in rows]
    caption = Markup(
        "<strong>{title}: the same images as it learned.</strong> Samples by the averaged weights after so many "
        "training images, always from the same noise{told}, in {steps} steps: quicker and rougher than the samples "
        "above. A row goes sideways; a click enlarges a frame."
    ).format(
        title=shown.title[:1].upper() + shown.title[1:],
        told=", told the mean features of a few training images" if names != ["no class"] else "",
        steps="ten",
    )
    return Figure(f"film-{shown.colour}", panels, caption, films=True)


def _strip(record: TrainingRecord, row: int, seen: Sequence[int], name: str) -> Markup:
    frames = []
    for images in seen:
        sheet = record.previews[images]
        height = sheet.shape[0] // len(record.run["rows"])
        frame = _folded(sheet[row * height : (row + 1) * height], height)
        alt = f"{name} after {images} training images"
        shown = picture(frame, alt, scale=max(1, FRAME // frame.shape[1]))
        frames.append(Markup('<div class="frame">{}<small>{:,}</small></div>').format(shown, images))
    label = escape(f"{name}: samples as the training went on")
    return Markup('<div class="film" role="region" tabindex="0" aria-label="{}">{}</div>').format(
        label, Markup().join(frames)
    )


def _folded(row: np.ndarray, side: int) -> np.ndarray:
    """A row of images (H, N W, C) as a block of two rows, with a pixel between."""
    images = [row[:, x : x + side] for x in range(0, row.shape[1], side)]
    columns = -(-len(images) // 2)
    block = np.zeros((2 * side + 1, columns * (side + 1) - 1, 4), np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (side + 1), (i % columns) * (side + 1)
        block[y : y + side, x : x + side, :3] = image
        block[y : y + side, x : x + side, 3] = 255
    return block


def _some(found: Iterable[int], count: int) -> list[int]:
    """At most so many, evenly spaced, the last one among them."""
    every = list(found)
    places = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
    return [every[i] for i in places]


def _curve(stats: Sequence[Record], name: str) -> tuple[list[float], list[float]]:
    rows = [record for record in stats if name in record]
    return [record["images"] for record in rows], [record[name] for record in rows]


def _of_chart(trainings: Sequence[Shown], chart: str) -> list[str]:
    """The names of a chart's curves, in their first order."""
    names = dict.fromkeys(name for shown in trainings for record in shown.record.stats for name in record)
    return [name for name in names if name.partition("/")[0] == chart]


def _other_charts(trainings: Sequence[Shown]) -> list[str]:
    names = dict.fromkeys(name for shown in trainings for record in shown.record.stats for name in record)
    return list(dict.fromkeys(chart for name in names if (chart := name.partition("/")[0]) not in KNOWN))


def _level(shown: Shown, name: str) -> str:
    corrupted: Mapping[str, object] = shown.record.run
    return f"{'t' if corrupted.get('corruption') else 'σ'} = {name.partition('/')[2]}"
