"""NumPy's files of images and labels, as medmnist, Keras and ADM write them."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featdiff.errors import UserError
from featdiff.starting.converting import Item, png

HALVES = (("train_images", "train_labels", "test_images", "test_labels"), ("x_train", "y_train", "x_test", "y_test"))
WHOLE = (("arr_0", "arr_1"), ("images", "labels"), ("x", "y"))


def items(path: Path) -> Iterator[Item]:
    """The images of ``path``: both halves where it has them; labels become classes called by their numbers."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield from _items(path, arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz ({error})") from None


def _items(path: Path, arrays: np.lib.npyio.NpzFile) -> Iterator[Item]:
    names = set(arrays.files)
    for first, first_labels, second, second_labels in HALVES:
        if {first, second} <= names:
            labels = [arrays[key] if key in names else None for key in (first_labels, second_labels)]
            called = _names(path, labels)
            for split, key, name in zip(("train", "test"), (first, second), called, strict=True):
                yield from _half(path, split, arrays[key], key, name)
            return
    for key, labels_key in WHOLE:
        if key in names:
            (name,) = _names(path, [arrays[labels_key] if labels_key in names else None])
            yield from _half(path, None, arrays[key], key, name)
            return
    known = "; ".join(", ".join(keys) for keys in (*HALVES, *WHOLE))
    raise UserError(f"{path}: holds {', '.join(sorted(names))}; known are {known}")


def _names(path: Path, labels: list[np.ndarray | None]) -> list[list[str] | None]:
    """The class names of each half: its labels with as many digits as the largest has, so that they sort."""
    found = []
    for given in labels:
        flat = None if given is None else given.reshape(len(given), -1)
        if flat is not None and flat.shape[1] > 1:
            raise UserError(f"{path}: {flat.shape[1]} labels an image; one is needed")
        found.append(None if flat is None else [str(label) for label in flat[:, 0].tolist()])
    digits = max((len(name) for names in found for name in names or [] if name.isdigit()), default=0)
    return [names and [name.zfill(digits) if name.isdigit() else name for name in names] for names in found]


def _half(path: Path, split: str | None, images: np.ndarray, key: str, names: list[str] | None) -> Iterator[Item]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,), (4,)):
        raise UserError(f"{path}: '{key}' is {images.dtype} {images.shape}; images are uint8 (N, H, W) or (N, H, W, C)")
    if names is not None and len(names) != len(images):
        raise UserError(f"{path}: {len(images)} images in '{key}', but {len(names)} labels")
    for k, pixels in enumerate(images):
        yield Item(split, None if names is None else names[k], png(pixels))
