"""A look at all images of a source: classes, counts, sizes, gray and colour, copies, and what is not usable.

Up to ``DECODED`` images are decoded as preparation will decode them, so that what is said here holds there. Of more
images the headers are read alone; copies are then files with the same bytes, and damage inside a file is found later.
"""

import hashlib
import io
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from featdiff.data.decode import FORMATS, GRAY, decode
from featdiff.data.listing import BadImage, SourceFile
from featdiff.data.parallel import in_order
from featdiff.data.sources import open_source
from featdiff.data.summary import Skip, shown
from featdiff.errors import UserError
from featdiff.settings.data import FolderSource, ZipSource

DECODED = 20_000
NAMED = 12  # classes named one by one
Half = str | None


@dataclass(frozen=True)
class Seen:
    """One usable image."""

    file: SourceFile
    width: int
    height: int
    colour: bool
    paged: bool
    content: bytes


@dataclass
class Survey:
    """What a source holds. ``images`` are usable ones; pictures that lie in two classes are not among them."""

    classes: list[str]
    images: list[Seen]
    bad: list[Skip]
    contradictions: list[tuple[str, ...]]  # files of one picture in several classes
    ignored: int
    decoded: bool
    sizes: dict[tuple[str, Half], np.ndarray] = field(init=False)  # (N, 2) width and height by class and half

    def __post_init__(self) -> None:
        parts: dict[tuple[str, Half], list[tuple[int, int]]] = defaultdict(list)
        for seen in self.images:
            parts[seen.file.class_name, seen.file.split].append((seen.width, seen.height))
        halves: list[Half] = ["train", "test"] if any(s.file.split for s in self.images) else [None]
        self.sizes = {
            (name, half): np.array(parts[name, half], np.int64).reshape(-1, 2)
            for name in self.classes
            for half in halves
        }

    @property
    def halves(self) -> bool:
        """Whether training and test images were given apart."""
        return any(half for _, half in self.sizes)

    @property
    def gray(self) -> int:
        return sum(not seen.colour for seen in self.images)

    @property
    def colour(self) -> int:
        return sum(seen.colour for seen in self.images)

    def counts(self, size: int = 0) -> dict[tuple[str, Half], int]:
        """Images of each class and half whose sides are at least ``size`` pixels."""
        return {key: int((sides.min(1, initial=1 << 30) >= size).sum()) for key, sides in self.sizes.items()}

    def words(self) -> list[str]:
        """What was found, in lines for people."""
        total, counts = len(self.images), self.counts()
        sides = np.array([(s.width, s.height) for s in self.images])
        lines = [f"{total:,} images of {len(self.classes)} class{'es' * (len(self.classes) > 1)}"]
        lines += [f"  {line}" for line in _of_classes(self.classes, counts, self.halves)]
        small, large = sides[sides.min(1).argmin()], sides[sides.min(1).argmax()]
        alike = len({tuple(side) for side in sides.tolist()}) == 1
        lines += [f"sizes: all {small[0]} x {small[1]}" if alike else f"sizes: {_size(small)} to {_size(large)} pixels"]
        lines += [f"gray: {self.gray:,}, colour: {self.colour:,}"]
        lines += self._odd()
        if not self.decoded:
            lines += [f"(more than {DECODED:,} images: their headers were read, not their pixels)"]
        return lines

    def _odd(self) -> list[str]:
        lines = []
        copies = Counter((s.file.class_name, s.file.split, s.content) for s in self.images)
        if extra := sum(n - 1 for n in copies.values()):
            lines.append(f"copies within a class: {extra:,} (they stay on one side of the split)")
        given = {s.content for s in self.images if s.file.split == "train"}
        if shared := sum(s.content in given for s in self.images if s.file.split == "test"):
            lines.append(f"test images that are training images, too: {shared:,} (they stay: so the halves were given)")
        if self.contradictions:
            first = self.contradictions[0]
            lines.append(
                f"the same picture in two classes: {len(self.contradictions):,} (as {first[0]} and {first[1]})"
            )
        if paged := [s for s in self.images if s.paged]:
            first_page = f"as {paged[0].file.name}: the first is taken"
            lines.append(f"files with more pages or frames than one: {len(paged):,} ({first_page})")
        if self.bad:
            lines += [f"not usable: {len(self.bad):,}", *shown(self.bad)]
        return lines + [f"hidden files, ignored: {self.ignored:,}"] * bool(self.ignored)


def _size(side: np.ndarray) -> str:
    return f"{side[0]} x {side[1]}"


def _of_classes(classes: list[str], counts: dict[tuple[str, Half], int], halves: bool) -> list[str]:
    """A line a class where they are few; else the smallest and the largest."""

    def count(name: str) -> str:
        if halves:
            return f"{counts[name, 'train']:,} train, {counts[name, 'test']:,} test"
        return f"{counts[name, None]:,}"

    def total(name: str) -> int:
        return sum(n for (of, _), n in counts.items() if of == name)

    if len(classes) <= NAMED:
        return [f"{name}: {count(name)}" for name in classes]
    totals = {name: total(name) for name in classes}
    least, most = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
    return [f"smallest: {least} with {count(least)}", f"largest: {most} with {count(most)}"]


def survey(source: FolderSource | ZipSource, base: Path) -> Survey:
    """Look at every image of a source; relative paths start at ``base``. Raises :class:`UserError` where no class
    has any."""
    found: list[Seen] = []
    with open_source(source, base) as listing:
        bad = [Skip(f.name, f.where, "lies beside the class folders, not in one") for f in listing.strays]
        whole = len(listing.files) <= DECODED
        bar = tqdm(listing.files, unit="image", desc="Looking", leave=False, disable=None, delay=1)
        for file, seen in zip(listing.files, in_order(_decoded if whole else _header, bar), strict=True):
            if isinstance(seen, BadImage):
                bad.append(Skip(file.name, file.where, str(seen)))
            else:
                found.append(seen)
            file.forget()
    usable, contradictions = _apart(found)
    if not usable:
        raise UserError("\n".join(["no image can be used", *shown(bad)]))
    return Survey(listing.classes, usable, bad, contradictions, listing.ignored, whole)


def _decoded(file: SourceFile) -> Seen | BadImage:
    try:
        picture = decode(file.read(), "rgb")
    except BadImage as error:
        return error
    image = picture.image
    content = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).digest()
    return Seen(file, *image.size, picture.colour, picture.paged, content)


def _header(file: SourceFile) -> Seen | BadImage:
    try:
        data = file.read()
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.mode in ("P", "I;16") or image.format in ("TIFF", "GIF"):
                return _decoded(file)
            return Seen(file, *image.size, image.mode not in GRAY, False, hashlib.sha256(data).digest())
    except BadImage as error:
        return error
    except Exception:
        return _decoded(file)  # says what is wrong with it


def _apart(found: list[Seen]) -> tuple[list[Seen], list[tuple[str, ...]]]:
    """Images, and the pictures that are in more classes than one."""
    classes: dict[bytes, set[str]] = defaultdict(set)
    for seen in found:
        classes[seen.content].add(seen.file.class_name)
    both = {content for content, names in classes.items() if len(names) > 1}
    files: dict[bytes, list[str]] = defaultdict(list)
    for seen in found:
        if seen.content in both:
            files[seen.content].append(seen.file.name)
    return [seen for seen in found if seen.content not in both], [tuple(names) for names in files.values()]
