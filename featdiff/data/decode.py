"""From the bytes of an image file to 8-bit gray or RGB, or a :class:`BadImage` that says why not.

Alpha is composited over white, EXIF orientation is applied, 16-bit samples keep their upper byte, gray is ITU-R 601
luma. Refused: anything but PNG, JPEG and WebP, damaged and truncated files, animations, more than ``MAX_PIXELS``.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from featdiff.data.sources import BadImage

FORMATS = ("PNG", "JPEG", "WEBP")
GRAY = ("1", "L", "LA")
DEEP = ("I", "I;16", "I;16B", "I;16L")
MAX_PIXELS = 89_478_485  # Pillow's own limit, beyond which it warns of a decompression bomb


@dataclass(frozen=True)
class Picture:
    """A decoded image of mode "L" or "RGB", and whether its file was in colour."""

    image: Image.Image
    colour: bool


def decode(data: bytes, mode: str) -> Picture:
    """Decode an image file into ``mode`` ("gray" or "rgb")."""
    if not data:
        raise BadImage("an empty file")
    try:
        _verify(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            file.load()
            colour, flat = _flatten(ImageOps.exif_transpose(file))
            return Picture(flat.convert("L" if mode == "gray" else "RGB"), colour)
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage("not a PNG, JPEG or WebP image") from None
    except Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels, refused as a decompression bomb") from None
    except Exception as error:
        raise BadImage(f"damaged or truncated ({error or type(error).__name__})") from None


def _verify(data: bytes) -> None:
    """Check the header before any pixel is decoded, and the checksums of a PNG, which loading would not."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as file:
        if file.width * file.height > MAX_PIXELS:
            raise BadImage(f"{file.width} x {file.height} pixels, more than {MAX_PIXELS:,}: refused as a bomb")
        if file.format in ("PNG", "WEBP") and getattr(file, "n_frames", 1) > 1:
            raise BadImage(f"an animation of {getattr(file, 'n_frames', 1)} frames")
        if file.format == "PNG":
            file.verify()


def _flatten(image: Image.Image) -> tuple[bool, Image.Image]:
    """Whether it is in colour, and the image as 8-bit "L" or "RGB" without alpha."""
    if image.mode in DEEP:
        if image.has_transparency_data:
            raise BadImage("16-bit gray with a transparent colour; save it with 8 bits or without transparency")
        deep = np.clip(np.asarray(image, np.int64), 0, 2**16 - 1)
        return False, Image.fromarray((deep >> 8).astype(np.uint8))
    gray = image.mode in GRAY or (image.mode == "P" and _gray_palette(image))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return not gray, image.convert("L" if gray else "RGB")


def _gray_palette(image: Image.Image) -> bool:
    rgb = np.asarray(image.convert("RGBA").convert("RGB"))
    return bool((rgb == rgb[..., :1]).all())
