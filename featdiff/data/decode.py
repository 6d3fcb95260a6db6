"""From the bytes of an image file to 8-bit gray or RGB, or a :class:`BadImage` that says why not.

Read are PNG, JPEG, WebP, TIFF, BMP, GIF and, where Pillow can, AVIF; HEIC where pillow-heif is installed. Alpha is
composited over white, EXIF orientation is applied, 16-bit samples keep their upper byte, gray is ITU-R 601 luma. Of the
pages of a TIFF and the frames of a GIF the first counts. Refused: other formats, damaged and truncated files, animated
PNG, WebP and AVIF, samples that 16 bits do not hold, more than ``MAX_PIXELS``.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError, features

from featdiff.data.listing import FORMAT_NAMES, BadImage

AVIF = ("AVIF",) if "avif" in features.modules and features.check("avif") else ()
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", *AVIF)
PAGED = ("TIFF", "GIF")  # the first page or frame is the image
GRAY = ("1", "L", "LA")
DEEP = ("I", "I;16", "I;16B", "I;16L")
MAX_PIXELS = 89_478_485  # Pillow's own limit, beyond which it warns of a decompression bomb
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of a TIFF


@dataclass(frozen=True)
class Picture:
    """A decoded image of mode "L" or "RGB", whether its file was in colour, and whether it has more pages or frames."""

    image: Image.Image
    colour: bool
    paged: bool = False


def decode(data: bytes, mode: str) -> Picture:
    """Decode an image file into ``mode`` ("gray" or "rgb")."""
    if not data:
        raise BadImage("an empty file")
    try:
        formats = _formats(data)
        _verify(data, formats)
        with Image.open(io.BytesIO(data), formats=formats) as file:
            paged = file.format in PAGED and bool(getattr(file, "is_animated", False))
            file.load()
            inverted = _is_inverted(file)
            colour, flat = _flatten(ImageOps.exif_transpose(file))
            if inverted:
                flat = ImageOps.invert(flat)
            return Picture(flat.convert("L" if mode == "gray" else "RGB"), colour, paged)
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise BadImage(f"not a {FORMAT_NAMES} image{_way_out(data)}") from None
    except Image.DecompressionBombError:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels, refused as a decompression bomb") from None
    except Exception as error:
        raise BadImage(f"damaged or truncated ({error or type(error).__name__})") from None


def _formats(data: bytes) -> tuple[str, ...]:
    """The formats that the bytes may be of; HEIC needs a package of its own."""
    if data[4:8] != b"ftyp" or data[8:12] not in HEIC_BRANDS or (AVIF and b"avif" in data[8:64]):
        return FORMATS
    try:
        import pillow_heif
    except ImportError:
        raise BadImage("a HEIC image: pip install pillow-heif, or save it as JPEG or PNG") from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _way_out(data: bytes) -> str:
    avif = data[4:12] in (b"ftypavif", b"ftypavis")
    return ": this Pillow reads no AVIF; pip install --upgrade pillow" if avif and not AVIF else ""


def _verify(data: bytes, formats: tuple[str, ...]) -> None:
    """Check the header before any pixel is decoded, and the checksums of a PNG, which loading would not."""
    with Image.open(io.BytesIO(data), formats=formats) as file:
        if file.width * file.height > MAX_PIXELS:
            raise BadImage(f"{file.width} x {file.height} pixels, more than {MAX_PIXELS:,}: refused as a bomb")
        if file.format in ("PNG", "WEBP", "AVIF") and getattr(file, "n_frames", 1) > 1:
            raise BadImage(f"an animation of {getattr(file, 'n_frames', 1)} frames")
        if file.format == "PNG":
            file.verify()
        if file.format == "TIFF" and file.mode in (*DEEP, "F") and _tag(file, _BITS) != 16:
            raise BadImage(f"a TIFF of {_tag(file, _BITS)} bits a sample; save it with 8 or 16")
        if file.format == "TIFF" and file.mode == "I":
            raise BadImage("a TIFF of signed samples; save it with 8 or 16 bits without sign")


def _tag(file: ImageFile.ImageFile, number: int) -> int | None:
    """A tag of a TIFF, of several samples the first one's."""
    value = file.tag_v2.get(number)  # type: ignore[attr-defined]
    return value[0] if isinstance(value, tuple) else value


def _is_inverted(file: ImageFile.ImageFile) -> bool:
    """Whether zero is white in 16-bit samples of a TIFF: Pillow turns those of 8 bits over, these it does not."""
    return file.format == "TIFF" and file.mode in DEEP and _tag(file, _PHOTOMETRIC) == _WHITE_IS_ZERO


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
