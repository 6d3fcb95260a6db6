"""Image files of every kind, against arrays computed by hand."""

import contextlib
import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from featdiff.data import decode as module
from featdiff.data.decode import decode
from featdiff.data.listing import BadImage

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 30), np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), np.uint8)


def encoded(array: np.ndarray | Image.Image, kind: str = "png", **options: object) -> bytes:
    stream = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data: bytes, mode: str = "rgb") -> np.ndarray:
    return np.asarray(decode(data, mode).image)


@pytest.mark.parametrize(("kind", "options"), [("png", {}), ("webp", {"lossless": True})])
def test_lossless_formats_give_their_pixels(kind: str, options: dict[str, object]) -> None:
    assert (pixels(encoded(RGB, kind, **options)) == RGB).all()


def test_jpeg_is_close_and_gray_jpeg_is_gray() -> None:
    smooth = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    picture = decode(encoded(smooth, "jpeg", quality=95), "gray")
    assert not picture.colour
    assert np.abs(np.asarray(picture.image).astype(int) - smooth).max() <= 4


def test_gray_is_luma_and_rgb_of_gray_repeats_it() -> None:
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels(encoded(RGB), "gray") - luma).max() <= 1
    assert (pixels(encoded(GRAY)) == GRAY[..., None]).all()


@pytest.mark.parametrize("array", [GRAY, GRAY > 127])
def test_gray_modes_are_gray(array: np.ndarray) -> None:
    assert not decode(encoded(array), "rgb").colour


def test_palette_is_gray_only_if_its_colours_are() -> None:
    assert not decode(encoded(Image.fromarray(GRAY).convert("P")), "rgb").colour
    assert decode(encoded(Image.fromarray(RGB).quantize(16)), "rgb").colour


def test_16_bit_keeps_the_upper_byte() -> None:
    deep = RNG.integers(0, 2**16, (20, 30)).astype(np.uint16)
    deep[0, :2] = 0, 2**16 - 1
    picture = decode(encoded(deep), "gray")
    assert not picture.colour
    assert (np.asarray(picture.image) == deep // 256).all()


def test_alpha_is_composited_over_white() -> None:
    alpha = RNG.integers(0, 256, (20, 30, 1))
    for base, mode in ((RGB, "rgb"), (GRAY[..., None], "gray")):
        data = encoded(np.concatenate([base, alpha], 2).astype(np.uint8))
        expected = (base * alpha + 255.0 * (255 - alpha)) / 255
        result = pixels(data, mode).reshape(base.shape)
        assert np.abs(result - expected).max() <= 1
        assert decode(data, mode).colour == (mode == "rgb")


def test_transparent_colour_counts_as_alpha() -> None:
    image = np.zeros((20, 30), np.uint8)
    image[:, :10] = 7
    assert (pixels(encoded(image, transparency=7), "gray") == np.where(image == 7, 255, 0)).all()


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).T),
        (8, np.rot90),
    ],
)
@pytest.mark.parametrize("array", [GRAY, GRAY.astype(np.uint16) * 256])
def test_exif_orientation(orientation: int, undo: object, array: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (pixels(encoded(array, exif=exif), "gray") == undo(GRAY)).all()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty file"),
        (b"hello", "not a PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF image"),
        (encoded(RGB, "ico"), "not a PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF image"),
        (encoded(RGB, "png")[:-30], "damaged or truncated"),
        (encoded(RGB, "jpeg")[:-200], "damaged or truncated"),
        (encoded(RGB, "webp")[:-30], "damaged or truncated|not a PNG"),
        (encoded(RGB, "tiff")[:-1000], "damaged or truncated|not a PNG"),
        (encoded(RGB, "bmp")[:-200], "damaged or truncated"),
        (encoded(RGB, "gif")[:-300], "damaged or truncated"),
        (encoded(Image.fromarray(GRAY.astype(np.int32) * 1000), "tiff"), "a TIFF of 32 bits a sample"),
        (encoded(Image.fromarray(GRAY.astype(np.float32)), "tiff"), "a TIFF of 32 bits a sample"),
        (encoded(RGB, "png", save_all=True, append_images=[Image.fromarray(RGB[::-1])]), "animation of 2 frames"),
        (encoded(RGB, "webp", save_all=True, append_images=[Image.fromarray(RGB[::-1])]), "animation of 2 frames"),
    ],
)
def test_unusable_files_say_why(data: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        decode(data, "gray")


# --- the other formats, against what Pillow itself makes of the file --------------------------------------------------


def by_pillow(data: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("tiff", {"compression": "jpeg"}),
        ("bmp", {}),
        ("gif", {}),
        pytest.param("avif", {"quality": 90}, marks=pytest.mark.skipif(not module.AVIF, reason="Pillow without AVIF")),
    ],
)
def test_tiff_bmp_gif_and_avif_are_what_pillow_reads(kind: str, options: dict[str, object]) -> None:
    for array in (RGB, GRAY):
        data = encoded(array, kind, **options)
        assert (pixels(data, "rgb") == by_pillow(data, "RGB")).all()
        if array is RGB:
            assert (pixels(data, "gray") == by_pillow(by_pillow_rgb(data), "L")).all()
            assert decode(data, "rgb").colour
    assert kind in ("gif", "avif") or (pixels(encoded(RGB, kind, **options)) == RGB).all() or "jpeg" in options.values()


def by_pillow_rgb(data: bytes) -> bytes:
    return encoded(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", ["tiff", "bmp", "gif"])
def test_gray_tiff_bmp_and_gif_are_gray_and_keep_their_pixels(kind: str) -> None:
    picture = decode(encoded(GRAY, kind), "gray")
    assert not picture.colour and not picture.paged
    assert (np.asarray(picture.image) == GRAY).all()


@pytest.mark.parametrize(("order", "compression"), [("<u2", None), (">u2", None), ("<u2", "tiff_lzw")])
def test_a_16_bit_tiff_keeps_the_upper_byte(order: str, compression: str | None) -> None:
    deep = RNG.integers(0, 2**16, (20, 30)).astype(order)
    picture = decode(encoded(deep, "tiff", compression=compression), "gray")
    assert not picture.colour
    assert (np.asarray(picture.image) == deep.astype(int) // 256).all()


def test_16_bit_tiffs_of_another_program_in_colour_and_with_white_as_zero() -> None:
    tifffile = pytest.importorskip("tifffile")
    deep = RNG.integers(0, 2**16, (20, 30, 3)).astype(np.uint16)

    def written(array: np.ndarray, photometric: str) -> bytes:
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, photometric=photometric)
        return stream.getvalue()

    assert (pixels(written(deep, "rgb"), "rgb") == deep // 256).all()
    assert (pixels(written(deep[..., 0], "minisblack"), "gray") == deep[..., 0] // 256).all()
    assert (pixels(written(deep[..., 0], "miniswhite"), "gray") == 255 - deep[..., 0] // 256).all()
    assert (pixels(written(GRAY, "miniswhite"), "gray") == 255 - GRAY).all()
    with pytest.raises(BadImage, match="signed samples"):
        decode(written(deep[..., 0].astype(np.int16), "minisblack"), "gray")


@pytest.mark.parametrize("kind", ["tiff", "gif"])
def test_of_several_pages_or_frames_the_first_is_taken_and_told(kind: str) -> None:
    data = encoded(GRAY, kind, save_all=True, append_images=[Image.fromarray(GRAY[::-1])])
    picture = decode(data, "gray")
    assert picture.paged and (np.asarray(picture.image) == GRAY).all()


def test_the_orientation_of_a_tiff_is_applied_once() -> None:
    for orientation in range(1, 9):
        data = encoded(GRAY, "tiff", tiffinfo={274: orientation})
        png = encoded(GRAY, exif=exif_of(orientation))
        assert (pixels(data, "gray") == pixels(png, "gray")).all(), orientation


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_named_with_the_way_out(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(BadImage, match="a HEIC image: pip install pillow-heif, or save it as JPEG or PNG"):
        decode(b"\0\0\0\x18ftyp" + brand + b"\0" * 64, "rgb")


def test_every_flipped_byte_of_a_png_is_noticed_or_harmless() -> None:
    whole = encoded(GRAY)
    passed = 0
    for k in range(len(whole)):
        data = bytearray(whole)
        data[k] ^= 0x10
        try:
            assert (pixels(bytes(data), "gray") == GRAY).all()
            passed += 1
        except BadImage:
            pass
    assert passed <= 8  # length and checksum of the empty end mark


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "bmp", "gif"])
def test_garbage_in_a_file_raises_nothing_else(kind: str) -> None:
    whole = encoded(RGB, kind)
    rng = np.random.default_rng(1)
    for _ in range(150):
        data = bytearray(whole)
        for k in rng.integers(0, len(data), 4):
            data[k] = rng.integers(256)
        with contextlib.suppress(BadImage):
            decode(bytes(data), "gray")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 16_000])
def test_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    bomb = flat_png(side)
    assert len(bomb) < 2**16
    with pytest.raises(BadImage, match="bomb"):
        decode(bomb, "gray")


def flat_png(side: int) -> bytes:
    """A valid black PNG of 1 bit a pixel, written by hand: a few kilobytes, gigabytes once decoded."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side * (1 + (side + 7) // 8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_just_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 20 * 30 - 1)
    with pytest.raises(BadImage, match="30 x 20 pixels"):
        decode(encoded(GRAY), "gray")
