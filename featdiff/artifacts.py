"""Artifacts: files that appear complete or not at all, and carry a manifest of what made them.

A manifest names the kind of artifact, the resolved settings, the SHA-256 of each input, the version and source digest
of featdiff, the versions of the libraries, a digest of the artifact's own content, and a seal over all of these. It
holds no time and no machine name: the same settings give the same bits. It travels inside the file (a zip member,
safetensors metadata, a JSON key), so each artifact is one file. Readers check content and seal before anything is used.
"""

import errno
import glob
import hashlib
import io
import json
import os
import platform
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from featdiff import __version__, meaning
from featdiff.errors import UserError
from featdiff.settings.base import determining

MANIFEST = "manifest.json"
PART = ".part"  # a file that is being written
LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "scikit-image", "pillow", "pandas", "safetensors", "clean-fid")
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_UNREADABLE = (  # what zipfile raises on damaged files
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    MemoryError,
    KeyError,
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
Content = bytes | Iterable[bytes]  # of a member: whole, or parts of what is too large to be held
Members = Mapping[str, Content] | Iterable[tuple[str, Content]]


class Manifest(BaseModel):
    """What made an artifact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    featdiff: str
    code: str
    libraries: dict[str, str]
    content: str = ""
    seal: str = ""

    def sealed(self, content: str) -> "Manifest":
        """This manifest for an artifact with the content digest ``content``, closed by a digest over all its fields."""
        whole = self.model_copy(update={"content": content, "seal": ""})
        return whole.model_copy(update={"seal": hashlib.sha256(whole.model_dump_json().encode()).hexdigest()})

    def unsealed(self) -> "Manifest":
        """This manifest before it was sealed: what made an artifact, whatever came out."""
        return self.model_copy(update={"content": "", "seal": ""})


def manifest(
    kind: str,
    settings: BaseModel | dict[str, Any],
    inputs: Mapping[str, Path | str] | None = None,
    *,
    by: Callable[..., Any] | None = None,
) -> Manifest:
    """Describe an artifact about to be written; ``inputs`` are files, recorded by their SHA-256.

    ``by`` is the function that makes it: the manifest's ``code`` is the digest of all that it can reach
    (:mod:`featdiff.meaning`), of the whole package where none is given. Settings that change no bits are left out.
    """
    plain = determining(settings) if isinstance(settings, BaseModel) else settings
    return Manifest(
        kind=kind,
        settings=plain,
        inputs={name: sha256_file(path) for name, path in sorted((inputs or {}).items())},
        featdiff=__version__,
        code=meaning.code_of(by) if by else code_digest(),
        libraries={"python": platform.python_version(), **_library_versions()},
    )


@cache
def _library_versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def code_digest() -> str:
    """SHA-256 over the package's source files, by path and content."""
    root = meaning.INSTALLED
    return digest({str(p.relative_to(root).as_posix()): p.read_bytes() for p in sorted(root.rglob("*.py"))})


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file, in hexadecimal."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def digest(parts: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, whatever their order."""
    return _digest_of({name: hashlib.sha256(content).digest() for name, content in parts.items()})


def _digest_of(hashes: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(hashes):
        total.update(f"{len(name)}:{name}:{hashes[name].hex()};".encode())
    return total.hexdigest()


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success flush it to disk and rename it into place, else remove it.

    Raises :class:`UserError` when it can't be written: disk full, read-only, no permission, folder deleted meanwhile.
    What stood at ``path`` before stays then.
    """
    path = Path(path)
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
        os.close(handle)
        aside = Path(name)
        yield aside
        with open(aside, "rb+") as stream:
            os.fsync(stream.fileno())
        aside.chmod(0o644)
        aside.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        if aside is not None:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> UserError:
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return UserError(f"{path}: can't be written ({why}): make room on its disk and run the same command again")
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: can't be written, its folder was deleted meanwhile: run the same command again")
    return UserError(f"{path}: can't be written ({why}): mend the permissions of {path.parent} and run again")


def remove_leftovers(path: Path | str) -> None:
    """Remove what writers of ``path`` that were killed have left beside it; the caller makes sure that none is
    alive."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{PART}"):
        with suppress(OSError):
            left.unlink()


def write_zip(path: Path | str, members: Members, made: Manifest) -> None:
    """Write a zip with the manifest as its first member; the same members give the same bits.

    Members are gone through once and not held. Only then the manifest is known, but how long it is was known before: it
    is put into the place that was left for it.
    """
    hashes = {}
    with atomic(path) as aside, open(aside, "wb+") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        first = _entry(MANIFEST)
        archive.writestr(first, _text(made.sealed("0" * 64)))
        for name, data in members.items() if isinstance(members, Mapping) else members:
            hashes[name] = _put(archive, name, data)
        text = _text(made.sealed(_digest_of(hashes)))
        first.CRC = zlib.crc32(text)
        file.seek(first.header_offset)
        file.write(first.FileHeader() + text)


def _text(made: Manifest) -> bytes:
    return made.model_dump_json(indent=2).encode()


def _put(archive: zipfile.ZipFile, name: str, data: Content) -> bytes:
    """Write a member; returns its SHA-256."""
    if isinstance(data, bytes):
        archive.writestr(_entry(name), data)
        return hashlib.sha256(data).digest()
    total = hashlib.sha256()
    with archive.open(_entry(name), "w", force_zip64=True) as stream:
        for part in data:
            stream.write(part)
            total.update(part)
    return total.digest()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.external_attr = 0o644 << 16
    return entry


class Opened:
    """The members of a zip artifact, read one by one: nothing of them is to be used before :meth:`check` has passed."""

    def __init__(self, path: Path | str, archive: zipfile.ZipFile, made: Manifest, kind: str):
        self.path, self.made, self.kind = path, made, kind
        self._archive, self._hashes = archive, dict[str, bytes]()
        self._infos = {info.filename: info for info in archive.infolist() if info.filename != MANIFEST}

    @property
    def names(self) -> KeysView[str]:
        """The names of the members in their order, but for the manifest."""
        return self._infos.keys()

    def read(self, name: str) -> bytes:
        """A member; KeyError when there is none of that name."""
        info = self._infos[name]
        with _damage_is_told(self.path):
            data = self._archive.read(info)
        self._hashes[name] = hashlib.sha256(data).digest()
        return data

    def place(self, name: str) -> int:
        """Where a member's bytes begin in the file; it is gone through and not held. KeyError when there is none."""
        info = self._infos[name]
        self._pass(info)
        with _damage_is_told(self.path):
            return _place(self.path, info)

    def check(self) -> None:
        """Go through what was not read and compare all with the manifest; :class:`UserError` when it says otherwise."""
        for name, info in self._infos.items():
            if name not in self._hashes:
                self._pass(info)
        _check(self.path, self.made, self.kind, _digest_of(self._hashes))

    def _pass(self, info: zipfile.ZipInfo) -> None:
        with _damage_is_told(self.path), self._archive.open(info) as stream:
            found = hashlib.file_digest(stream, "sha256")  # type: ignore[arg-type]
        self._hashes[info.filename] = found.digest()


@contextmanager
def opened(path: Path | str, kind: str) -> Iterator[Opened]:
    """Open an artifact to read its members one by one.

    Raises :class:`UserError`, and so do the methods of what it yields, when the file is missing, damaged, of another
    kind or not what its manifest says.
    """
    with ExitStack() as stack:
        with _damage_is_told(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            text = archive.read(MANIFEST) if MANIFEST in archive.namelist() else b""
        made = _parse_manifest(path, text)
        _check(path, made, kind, made.content)
        yield Opened(path, archive, made, kind)


@contextmanager
def _damage_is_told(path: Path | str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise unreadable(path, error) from None


class Contents(NamedTuple):
    """What :func:`read_zip` returns: the members and the manifest, already checked against each other."""

    members: dict[str, bytes]
    made: Manifest


def read_zip(path: Path | str, kind: str) -> Contents:
    """All members of an artifact, checked against the manifest's digest; raises as :func:`opened` does."""
    with opened(path, kind) as archive:
        members = {name: archive.read(name) for name in archive.names}
        archive.check()
    return Contents(members, archive.made)


def _place(path: Path | str, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin, as they are in the file."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise zipfile.BadZipFile(f"{info.filename} is compressed")
    with open(path, "rb") as stream:
        stream.seek(info.header_offset + 26)  # the lengths of the name and of what else stands before the content
        name, extra = struct.unpack("<HH", stream.read(4))
    return info.header_offset + 30 + int(name) + int(extra)


def kind_of(path: Path | str) -> str:
    """The kind a zip artifact's manifest names; its content is not checked yet."""
    return zip_manifest(path).kind


def zip_manifest(path: Path | str) -> Manifest:
    """A zip artifact's manifest; its content is not checked yet."""
    with _damage_is_told(path), zipfile.ZipFile(path) as archive:
        return _parse_manifest(path, archive.read(MANIFEST))


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray], made: Manifest) -> None:
    """Write an ``.npz`` that :func:`numpy.load` can read, with the manifest inside."""
    members = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
        members[f"{name}.npy"] = stream.getvalue()
    write_zip(path, members, made)


def read_arrays(path: Path | str, kind: str) -> tuple[dict[str, np.ndarray], Manifest]:
    """Read what :func:`write_arrays` wrote, checked against its manifest; never unpickles."""
    members, made = read_zip(path, kind)
    arrays = {}
    for name, data in members.items():
        arrays[name.removesuffix(".npy")] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return arrays, made


def write_json(path: Path | str, payload: dict[str, Any], made: Manifest) -> None:
    """Write ``payload`` with the manifest under the key ``manifest``."""
    made = made.sealed(json_digest(payload))
    text = json.dumps({"manifest": made.model_dump(), **payload}, indent=2, allow_nan=False)
    with atomic(path) as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path | str, kind: str) -> tuple[dict[str, Any], Manifest]:
    """Read what :func:`write_json` wrote, checked against its manifest."""
    try:
        payload = json.loads(Path(path).read_text(encoding="utf-8"))
        made = Manifest.model_validate(payload.pop("manifest"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(path, error) from None
    _check(path, made, kind, json_digest(payload))
    return payload, made


def json_digest(payload: dict[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as aside:
        aside.write_text(text, encoding="utf-8")


def parse_manifest(path: Path | str, text: str | bytes, kind: str, content: str) -> Manifest:
    """Parse and check the manifest of an artifact whose content digest is ``content``."""
    made = _parse_manifest(path, text)
    _check(path, made, kind, content)
    return made


def _parse_manifest(path: Path | str, text: str | bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise damaged(path, f"no valid manifest ({error.error_count()} errors)") from None


def _check(path: Path | str, made: Manifest, kind: str, content: str) -> None:
    if made != made.sealed(made.content):
        raise damaged(path, "its manifest was changed after it was written")
    if made.kind != kind:
        raise UserError(f"{path}: is a {made.kind} artifact, a {kind} artifact was expected; give the right file")
    if made.content != content:
        raise damaged(path, "its content is not what its manifest says")


def unreadable(path: Path | str, error: BaseException) -> UserError:
    """What to tell of a file that can't be read: missing, not permitted, or damaged."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return UserError(f"{path}: no such file; run the rule that makes it")
    if Path(path).is_dir():
        return UserError(f"{path}: is a folder, a file was expected; give the file that a rule made")
    if isinstance(error, OSError) and error.errno is not None and error.errno != errno.EINVAL:
        return UserError(f"{path}: can't be read ({error.strerror}); mend its permissions or its disk and run again")
    return damaged(path, str(error) or type(error).__name__)


def damaged(path: Path | str, why: object) -> UserError:
    """What to tell of a file that is not what was written."""
    return UserError(f"{path}: damaged ({why}); delete it and run the pipeline again, or 'dvc checkout' the file")
