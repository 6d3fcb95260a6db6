"""What a source of images holds: its files with their classes, read from a layout of folders.

CLASS/IMAGE             or all of it in one folder more; hidden files and what systems leave behind are ignored
HALF/CLASS/IMAGE        with ``source.halves``: training and test images apart
IMAGE                   with ``source.one_class``
"""

import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from featdiff.errors import UserError
from featdiff.settings.data import Files

JUNK = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
FORMAT_NAMES = "PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF"
UNPACKED = (".tif", ".tiff", ".bmp")  # may hold bare pixels, which a zip can shrink as much as it can anything
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".heic", ".heif", *UNPACKED)

Parts = tuple[str, ...]


class BadImage(Exception):
    """One file that is no usable image, and why; an error or a counted skip, as the setting says."""


@dataclass(slots=True)
class SourceFile:
    """One file that should be an image: its path inside the source, its class, what stands before the path in messages,
    and its split where the source gives one.

    There may be a million of them: what they share is shared, and what can be told from the rest is not kept.
    """

    name: str
    class_name: str
    source: str
    read: Callable[[], bytes]
    split: Literal["train", "test"] | None = None

    @property
    def where(self) -> str:
        """Where it lies, for messages."""
        return self.source + self.name

    def forget(self) -> None:
        """Its image is known now: what reading it took is free."""
        self.read = already_read


@dataclass(frozen=True)
class Listing:
    """What a source holds. ``inputs`` are files already hashed; when empty, each image file is an input by itself."""

    classes: list[str]
    files: list[SourceFile]
    strays: list[SourceFile] = field(default_factory=list)  # they lie in no class folder
    ignored: int = 0
    inputs: dict[str, str] = field(default_factory=dict)

    def select(self, classes: list[str]) -> "Listing":
        """These classes and their files alone."""
        return replace(self, classes=classes, files=[file for file in self.files if file.class_name in classes])


def already_read() -> bytes:
    """The reader of a file whose image is known: what the real one held is free."""
    raise ValueError("this file was read already")


# --- the layout of folders --------------------------------------------------------------------------------------------


def junk(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left behind by a system."""
    return name.startswith(".") or name in JUNK


def parents(parts: Parts) -> list[Parts]:
    """The folders that a path lies in."""
    return [parts[:k] for k in range(1, len(parts))]


class Tree:
    """Files and folders by their paths; :meth:`listing` reads them as CLASS/IMAGE or WRAPPER/CLASS/IMAGE, in halves or
    whole."""

    def __init__(self, where: str, separator: str):
        self.where, self.separator = where, separator
        self.files: dict[Parts, Callable[[], bytes]] = {}
        self.folders: set[Parts] = set()
        self.ignored = 0

    def listing(self, source: Files, *, inputs: dict[str, str] | None = None) -> Listing:
        """What there is; raises :class:`UserError` where the folders are not laid out as the settings say."""
        classes: set[str] = set()
        files: list[SourceFile] = []
        strays: list[SourceFile] = []
        for top, split in self._tops(source):
            names = self._class_names(top, source.one_class)
            classes.update(names.values())
            for parts in sorted(self.files):
                if parts[: len(top)] == top:
                    class_name = names.get(parts[:-1])
                    found = self._file(parts, class_name or "", split)
                    (strays if class_name is None else files).append(found)
        files.sort(key=lambda f: (f.class_name, f.name))
        return Listing(sorted(classes), files, strays, self.ignored, inputs or {})

    def _file(self, parts: Parts, class_name: str, split: Literal["train", "test"] | None) -> SourceFile:
        return SourceFile("/".join(parts), class_name, self.where + self.separator, self.files[parts], split)

    def _tops(self, source: Files) -> list[tuple[Parts, Literal["train", "test"] | None]]:
        """The folders that hold class folders, or images of the only class, and the split of what lies there."""
        if source.halves is None:
            return [(() if source.one_class else self._wrapper(), None)]
        train, test = source.halves
        for top in [(), *sorted(f for f in self.folders if len(f) == 1)]:
            if {(*top, train), (*top, test)} <= self.folders:
                return [((*top, train), "train"), ((*top, test), "test")]
        raise UserError(f"{self.where}: holds no folders '{train}' and '{test}', which source.halves names")

    def _wrapper(self) -> Parts:
        """The one folder that holds the class folders, or () when they lie at the top."""
        tops = [f for f in self.folders if len(f) == 1]
        holds_folders = any(len(f) == 2 for f in self.folders)
        holds_images = any(len(p) < 3 and p[-1].lower().endswith(IMAGE_SUFFIXES) for p in self.files)
        return tops[0] if len(tops) == 1 and holds_folders and not holds_images else ()

    def _class_names(self, top: Parts, only: str | None) -> dict[Parts, str]:
        """The class of each folder that holds images, below ``top``."""
        within = sorted(f for f in self.folders if len(f) > len(top) and f[: len(top)] == top)
        if only is not None:
            self._refuse_nested(within, "a folder beside the images of the only class (source.one_class)")
            return {top: only}
        self._refuse_nested([f for f in within if len(f) > len(top) + 1], "a folder inside a class folder")
        names = {f: unicodedata.normalize("NFC", f[-1]) for f in within}
        if not names:
            raise UserError(
                f"{self._at(top) if top else self.where}: holds no class folders; expected one folder of images a "
                "class: CLASS/IMAGE.png (of images without classes: source.one_class: NAME)"
            )
        for folder, name in names.items():
            if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
                raise UserError(f"{self._at(folder)!r}: a class name with control or undecodable characters; rename it")
        twice = [name for name, n in Counter(names.values()).items() if n > 1]
        if twice:
            raise UserError(
                f"{self.where}: two class folders are both called '{twice[0]}' (Unicode spellings); rename one"
            )
        return names

    def _refuse_nested(self, nested: list[Parts], what: str) -> None:
        if nested:
            raise UserError(
                f"{self._at(nested[0])}: {what}; expected CLASS/IMAGE (point source.path at the folder that holds the "
                "class folders; of ready-made training and test images: source.halves: [train, test])"
            )

    def _at(self, parts: Parts) -> str:
        return self.where + self.separator + "/".join(parts)
