"""Grids of images: for each class guided samples, real test images and unconditional samples of the mixture model."""

import numpy as np
from markupsafe import Markup

from featdiff.data.archive import ImageArchive
from featdiff.reporting.drawing import Figure, Panel, picture

SHOWN_CLASSES = 12  # classes with pictures; tables and curves have all
BYTES = 2_500_000  # of all grids before compression
SIDE = 330  # widest grid, in CSS pixels
COLUMNS = 6


def shown_labels(classes: int) -> list[int]:
    """The labels that have pictures: all, or evenly spaced ones."""
    return sorted({round(i) for i in np.linspace(0, classes - 1, min(classes, SHOWN_CLASSES))})


def sample_grids(data: ImageArchive, guided: ImageArchive, baseline: ImageArchive, *, images: int) -> Figure:
    """Rows of three grids, one row a class; ``images`` in each grid at most, fewer where the page would grow too
    big."""
    labels = shown_labels(len(data.classes))
    images = max(1, min(images, BYTES // (3 * len(labels) * int(np.prod(data.images.shape[1:])))))
    panels = []
    for row, label in enumerate(labels):
        name = data.classes[label]
        real = np.asarray(data.select(split="test", label=label).images)
        mixed = np.roll(np.asarray(baseline.images), -row * images, axis=0)
        for kind, title, found in (
            ("guided", f"{name}, guided", guided.select(label=label).images),
            ("real", f"{name}, real test images", spread_out(real, images)),
            ("mixture", "no class, mixture model", mixed),
        ):
            panels.append(_panel(kind, title, found[:images]))
    return Figure("samples", panels, _caption(data, guided, baseline, images, labels))


def spread_out(found: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` images, evenly spaced over all: neighbouring patches of a photograph look alike."""
    return found[np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)] if len(found) else found


def grid(found: np.ndarray) -> tuple[np.ndarray, int]:
    """Images (N, H, W, C) side by side with one pixel between, (H', W', C + alpha), and how often to enlarge them."""
    n, height, width, channels = found.shape
    columns = max(1, min(COLUMNS, n, SIDE // (width + 1)))
    rows = -(-n // columns)
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for i, image in enumerate(found):
        y, x = (i // columns) * (height + 1), (i % columns) * (width + 1)
        sheet[y : y + height, x : x + width, :3] = image if channels == 3 else image[..., :1]
        sheet[y : y + height, x : x + width, 3] = 255
    return sheet, max(1, SIDE // sheet.shape[1])


def _panel(kind: str, title: str, found: np.ndarray) -> Panel:
    if not len(found):
        return Panel(Markup("<p>No images.</p>"), title)
    sheet, scale = grid(found)
    body = picture(sheet, f"{len(found)} images: {title}", scale=scale)
    return Panel(Markup('<div class="grid {}">{}</div>').format(kind, body), title)


def _caption(
    data: ImageArchive, guided: ImageArchive, baseline: ImageArchive, images: int, labels: list[int]
) -> Markup:
    height, width = data.images.shape[1:3]
    few = "" if len(labels) == len(data.classes) else f" {len(labels)} of {len(data.classes)} classes are shown."
    text = (
        "<strong>Samples beside the real thing.</strong> Three grids for each class. First: the first {images} of "
        "{guided} images that the guided model drew when it was asked for this class, by matching the class's mean "
        "feature vector. Second: real test images, never seen in training. Third: images of the mixture model, the "
        "same network trained without features; it cannot be asked for a class, so every class shows the next "
        "{images} of its {baseline} images, whatever they are. Nothing was chosen by eye. Images are {width}x{height} "
        "pixels, enlarged without smoothing.{few}"
    )
    per_class = max((int((guided.labels == label).sum()) for label in labels), default=0)
    return Markup(text).format(
        images=images, guided=per_class, baseline=len(baseline.images), width=width, height=height, few=few
    )
