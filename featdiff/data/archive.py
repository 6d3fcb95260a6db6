"""The image archive: one zip with PNG images, an index and a manifest. Data sets and samples share the format.

    manifest.json                 what made it
    index.csv                     one row an image: path, split, label, class, and columns of the maker
    train/brick/000017.png        PNG, 8 bit, gray or RGB

Unzipped it is a folder of class folders for each split, which ``torchvision.datasets.ImageFolder`` and others read.
Images that take more than ``LARGE`` bytes lie in one member instead, ``images.npy`` (N, H, W, C) uint8, which is mapped
and never read into memory as a whole.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from PIL import Image

from featdiff import artifacts
from featdiff.artifacts import Content, Manifest
from featdiff.data.parallel import in_order
from featdiff.errors import UserError

INDEX, ARRAY = "index.csv", "images.npy"
CHUNK = 256  # images of one task
LARGE = 2**31  # bytes of pixels
COLUMNS = ("path", "split", "label", "class")
T = TypeVar("T")
_TEXT = {"path": str, "split": str, "class": str, "source": str}  # a class may be called 007


class Rows:
    """Rows of images (N, H, W, C) uint8 that lie elsewhere, as in a mapped file; they are fetched when asked for."""

    def __init__(self, base: np.ndarray, rows: np.ndarray):
        self.base, self.rows = base, rows
        self.shape, self.dtype = (len(rows), *base.shape[1:]), base.dtype
        self.nbytes = len(rows) * base[:1].nbytes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        return self.base[self.rows[key]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


Pixels = np.ndarray | Rows
Images = Sequence[np.ndarray] | np.ndarray


@dataclass(frozen=True)
class ImageArchive:
    """Images (N, H, W, C) uint8 with their index (N rows) and the manifest of the file they came from.

    Of a large archive the images are :class:`Rows` of the mapped file, and its index has no paths.
    """

    images: Pixels
    index: pd.DataFrame
    made: Manifest

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their labels; the label -1 (no class) has no name here."""
        named = self.index[self.index["label"] >= 0]
        return list(named.drop_duplicates("label").sort_values("label")["class"])

    def select(self, *, split: str | None = None, label: int | None = None) -> "ImageArchive":
        """The rows of one split, one class, or both."""
        keep = np.ones(len(self.index), bool)
        if split is not None:
            keep &= (self.index["split"] == split).to_numpy()
        if label is not None:
            keep &= (self.index["label"] == label).to_numpy()
        images = self.images
        chosen = Rows(images.base, images.rows[keep]) if isinstance(images, Rows) else images[keep]
        return ImageArchive(chosen, self.index[keep].reset_index(drop=True), self.made)

    def rows_by_label(self, split: str | None = None) -> dict[int, np.ndarray]:
        """Rows of each label, in one split or in all; see :func:`rows_by_label`."""
        return rows_by_label(self.index, split)

    @property
    def labels(self) -> np.ndarray:
        """Labels (N,) int64."""
        return self.index["label"].to_numpy(np.int64)


def rows_by_label(index: pd.DataFrame, split: str | None = None) -> dict[int, np.ndarray]:
    """Rows (N,) int64 of each label of the index, ascending, in one split or in all; empty where the split has none of
    a label.

    They come of one sort: asking for each of many labels in turn would walk through all rows each time.
    """
    labels = index["label"].to_numpy(np.int64)
    rows = np.arange(len(labels)) if split is None else np.flatnonzero((index["split"] == split).to_numpy())
    order = rows[np.argsort(labels[rows], kind="stable")]
    known = np.unique(labels)
    return dict(zip(known.tolist(), np.split(order, np.searchsorted(labels[order], known[1:])), strict=True))


def write(
    path: Path | str,
    images: Images,
    index: pd.DataFrame,
    made: Manifest,
    *,
    extra: Mapping[str, bytes] | None = None,
) -> None:
    """Write images (N, H, W, C) uint8, C of 1 or 3, and their index with at least the columns ``COLUMNS``.

    ``images`` may be any sequence of images of one shape; it is gone through once, and what was written is not held.
    ``extra`` are further members for people to read, as a list of what was skipped; :func:`read` passes them by.
    """
    missing = [c for c in COLUMNS if c not in index.columns]
    if missing or len(images) != len(index) or index["path"].duplicated().any():
        raise ValueError(f"index does not fit: missing columns {missing}, {len(images)} images, {len(index)} rows")
    artifacts.write_zip(path, _members(images, index, extra or {}), made)


def _members(images: Images, index: pd.DataFrame, extra: Mapping[str, bytes]) -> Iterator[tuple[str, Content]]:
    yield INDEX, index.to_csv(index=False, lineterminator="\n").encode()
    yield from extra.items()
    if len(images) and len(images) * images[0].nbytes > LARGE:
        yield ARRAY, _array(images)
    else:
        encoded = in_order(_encode_all, ([images[k] for k in part] for part in _chunks(range(len(images)))))
        yield from zip(index["path"], chain.from_iterable(encoded), strict=True)


def _array(images: Images) -> Iterator[bytes]:
    """The bytes of ``images.npy``."""
    head = io.BytesIO()
    shape = (len(images), *images[0].shape)
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    yield head.getvalue()
    for part in _chunks(range(len(images))):
        yield b"".join(images[k].tobytes() for k in part)


def read(path: Path | str, kind: str, *, split: str | None = None) -> ImageArchive:
    """Read an archive whose manifest says ``kind`` ("dataset" or "samples"), or the images of one split of it.

    Every byte is checked against the manifest, those of the other splits too.
    """
    with artifacts.opened(path, kind) as members:
        try:
            if ARRAY in members.names:
                images, index = _mapped(path, members.place(ARRAY)), _without_paths(members.read(INDEX))
                found = ImageArchive(images, index, members.made).select(split=split)
            else:
                found = _decoded(members, split)
        except (KeyError, ValueError, OSError) as error:
            members.check()  # damage is told first
            raise UserError(f"{path}: not an image archive: {error}") from None
        members.check()
    return found


def _without_paths(table: bytes) -> pd.DataFrame:
    """The index of a large archive: classes and splits as categories, read part by part, and no paths."""
    parts, names = [], dict[int, str]()
    for part in pd.read_csv(io.BytesIO(table), dtype=_TEXT, keep_default_na=False, chunksize=100_000):
        first = part.drop_duplicates("label")
        names.update(zip(first["label"], first["class"], strict=True))
        parts.append(part.drop(columns=[name for name in ("path", "source", "class") if name in part]))
        parts[-1]["split"] = pd.Categorical(parts[-1]["split"], ["train", "test"])
    index = pd.concat(parts, ignore_index=True)
    labels = sorted(names)
    codes = np.searchsorted(labels, index["label"])
    return index.assign(**{"class": pd.Categorical.from_codes(codes, [names[label] for label in labels])})


def _mapped(path: Path | str, place: int) -> Rows:
    """The images of ``images.npy``, mapped from its place in the archive; nothing writes through to the file."""
    with open(path, "rb") as stream:
        stream.seek(place)
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        start = stream.tell()
    return Rows(np.memmap(path, dtype, "c", start, shape), np.arange(shape[0]))


def _decoded(members: artifacts.Opened, split: str | None) -> ImageArchive:
    """The images of PNG members (N, H, W, C): read, decoded and put into their places part by part."""
    index = pd.read_csv(io.BytesIO(members.read(INDEX)), dtype=_TEXT, keep_default_na=False)
    if not len(index):
        raise ValueError("it holds no images")
    first = _decode(members.read(index["path"].iloc[0]))
    if split is not None:
        index = index[index["split"] == split].reset_index(drop=True)
    images = np.empty((len(index), *first.shape), np.uint8)
    packed = ([members.read(path) for path in part] for part in _chunks(list(index["path"])))
    for k, part in enumerate(in_order(_decode_all, packed)):
        if any(image.shape != first.shape or image.dtype != np.uint8 for image in part):
            raise ValueError("its images differ in shape")
        images[CHUNK * k : CHUNK * k + len(part)] = part
    return ImageArchive(images, index, members.made)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts of ``CHUNK``: a task of its own for each image costs as much as the image."""
    return (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))


def _encode_all(images: list[np.ndarray]) -> list[bytes]:
    return [_encode(image) for image in images]


def _decode_all(data: list[bytes]) -> list[np.ndarray]:
    return [_decode(item) for item in data]


def _encode(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, "png", compress_level=6)
    return stream.getvalue()


def _decode(data: bytes) -> np.ndarray:
    image = np.asarray(Image.open(io.BytesIO(data)))
    return image[..., None] if image.ndim == 2 else image
