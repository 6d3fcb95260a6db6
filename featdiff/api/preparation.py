"""Example images made as the training's were: decoded, cut or cropped, to the size of the network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from featdiff.data.decode import decode
from featdiff.data.layouts import as_array, scale
from featdiff.data.listing import BadImage
from featdiff.errors import UserError
from featdiff.kinds.layouts import LAYOUTS, CropLayout, Layout, PatchLayout
from featdiff.models.checkpoint import DataDescription

Picture = Path | str | Image.Image | np.ndarray
MOST = 512  # patches of all example images together, as of a class's training images


@dataclass(frozen=True)
class Preparation:
    """How the images of a data set were made; without a layout, by a centre crop."""

    layout: Layout | None = None

    def of(self, images: Sequence[Picture] | Picture, data: DataDescription) -> np.ndarray:
        """Images (N, size, size, C) uint8 of pictures in any of their forms.

        Raises :class:`UserError` where one can't be read or is too small, and where there is none.
        """
        squares = [square for number, one in enumerate(_each(images)) for square in self._cut(one, number, data)]
        if not squares:
            raise UserError("no images were given: name at least one")
        found = np.stack(squares)
        places = np.linspace(0, len(found) - 1, min(len(found), MOST)).round().astype(int)
        return found[places]

    def _cut(self, one: Picture, number: int, data: DataDescription) -> list[np.ndarray]:
        where = str(one) if isinstance(one, Path | str) else f"image {number}"
        try:
            image = _decoded(one, data.channels)
            if image.size == (data.size, data.size):
                return [as_array(image)]
            if isinstance(self.layout, PatchLayout):
                return _patches(scale(image, self.layout), self.layout)
            layout = self.layout or CropLayout(kind="crop", size=data.size)
            return [layout.lay(image, 0.0).pixels]
        except BadImage as why:
            raise UserError(f"{where}: {why}") from None
        except OSError as error:
            raise UserError(f"{where}: can't be read ({error.strerror or error})") from None


def _each(images: Sequence[Picture] | Picture) -> Iterator[Picture]:
    if isinstance(images, np.ndarray) and images.ndim == 4:
        yield from images
    elif isinstance(images, Path | str | Image.Image | np.ndarray):
        yield images
    else:
        yield from images


def _decoded(one: Picture, channels: int) -> Image.Image:
    mode = "gray" if channels == 1 else "rgb"
    if isinstance(one, Path | str):
        return decode(Path(one).read_bytes(), mode).image
    if isinstance(one, Image.Image):
        return one.convert("L" if channels == 1 else "RGB")
    return _from_array(np.asarray(one)).convert("L" if channels == 1 else "RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise BadImage("an array of floats should lie in [0, 1]; give uint8 for 0 to 255")
        array = (array * 255).round().astype(np.uint8)
    flat = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if array.dtype != np.uint8 or not (flat.ndim == 2 or (flat.ndim == 3 and flat.shape[-1] == 3)):
        raise BadImage(
            f"an array of shape {array.shape}, {array.dtype}: should be (H, W), (H, W, 1) or (H, W, 3) uint8"
        )
    return Image.fromarray(flat)


def _patches(pixels: np.ndarray, layout: PatchLayout) -> list[np.ndarray]:
    """All patches of a photograph: none is kept for testing here."""
    size = layout.size
    height, width = pixels.shape[:2]
    if min(height, width) < size:
        raise BadImage(f"{width} x {height} pixels after scaling, smaller than a patch of {size}")
    rows, columns = range(0, height - size + 1, layout.stride), range(0, width - size + 1, layout.stride)
    return [pixels[r : r + size, c : c + size] for r in rows for c in columns]


def of_layout(values: dict[str, Any]) -> Preparation:
    """By the settings of a layout, as a data set's manifest has them."""
    return Preparation(TypeAdapter(Annotated[Layout, LAYOUTS.field()]).validate_python(values))
