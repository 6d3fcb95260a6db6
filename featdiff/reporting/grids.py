"""Grids of images: for each class guided samples, real test images and unconditional samples of the mixture model."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from featdiff.data.archive import ImageArchive
from featdiff.reporting import neighbours
from featdiff.reporting.drawing import Figure, Panel, picture

SHOWN_CLASSES = 12  # classes with pictures on the open page; the others' are folded
BYTES = 2_500_000  # of all open grids before compression
FOLDED = 8_000_000  # of all folded ones
SIDE = 330  # widest grid, in CSS pixels
COLUMNS = 6
NEAR = 2  # nearest training images that are shown of each sample


@dataclass(frozen=True)
class Samples:
    """The figure of the classes on the open page, and of those that are folded, if there are more."""

    shown: Figure
    folded: Figure | None
    count: int  # folded classes


def shown_labels(classes: int) -> list[int]:
    """The labels that have pictures on the open page: all, or evenly spaced ones."""
    return sorted({round(i) for i in np.linspace(0, classes - 1, min(classes, SHOWN_CLASSES))})


def sample_grids(data: ImageArchive, guided: ImageArchive, baseline: ImageArchive, *, images: int) -> Samples:
    """Rows of three grids, one row a class; ``images`` in each grid at most, fewer where the page would grow too
    big."""
    training = data.select(split="train")
    labels = shown_labels(len(data.classes))
    pages = _Pages(data, training, guided, baseline)
    each = _afford(images, BYTES, data, labels, copies=3 + 2 * (1 + NEAR))
    shown = Figure("samples", list(pages.panels(labels, each)), _caption(pages, each, labels))
    rest = [label for label in range(len(data.classes)) if label not in labels]
    if not rest:
        return Samples(shown, None, 0)
    few = _afford(images, FOLDED, data, rest, copies=3 + NEAR)
    caption = Markup(
        "<strong>The other classes.</strong> For each class the first {} guided samples, with their nearest training "
        "images a click away, and real test images."
    ).format(few)
    panels = list(pages.panels(rest, few, mixture=False))
    return Samples(shown, Figure("more-samples", panels, caption), len(rest))


def _afford(images: int, size: int, data: ImageArchive, labels: list[int], *, copies: int) -> int:
    """How many images a grid may have; an image of a grid is there ``copies`` times a class."""
    return max(1, min(images, size // (copies * len(labels) * int(np.prod(data.images.shape[1:])))))


@dataclass(frozen=True)
class _Pages:
    """The images that grids are made of."""

    data: ImageArchive
    training: ImageArchive
    guided: ImageArchive
    baseline: ImageArchive

    def panels(self, labels: list[int], images: int, *, mixture: bool = True) -> Iterator[Panel]:
        """For each class its grids in a row."""
        real = self.data.rows_by_label("test")
        drawn = self.guided.rows_by_label()
        for row, label in enumerate(labels):
            name = self.data.classes[label]
            samples = np.asarray(self.guided.images[drawn.get(label, np.arange(0))[:images]])
            yield self._panel("guided", f"{name}, guided", samples)
            yield self._panel("real", f"{name}, real test images", self._real(real.get(label, np.arange(0)), images))
            if mixture:
                mixed = np.roll(np.asarray(self.baseline.images), -row * images, axis=0)[:images]
                yield self._panel("mixture", "no class, mixture model", mixed)

    def _real(self, rows: np.ndarray, images: int) -> np.ndarray:
        return np.asarray(self.data.images[spread_out(rows, images)])

    def _panel(self, kind: str, title: str, found: np.ndarray) -> Panel:
        if not len(found):
            return Panel(Markup("<p>No images.</p>"), title)
        sheet, scale = grid(found)
        body = picture(sheet, f"{len(found)} images: {title}", scale=scale)
        markup = Markup('<div class="grid {}">{}</div>').format(kind, body)
        return Panel(markup if kind == "real" else markup + self._near(title, found), title)

    def _near(self, title: str, found: np.ndarray) -> Markup:
        """The samples again, each with the nearest training images below it, folded."""
        if not len(self.training.images):
            return Markup()
        near = neighbours.nearest(found, self.training.images, NEAR)
        sheet, scale = grid(neighbours.under(found, self.training.images, near))
        alt = f"{len(found)} images, {title}: each with its nearest training images below"
        return Markup('<details class="near"><summary>Nearest real images</summary>{}</details>').format(
            picture(sheet, alt, scale=scale)
        )


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


def _caption(pages: _Pages, images: int, labels: list[int]) -> Markup:
    data, guided, baseline = pages.data, pages.guided, pages.baseline
    height, width = data.images.shape[1:3]
    few = "" if len(labels) == len(data.classes) else f" {len(labels)} of {len(data.classes)} classes are shown here."
    text = (
        "<strong>Samples beside the real thing.</strong> Three grids for each class. First: the first {images} of "
        "{guided} images that the guided model drew when it was asked for this class, by matching the class's mean "
        "feature vector. Second: real test images, never seen in training. Third: images of the mixture model, the "
        "same network trained without features; it cannot be asked for a class, so every class shows the next "
        "{images} of its {baseline} images, whatever they are. Nothing was chosen by eye. Images are {width}x{height} "
        "pixels, enlarged without smoothing; a click enlarges a grid.{few} <em>Nearest real images</em> shows below "
        "each sample the {near} training images of any class that differ least from it in their pixels, mirrored or "
        "not: a copy would stand out."
    )
    per_class = max((int((guided.labels == label).sum()) for label in labels), default=0)
    return Markup(text).format(
        images=images, guided=per_class, baseline=len(baseline.images), width=width, height=height, few=few, near=NEAR
    )
