"""Images from anywhere, part by part: a folder, a zip, an npz of ADM's form, an archive of this package, an array.

Classes are the names of the folders that the images lie in, the labels of an npz (``arr_1``), or those of an archive.
Nothing is held that was gone through: fifty thousand photographs take no more memory than a thousand.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featdiff import artifacts
from featdiff.api.images import Images
from featdiff.data import archive
from featdiff.data.decode import decode
from featdiff.data.listing import FORMAT_NAMES, BadImage, SourceFile
from featdiff.data.sources import all_images
from featdiff.errors import UserError

Source = str | Path | np.ndarray | Images
PART = 256  # images whose features are kept in one file
ARRAY, LABELS = "arr_0.npy", "arr_1.npy"  # of an npz of ADM's form


@dataclass(frozen=True)
class Part:
    """Some images of a set: what they are known by, and a function that gives their pixels, (H, W, 3) uint8 each."""

    content: str  # SHA-256 of the bytes that they come from
    count: int
    pixels: Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class ImageSet:
    """A set of images: its name, how many, the class of each where classes are known, and its parts in turn."""

    name: str
    count: int
    classes: np.ndarray | None  # (N,) of str, or of int where they are labels without names
    parts: Callable[[], AbstractContextManager[Iterator[Part]]]
    evaluations: np.ndarray | None = None  # (N,): network evaluations that each image cost, where that is known

    def images(self) -> np.ndarray:
        """All of them, (N, H, W, 3) uint8; refuses images of several sizes."""
        with self.parts() as parts:
            found = [image for part in parts for image in part.pixels()]
        if len({image.shape for image in found}) > 1:
            raise UserError(f"{self.name}: its images differ in size")
        return np.stack(found)

    def chosen(self, rows: Sequence[int] | np.ndarray) -> "ImageSet":
        """These rows as a set of their own, held in memory."""
        return of_array(self.images()[rows], self.name)


def image_set(source: Source, name: str | None = None) -> ImageSet:
    """The images of a path or an array, or those that a model drew. Raises :class:`UserError` that says what is wrong
    and what is taken."""
    if isinstance(source, Images):
        return of_array(source.array, name or "samples", np.array(source.labels))
    if isinstance(source, np.ndarray):
        return of_array(source, name or "images")
    path = Path(source)
    name = name or path.name.removesuffix(path.suffix if path.is_file() else "") or str(path)
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return _of_files(path, name)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a folder of images, a zip or an npz with images in 'arr_0'")
    with zipfile.ZipFile(path) as packed:
        members = set(packed.namelist())
    if artifacts.MANIFEST in members and archive.INDEX in members:
        return _of_archive(path, name)
    return _of_npz(path, name, members) if path.suffix == ".npz" else _of_files(path, name)


def of_array(images: np.ndarray, name: str, classes: np.ndarray | None = None) -> ImageSet:
    """The set of an array (N, H, W, C) or (N, H, W) uint8, C of 1 or 3."""
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8 or not len(images):
        raise UserError(
            f"{name}: images are an array (N, H, W, C) of uint8 with C of 1 or 3, not {images.shape} {images.dtype}"
        )

    def parts() -> Iterator[Part]:
        for start in range(0, len(images), PART):
            yield _of_pixels(images[start : start + PART])

    return ImageSet(name, len(images), classes, lambda: nullcontext(parts()))


def _of_pixels(images: np.ndarray) -> Part:
    digest = hashlib.sha256(f"{images.shape}".encode() + np.ascontiguousarray(images).tobytes()).hexdigest()
    return Part(digest, len(images), lambda: iter(np.broadcast_to(images, (*images.shape[:3], 3))))


# --- archives ---------------------------------------------------------------------------------------------------------


def _of_archive(path: Path, name: str) -> ImageSet:
    kind = artifacts.kind_of(path)
    found = archive.read(path, kind)
    labelled = bool((found.index["label"] >= 0).all())
    classes = found.index["class"].to_numpy(str) if labelled else None
    cost = found.index["evaluations"].to_numpy(float) if "evaluations" in found.index else None

    def parts() -> Iterator[Part]:
        for start in range(0, len(found.index), PART):
            yield _of_pixels(np.asarray(found.images[start : start + PART]))

    return ImageSet(name, len(found.index), classes, lambda: nullcontext(parts()), cost)


# --- npz --------------------------------------------------------------------------------------------------------------


def _of_npz(path: Path, name: str, members: set[str]) -> ImageSet:
    if ARRAY not in members:
        held = ", ".join(sorted(m.removesuffix(".npy") for m in members)) or "nothing"
        raise UserError(f"{path}: holds {held}, but no images (N, H, W, C) uint8 under 'arr_0'")
    with _array_in(path, ARRAY) as (shape, _):
        if len(shape) != 4 or shape[-1] not in (1, 3) or not shape[0]:
            raise UserError(f"{path}: 'arr_0' is {shape}, images (N, H, W, C) with C of 1 or 3 are needed")
    labels = None
    if LABELS in members:
        with np.load(path, allow_pickle=False) as arrays:
            labels = arrays[LABELS.removesuffix(".npy")]
        if labels.shape != shape[:1] or labels.dtype.kind not in "iu":
            raise UserError(f"{path}: 'arr_1' is {labels.dtype} {labels.shape}, not a label for each of {shape[0]}")
    return ImageSet(name, shape[0], labels, lambda: _parts_of_npz(path))


@contextmanager
def _parts_of_npz(path: Path) -> Iterator[Iterator[Part]]:
    with _array_in(path, ARRAY) as (shape, stream):

        def parts() -> Iterator[Part]:
            size = int(np.prod(shape[1:]))
            for start in range(0, shape[0], PART):
                count = min(PART, shape[0] - start)
                data = stream.read(count * size)
                if len(data) < count * size:
                    raise UserError(f"{path}: 'arr_0' ends before its {shape[0]} images do; it is damaged")
                yield _of_pixels(np.frombuffer(data, np.uint8).reshape(count, *shape[1:]))

        yield parts()


@contextmanager
def _array_in(path: Path, member: str) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The shape of an array of uint8 in a zip, and the stream of its values: it is never read as a whole."""
    try:
        with zipfile.ZipFile(path) as packed, packed.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = header(stream)
            if dtype != np.uint8 or fortran:
                raise UserError(f"{path}: '{member}' holds {dtype}, images are needed as uint8 in C order")
            yield shape, stream
    except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{path}: '{member}' can't be read ({error})") from None


# --- files ------------------------------------------------------------------------------------------------------------


def _of_files(path: Path, name: str) -> ImageSet:
    with all_images(path) as files:
        names = np.array([file.class_name for file in files])
    if not len(names):
        raise UserError(f"{path}: holds no {FORMAT_NAMES} images, at any depth")
    classes = names if len(set(names.tolist())) > 1 and "" not in names else None
    return ImageSet(name, len(names), classes, lambda: _parts_of_files(path))


@contextmanager
def _parts_of_files(path: Path) -> Iterator[Iterator[Part]]:
    with all_images(path) as files:
        yield (_of_some(files[start : start + PART]) for start in range(0, len(files), PART))


def _of_some(files: list[SourceFile]) -> Part:
    data = [_read(file) for file in files]
    total = hashlib.sha256()
    for item in data:
        total.update(f"{len(item)}:".encode() + item)
    return Part(total.hexdigest(), len(files), lambda: (_pixels(f, d) for f, d in zip(files, data, strict=True)))


def _read(file: SourceFile) -> bytes:
    try:
        return file.read()
    except BadImage as error:
        raise UserError(f"{file.where}: {error}; mend it or take it out") from None


def _pixels(file: SourceFile, data: bytes) -> np.ndarray:
    try:
        return np.asarray(decode(data, "rgb").image)
    except BadImage as error:
        raise UserError(f"{file.where}: {error}; mend it or take it out") from None
