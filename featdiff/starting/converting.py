"""Images that are neither a folder nor a zip become a zip of class folders, once, inside the new project."""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.settings.data import ZipSource

SPLITS = ("train", "test")
ONLY = "images"  # the class of images without one


class Item(NamedTuple):
    """An image: its split and class where they are given, the bytes of its file and how the file's name ends."""

    split: str | None
    class_name: str | None
    data: bytes
    suffix: str = ".png"


def png(pixels: np.ndarray) -> bytes:
    """Pixels (H, W) or (H, W, C) uint8, C of 1, 3 or 4, as a PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(stream, "PNG")
    return stream.getvalue()


def convert(items: Iterator[Item], out: Path, where: str) -> ZipSource:
    """Write the items to a zip; the same items give the same bytes. Raises :class:`UserError` where some have a class
    or a split and others have none."""
    counts: Counter[tuple[str | None, str | None]] = Counter()
    names: dict[str, str] = {}
    with artifacts.atomic(out) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as packed:
        for item in items:
            key = (item.split, item.class_name)
            folder = _folder(item.class_name, names, where)
            path = "/".join(part for part in (item.split, folder, f"{counts[key]:07d}{item.suffix}") if part)
            counts[key] += 1
            packed.writestr(zipfile.ZipInfo(path), item.data)
        splits, classes = ({key[i] for key in counts} for i in range(2))
        if not counts:
            raise UserError(f"{where}: holds no images")
        for found, what in ((splits, "split"), (classes, "class")):
            if None in found and len(found) > 1:
                raise UserError(f"{where}: some images have a {what} and some have none; give one to each")
        if splits not in ({None}, set(SPLITS)):
            raise UserError(f"{where}: all images are of '{splits.pop()}'; training and test images, or neither")
    halves = None if splits == {None} else SPLITS
    return ZipSource(kind="zip", path=out.name, halves=halves, one_class=ONLY if classes == {None} else None)


def _folder(class_name: str | None, names: dict[str, str], where: str) -> str | None:
    """The folder of a class: its name without what a path can't hold; refuses two classes of one folder."""
    if class_name is None:
        return None
    folder = re.sub(r"[/\\\x00-\x1f\x7f]", "_", class_name.strip()).lstrip(".")
    if not folder:
        raise UserError(f"{where}: {class_name!r} is no name of a class")
    if names.setdefault(folder, class_name) != class_name:
        raise UserError(f"{where}: {class_name!r} and {names[folder]!r} would be one class folder; rename one")
    return folder
