"""Where images come from: the photographs of an installed package, a folder of class folders, or a zip of one.

All three give one :class:`featdiff.data.listing.Listing`: files in an order that depends on their names alone (never on
the file system), each with its class and a function that reads its bytes. Hidden files and what systems leave behind
are ignored and counted. A zip is never extracted: its members are read into memory, after links, encrypted members,
climbing paths and bombs have been refused.
"""

import importlib.resources
import os
import re
import stat
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from featdiff.artifacts import sha256_file
from featdiff.data.listing import (
    IMAGE_SUFFIXES,
    UNPACKED,
    BadImage,
    Listing,
    Parts,
    SourceFile,
    Tree,
    junk,
    parents,
)
from featdiff.errors import UserError
from featdiff.settings.data import PHOTOGRAPHS, Files, FolderSource, PackagedSource, ZipSource

PACKAGED = {"skimage-textures": ("skimage.data", PHOTOGRAPHS)}
MAX_FILE = 2**28  # bytes of one image file
MAX_TOTAL = 2**34  # bytes of all members of a zip, unpacked
MAX_MEMBERS = 2**22
MAX_RATIO = 100  # unpacked over packed size of a zip member beyond RATIO_FROM bytes: packed images hardly shrink
RATIO_FROM = 2**20


@contextmanager
def open_source(source: PackagedSource | FolderSource | ZipSource, base: Path) -> Iterator[Listing]:
    """List a source; relative paths start at ``base``. Files can be read while the context is open."""
    if isinstance(source, PackagedSource):
        yield _packaged(source.name)
    elif isinstance(source, FolderSource):
        yield _folder(base / source.path, source)
    else:
        path = base / source.path
        with _open_zip(path) as archive:
            yield _zip(path, archive, source)


def _packaged(name: str) -> Listing:
    package, photographs = PACKAGED[name]
    try:
        root = importlib.resources.files(package)
    except ModuleNotFoundError:
        raise UserError(
            f"the data set '{name}' ships inside scikit-image: install it, pip install scikit-image"
        ) from None
    files = [SourceFile(f"{p}.png", p, f"{package}/", (root / f"{p}.png").read_bytes) for p in photographs]
    return Listing(list(photographs), files)


# --- folder -------------------------------------------------------------------------------------------------------


def look(path: Path) -> Tree:
    """The files and folders of a folder or a zip, as far down as any source may have them; to be named, not read."""
    if path.is_dir():
        return _folder_tree(path, deepest=4)
    with _open_zip(path) as archive:
        return _zip_tree(path, archive)


def _folder(root: Path, source: Files) -> Listing:
    if not root.is_dir():
        raise UserError(f"{root}: {'is not a folder' if root.exists() else 'no such folder'}; check source.path")
    return _folder_tree(root, deepest=3 if source.halves is None else 4).listing(source)


def _folder_tree(root: Path, *, deepest: int) -> Tree:
    tree = Tree(str(root), "/")
    try:
        _walk(tree, root, (), deepest=deepest)
    except OSError as error:
        raise UserError(f"{error.filename}: can't be listed ({error.strerror}); mend its permissions") from None
    return tree


def _walk(tree: Tree, folder: Path, parts: Parts, *, deepest: int) -> None:
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        inner = (*parts, entry.name)
        if junk(entry.name):
            tree.ignored += 1
        elif not entry.is_dir():
            tree.files[inner] = _file_reader(Path(entry.path))
        else:
            tree.folders.add(inner)
            if len(inner) < deepest:  # deeper ones are refused, and links in a circle end here
                _walk(tree, Path(entry.path), inner, deepest=deepest)


def _file_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            if not path.is_file():  # a pipe would block for ever
                raise BadImage("a broken link" if path.is_symlink() else "not a regular file")
            if path.stat().st_size > MAX_FILE:
                raise BadImage(f"larger than {MAX_FILE >> 20} MiB")
            return path.read_bytes()
        except OSError as error:
            raise BadImage(f"can't be read ({error.strerror})") from None

    return read


# --- zip ----------------------------------------------------------------------------------------------------------


def _open_zip(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise UserError(f"{path}: {'is not a file' if path.exists() else 'no such file'}; check source.path")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable zip file ({error})") from None


def _zip(path: Path, archive: zipfile.ZipFile, source: Files) -> Listing:
    return _zip_tree(path, archive).listing(source, inputs={path.name: sha256_file(path)})


def _zip_tree(path: Path, archive: zipfile.ZipFile) -> Tree:
    members, readers = archive.infolist(), _Members(archive)
    _refuse_bombs(path, members)
    tree = Tree(str(path), ":")
    archive.NameToInfo.clear()
    members.reverse()
    while members:  # what zipfile knows of a member goes when what is needed of it is kept
        info = members.pop()
        parts, folder = _member_parts(path, info), info.filename.endswith(("/", "\\"))
        if any(junk(p) for p in parts):
            tree.ignored += not folder
            tree.folders.update(parents(parts) if not any(junk(p) for p in parts[:-1]) else ())
        elif folder:
            tree.folders.update((*parents(parts), parts))
        elif parts in tree.files:
            raise UserError(f"{path}: holds '{info.filename}' twice; pack it anew")
        else:
            tree.folders.update(parents(parts))
            tree.files[parts] = readers.add(info)
    return tree


def _refuse_bombs(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{path}: holds {len(members):,} members, more than {MAX_MEMBERS:,}; split it")
    total = 0
    for info in members:
        total += info.file_size
        bare = info.filename.lower().endswith(UNPACKED)
        squeezed = info.file_size > RATIO_FROM and info.file_size > MAX_RATIO * max(info.compress_size, 1) and not bare
        if squeezed or info.file_size > MAX_FILE:
            why = f"{info.file_size:,} bytes out of {info.compress_size:,}"
            raise UserError(f"{path}: member '{info.filename}' would unpack to {why}; refused as a zip bomb")
        if total > MAX_TOTAL:
            raise UserError(f"{path}: would unpack to more than {MAX_TOTAL >> 30} GiB by '{info.filename}'; split it")


def _member_parts(path: Path, info: zipfile.ZipInfo) -> Parts:
    """The member's path in parts (backslashes are separators too); refuses what does not belong in a data set."""
    name = info.filename.replace("\\", "/")
    parts = tuple(p for p in name.split("/") if p not in ("", "."))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or ".." in parts or (parts and re.fullmatch("[A-Za-z]:", parts[0])):
        raise UserError(f"{path}: member '{info.filename}' has a path that leaves the archive; refused")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "a special file"
        raise UserError(f"{path}: member '{info.filename}' is {what}; refused, pack the file itself")
    if info.flag_bits & 0x1:
        raise UserError(f"{path}: member '{info.filename}' is encrypted; pack it without a password")
    return parts


class _Members:
    """What it takes to read the members of a zip, in arrays: a million ``ZipInfo`` would take half a gigabyte."""

    COLUMNS = 7

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        self.numbers = array("q")
        self.names = bytearray()

    def add(self, info: zipfile.ZipInfo) -> Callable[[], bytes]:
        """The reader of a member."""
        name = info.orig_filename.encode()
        where = (info.header_offset, info.compress_size, info.file_size, info.CRC)
        kinds = info.compress_type << 16 | info.flag_bits
        try:
            self.numbers += array("q", (*where, kinds, len(self.names), len(name)))
        except OverflowError:
            return _nowhere
        self.names += name
        return _Member(self, len(self.numbers) - self.COLUMNS)

    def read(self, place: int) -> bytes:
        """The content of the member whose numbers begin at ``place``."""
        offset, packed, size, crc, kinds, start, length = self.numbers[place : place + self.COLUMNS]
        info = zipfile.ZipInfo(self.names[start : start + length].decode())
        info.orig_filename = self.names[start : start + length].decode()
        info.header_offset, info.compress_size, info.file_size, info.CRC = offset, packed, size, crc
        info.compress_type, info.flag_bits = kinds >> 16, kinds & 0xFFFF
        return self.archive.read(info)


@dataclass(frozen=True, slots=True)
class _Member:
    """Reads a member of a zip."""

    members: _Members
    place: int

    def __call__(self) -> bytes:
        try:
            return self.members.read(self.place)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            raise BadImage(f"damaged in the zip ({error})") from None


def _nowhere() -> bytes:
    """The reader of a member that should lie further away than any file is long."""
    raise BadImage("damaged in the zip (its place is no number of a file)")


# --- any images -------------------------------------------------------------------------------------------------------


@contextmanager
def all_images(path: Path) -> Iterator[list[SourceFile]]:
    """Every image file of a folder or a zip, at any depth, in the order of their paths; the class is the folder that an
    image lies in, "" at the top. Files can be read while the context is open."""
    if path.is_dir():
        names = sorted(f.relative_to(path).as_posix() for f in path.rglob("*") if _shown(f.relative_to(path).parts))
        yield [SourceFile(name, _folder_of(name), f"{path}/", _file_reader(path / name)) for name in names]
        return
    with _open_zip(path) as archive:
        _refuse_bombs(path, archive.infolist())
        members = {_member_parts(path, info): info for info in archive.infolist()}
        found = {"/".join(parts): info for parts, info in members.items() if _shown(parts)}
        readers = _Members(archive)
        yield [SourceFile(n, _folder_of(n), f"{path}:", readers.add(found[n])) for n in sorted(found)]


def _shown(parts: Parts) -> bool:
    return parts[-1:] != () and parts[-1].lower().endswith(IMAGE_SUFFIXES) and not any(junk(p) for p in parts)


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0].rpartition("/")[2]
