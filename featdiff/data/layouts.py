"""How an image is cut: where its training and test patches lie, or one centred crop.

**The fair split of a photograph.** One strip for testing would measure another lighting and another perspective than
the training patches have. Instead up to three square-ish blocks are spread over the photograph, in three row bands and
three column bands, so that each third of it, in both directions, is tested:

    . . T       the blocks cover ``test_fraction`` of the photograph and touch its border, where they take the fewest
    T . .       positions from the training patches. Blocks narrower than 2.5 patches would hold too few of them: then
    . T .       two blocks (opposite corners), then one corner.

Test patches lie inside a block, evenly spread and at most ``test_stride`` apart. Training patches are those on a grid
of step ``stride`` that touch no block. After scaling by Lanczos (support of 3 output pixels to each side) ``GAP`` more
pixels are left free around the blocks, so that not even a pixel of the unscaled photograph takes part in both.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from featdiff.data.listing import BadImage
from featdiff.kinds.layouts import CropLayout, PatchLayout

GAP = 5  # scaled pixels i and j >= i + 6 have disjoint Lanczos windows: 5 pixels between train and test
SPREADS = (
    (3, 2.5, (2, 0, 1)),
    (2, 1.5, (0, 1)),
    (1, 1.0, (0,)),
)  # blocks, smallest side in patches, column band by row


class Block(NamedTuple):
    """A rectangle of the scaled photograph."""

    top: int
    left: int
    height: int
    width: int


class Positions(NamedTuple):
    """Upper left corners (row, column) of the patches, int64 arrays (n, 2), in reading order."""

    train: np.ndarray
    test: np.ndarray


class Laid(NamedTuple):
    """An image as it was laid out: its pixels, (H, W, C) uint8, where in the resized image they start, and its patches,
    if it has any."""

    pixels: np.ndarray
    row: int = 0
    column: int = 0
    corners: Positions | None = None


def patches(image: Image.Image, layout: PatchLayout, test_fraction: float) -> Laid:
    """The scaled photograph and where its patches lie."""
    pixels = scale(image, layout)
    height, width = pixels.shape[:2]
    return Laid(pixels, corners=patch_positions(height, width, layout, test_fraction))


def scale(image: Image.Image, layout: PatchLayout) -> np.ndarray:
    """The photograph at the layout's scale, (H, W, C) uint8."""
    if layout.scale < 1:
        size = (max(1, round(image.width * layout.scale)), max(1, round(image.height * layout.scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    return as_array(image)


def centre_crop(image: Image.Image, layout: CropLayout) -> tuple[np.ndarray, int, int]:
    """Shorter side resized to ``size`` (Lanczos, antialiased), centre cropped: (size, size, C) uint8, its row and
    column."""
    short = min(image.size)
    if short < layout.size:
        raise BadImage(f"{image.width} x {image.height} pixels, smaller than the size of {layout.size}")
    width, height = (max(layout.size, round(side * layout.size / short)) for side in image.size)
    row, column = (height - layout.size) // 2, (width - layout.size) // 2
    pixels = as_array(image.resize((width, height), Image.Resampling.LANCZOS))
    return pixels[row : row + layout.size, column : column + layout.size], row, column


def as_array(image: Image.Image) -> np.ndarray:
    """The pixels of an image, (H, W, C) uint8."""
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def test_blocks(height: int, width: int, size: int, test_fraction: float) -> list[Block]:
    """The blocks of a photograph that are for testing; none if it is too small to hold one."""
    for count, least, columns in SPREADS:
        share = math.sqrt(test_fraction / count)
        h, w = round(share * height), round(share * width)
        if min(h, w) >= least * size and test_fraction <= 1 / count:
            bands = max(count - 1, 1)
            return [
                Block(round(r * (height - h) / bands), round(c * (width - w) / bands), h, w)
                for r, c in enumerate(columns)
            ]
    return []


def patch_positions(height: int, width: int, layout: PatchLayout, test_fraction: float) -> Positions:
    """Where the patches of a scaled photograph lie; :class:`BadImage` when it is too small to be split."""
    size, gap = layout.size, GAP if layout.scale < 1 else 0
    if min(height, width) < size:
        raise BadImage(f"{width} x {height} pixels after scaling, smaller than the patch size of {size}")
    blocks = test_blocks(height, width, size, test_fraction)
    rows, columns = np.meshgrid(
        np.arange(0, height - size + 1, layout.stride), np.arange(0, width - size + 1, layout.stride), indexing="ij"
    )
    free = np.ones(rows.shape, bool)
    for b in blocks:
        above, below = rows + size + gap <= b.top, rows >= b.top + b.height + gap
        before, after = (columns + size + gap <= b.left, columns >= b.left + b.width + gap)
        free &= above | below | before | after
    train = np.stack([rows[free], columns[free]], 1)
    if not blocks or not len(train):
        raise BadImage(
            f"{width} x {height} pixels after scaling, too small to split into training and test patches of {size} "
            f"with test_fraction {test_fraction}"
        )
    return Positions(train, _test_positions(blocks, layout))


def _test_positions(blocks: list[Block], layout: PatchLayout) -> np.ndarray:
    corners = [
        (b.top + r, b.left + c)
        for b in blocks
        for r in _spread(b.height - layout.size, layout.test_stride)
        for c in _spread(b.width - layout.size, layout.test_stride)
    ]
    return np.array(sorted(corners), np.int64)


def _spread(room: int, stride: int) -> list[int]:
    """Offsets from 0 to ``room``, evenly spread, at most ``stride`` apart."""
    steps = math.ceil(room / stride)
    return [round(k * room / max(steps, 1)) for k in range(steps + 1)]
