"""Prepare a data set: read a source, cut or crop its images, split them, write one archive.

The archive (see :mod:`featdiff.data.archive`) has the index columns path, split, label, class, source (the file's path
inside the source), row and column (upper left corner in the scaled image). Its manifest holds the settings and, as
inputs, the SHA-256 of each source file (of the zip, if the source is one). Skipped files are listed in its member
``skipped.csv``.
"""

import hashlib
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from featdiff import artifacts, derived
from featdiff.data import archive, assets
from featdiff.data.decode import decode
from featdiff.data.layouts import Positions
from featdiff.data.listing import BadImage, Listing, SourceFile
from featdiff.data.parallel import in_order
from featdiff.data.sources import open_source
from featdiff.data.spool import Spool
from featdiff.data.summary import SHOWN, Skip, Summary, shown
from featdiff.errors import UserError
from featdiff.settings.data import AssetSource, ClassPart, Dataset, FolderSource, PackagedSource, ZipSource

SKIPPED = "skipped.csv"
Source = PackagedSource | FolderSource | ZipSource | AssetSource


@dataclass(frozen=True, slots=True)
class Photo:
    """One image of the source, scaled (patches) or cropped; ``corners`` are its patches, None for a crop."""

    file: SourceFile
    pixels: np.ndarray  # (H, W, C) uint8
    colour: bool
    sha256: bytes  # of the file, where it is an input by itself
    content: bytes  # SHA-256 of the pixels: equal for equal pictures, whatever their files
    paged: bool = False  # the file has more pages or frames than the first
    row: int = 0
    column: int = 0
    corners: Positions | None = None


class Patch(NamedTuple):
    """A square of a photo."""

    photo: Photo
    row: int
    column: int


@dataclass(frozen=True)
class Cut(Sequence[np.ndarray]):
    """The images of a data set, each cut from its photo when it is asked for."""

    patches: list[Patch]
    size: int

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, place: Any) -> Any:
        photo, row, column = self.patches[place]
        top, left = (0, 0) if photo.corners is None else (row, column)
        return photo.pixels[top : top + self.size, left : left + self.size]


def prepare(
    dataset: Dataset,
    out: Path | str,
    *,
    base: Path | str = Path("."),
    judge: Callable[[dict[str, dict[str, int]]], None] | None = None,
) -> Summary:
    """Make the archive of a data set at ``out``; relative source paths start at ``base``.

    ``judge`` is told the images of each class by split before anything is written, and raises what is wrong with them.
    """
    out = Path(out)
    with _opened(dataset.source, Path(base)) as everything:
        listing = everything.select(chosen_classes(dataset, everything.classes))
        photos, bad = _load(listing, dataset, Spool(out.parent))
    bad = [Skip(f.name, f.where, "lies beside the class folders, not in one") for f in listing.strays] + bad
    if bad and dataset.bad_images == "error":
        raise UserError("\n".join([f"{len(bad)} unusable file(s):", *shown(bad), "mend them or set bad_images: skip"]))
    _check_modes(photos, dataset)
    photos, contradictions = _without_contradictions(photos, dataset)
    bad += contradictions
    by_class = _by_class(photos, listing.classes, bad)
    parts: dict[tuple[str, str], list[Patch]] = {}
    for name, members in by_class.items():
        train, test = _split(name, members, dataset)
        if len(train) < 2 or not test:
            raise UserError(f"class '{name}': {len(train)} training and {len(test)} test images; pairs need 2 and 1")
        parts[name, "train"], parts[name, "test"] = _at_most(name, train, dataset), test
    counts = {name: {split: len(parts[name, split]) for split in ("train", "test")} for name in by_class}
    if judge is not None:
        judge(counts)
    images, index = _table(parts, listing.classes, dataset)
    inputs = listing.inputs or {p.file.name: p.sha256.hex() for p in photos}
    made = artifacts.manifest("dataset", dataset, by=prepare).model_copy(update={"inputs": inputs})
    archive.write(out, images, index, made, extra=_skip_table(bad))
    copies = sum(n - 1 for n in Counter((p.file.class_name, p.content) for p in photos).values())
    size, channels = dataset.layout.size, images[0].shape[-1]
    halves = [{p.content for p in photos if p.file.split == split} for split in ("train", "test")]
    shared = sum(p.content in halves[0] for p in photos if p.file.split == "test")
    paged = sum(p.paged for p in photos)
    return Summary(out, (size, size, channels), counts, tuple(bad), listing.ignored, copies, shared, paged)


def chosen_classes(dataset: Dataset, found: list[str]) -> list[str]:
    """The classes that take part, in the order of ``found``."""
    wanted = dataset.classes
    if wanted is None:
        return found
    if isinstance(wanted, ClassPart):
        if wanted.new >= len(found):
            raise UserError(
                f"classes.new is {wanted.new}, but the source has {len(found)} classes and some must be left"
            )
        order = derived.numpy_generator(wanted.seed, "new classes").permutation(len(found))
        end = None if wanted.known is None else wanted.new + wanted.known
        if end is not None and end > len(found):
            raise UserError(
                f"classes asks for {wanted.new} new and {wanted.known} known ones, but the source has {len(found)}"
            )
        side = order[: wanted.new] if wanted.take == "new" else order[wanted.new : end]
        return [found[i] for i in sorted(side)]
    if unknown := sorted({*wanted} - {*found}):
        raise UserError(f"classes names {unknown}, but the source has {', '.join(found[:SHOWN])}")
    return [name for name in found if name in wanted]


@contextmanager
def _opened(source: Source, base: Path) -> Iterator[Listing]:
    if isinstance(source, AssetSource):
        path = base / source.path
        assets.check(source.name, path)
        if source.name == "animal-shape-mnist":
            yield assets.animals(path)
        else:
            halves = ("train", "test") if source.name == "emoji" else None
            with open_source(ZipSource(kind="zip", path=str(path), halves=halves), base) as listing:
                yield listing
    else:
        with open_source(source, base) as listing:
            yield listing


def _load(listing: Listing, dataset: Dataset, spool: Spool) -> tuple[list[Photo], list[Skip]]:
    """Decode and scale all files, several at a time, in the listing's order; their pixels go to the spool."""
    photos: list[Photo] = []
    bad: list[Skip] = []

    def load(file: SourceFile) -> Photo | BadImage:
        try:
            return _photo(file, dataset, hashed=not listing.inputs)
        except BadImage as error:
            return error

    threads = min(8, os.cpu_count() or 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused with a message of ours
        loaded = in_order(load, listing.files, threads=threads, under_way=8 * threads)
        for file, photo in zip(listing.files, loaded, strict=True):
            if isinstance(photo, BadImage):
                bad.append(Skip(file.name, file.where, str(photo)))
            else:
                photos.append(replace(photo, pixels=spool.put(photo.pixels)))
            file.forget()
    return photos, bad


def _photo(file: SourceFile, dataset: Dataset, *, hashed: bool) -> Photo:
    data = file.read()
    picture = decode(data, dataset.mode)
    sha256 = hashlib.sha256(data).digest() if hashed else b""
    laid = dataset.layout.lay(picture.image, dataset.test_fraction)
    height, width = laid.pixels.shape[:2]
    if dataset.layout.whole and {height, width} != {dataset.layout.size}:
        raise UserError(
            f"layout {dataset.layout.kind} made {width} x {height} pixels, not a square of {dataset.layout.size}"
        )
    content = _content(laid.pixels)
    place = (laid.row, laid.column, laid.corners)
    return Photo(file, laid.pixels, picture.colour, sha256, content, picture.paged, *place)


def _content(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


# --- checks over all images ---------------------------------------------------------------------------------------


def _check_modes(photos: list[Photo], dataset: Dataset) -> None:
    gray, colour = [p for p in photos if not p.colour], [p for p in photos if p.colour]
    if gray and colour and dataset.mixed_modes == "error":
        raise UserError(
            f"gray and colour images are mixed: {len(gray)} gray (as {gray[0].file.where}), {len(colour)} in colour "
            f"(as {colour[0].file.where}); set mixed_modes: convert to make all of them {dataset.mode}"
        )


def _without_contradictions(photos: list[Photo], dataset: Dataset) -> tuple[list[Photo], list[Skip]]:
    """The same picture in two classes has no class, and could lie in the training and the test images."""
    first: dict[bytes, Photo] = {}
    both: dict[bytes, set[str]] = {}
    for photo in photos:
        other = first.setdefault(photo.content, photo)
        if other.file.class_name != photo.file.class_name:
            if dataset.bad_images == "error":
                raise UserError(
                    f"{other.file.where} and {photo.file.where} are the same picture in two classes; remove one, or "
                    "set bad_images: skip to do without both"
                )
            both.setdefault(photo.content, {other.file.class_name}).add(photo.file.class_name)
    skipped = [
        Skip(p.file.name, p.file.where, f"the same picture in classes {', '.join(sorted(both[p.content]))}")
        for p in photos
        if p.content in both
    ]
    return [p for p in photos if p.content not in both], skipped


def _by_class(photos: list[Photo], classes: list[str], bad: list[Skip]) -> dict[str, list[Photo]]:
    found: dict[str, list[Photo]] = {name: [] for name in classes}
    for photo in photos:
        found[photo.file.class_name].append(photo)
    for name, members in found.items():
        if not members:
            raise UserError(
                "\n".join([f"class '{name}' has no usable image; remove its folder or add some", *shown(bad)])
            )
    return found


# --- training and test --------------------------------------------------------------------------------------------


def _split(name: str, photos: list[Photo], dataset: Dataset) -> tuple[list[Patch], list[Patch]]:
    """Training and test images of a class: the halves that were given, or drawn ones."""
    if any(photo.file.split for photo in photos):
        train, test = ([Patch(p, p.row, p.column) for p in photos if p.file.split == s] for s in ("train", "test"))
        return train, test
    return _split_crops(name, photos, dataset) if dataset.layout.whole else _split_patches(photos)


def _split_patches(photos: list[Photo]) -> tuple[list[Patch], list[Patch]]:
    def cut(split: str) -> list[Patch]:
        return [Patch(p, int(r), int(c)) for p in photos if p.corners for r, c in getattr(p.corners, split)]

    return cut("train"), cut("test")


def _split_crops(name: str, photos: list[Photo], dataset: Dataset) -> tuple[list[Patch], list[Patch]]:
    """Whole images, drawn by seed and content: neither names nor order matter, and copies stay on one side."""
    groups: dict[bytes, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.content].append(photo)
    if len(groups) < 3:
        raise UserError(
            f"class '{name}' has {len(groups)} distinct image(s) (as {photos[0].file.where}); whole images need at "
            "least 3 a class, 2 to pair in training and 1 to test: add some, or cut photographs with layout.kind: "
            "patches"
        )
    count = min(max(round(dataset.test_fraction * len(groups)), 1), len(groups) - 2)
    order = derived.numpy_generator(dataset.seed, "split", name).permutation(len(groups))
    chosen = {sorted(groups)[i] for i in order[:count]}

    def side(test: bool) -> list[Patch]:
        return [Patch(p, p.row, p.column) for p in photos if (p.content in chosen) == test]

    return side(False), side(True)


def _at_most(name: str, train: list[Patch], dataset: Dataset) -> list[Patch]:
    most = dataset.max_images_per_class
    if most is None or len(train) <= most:
        return train
    if most < 2:
        raise UserError(
            f"max_images_per_class is {most}, but training pairs two images of a class; set it to 2 or more"
        )
    kept = derived.numpy_generator(dataset.seed, "keep", name).choice(len(train), most, replace=False)
    return [train[i] for i in sorted(kept)]


# --- writing ------------------------------------------------------------------------------------------------------


def _table(parts: dict[tuple[str, str], list[Patch]], classes: list[str], dataset: Dataset) -> tuple[Cut, pd.DataFrame]:
    """The images in the order of the archive, and their index."""
    patches = [patch for members in parts.values() for patch in members]
    counts = [len(members) for members in parts.values()]
    names, splits = ([key[i] for key in parts] for i in range(2))
    columns = {
        "path": [
            f"{split}/{name}/{k:06d}.png" for (name, split), members in parts.items() for k in range(len(members))
        ],
        "split": pd.Categorical.from_codes(
            np.repeat([splits.index(s) for s in splits], counts), sorted(set(splits), key=splits.index)
        ),
        "label": np.repeat([classes.index(name) for name in names], counts),
        "class": pd.Categorical.from_codes(np.repeat([classes.index(name) for name in names], counts), classes),
        "source": [patch.photo.file.name for patch in patches],
        "row": [patch.row for patch in patches],
        "column": [patch.column for patch in patches],
    }
    return Cut(patches, dataset.layout.size), pd.DataFrame(columns)


def _skip_table(bad: list[Skip]) -> dict[str, bytes]:
    table = pd.DataFrame([(s.source, s.reason) for s in bad], columns=["source", "reason"])
    return {SKIPPED: table.to_csv(index=False, lineterminator="\n").encode()} if bad else {}
