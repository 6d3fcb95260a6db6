"""Distinct photographic textures out of Debian's ``ufoai-textures`` (the game UFO: Alien Invasion; mainly GPL-2, a few
CC-BY-SA).

The package holds 2720 images: textures of materials, but doors, signs and paintings too, maps of bumps and gloss, and
the same photograph in other colours. A texture is taken if its name says a material, it has at least ``SIDE`` pixels a
side, no transparent pixel, contrast at a coarse scale, and is no copy of one taken before it, in the order of the
names. A copy is an image whose gray thumbnail, shifted in a circle as textures that tile may be, correlates above
``COPY`` with the other's. Both limits lie in gaps of the values found, so that another release of the JPEG decoder
takes the same images.
"""

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO, cast

import numpy as np
from PIL import Image

from featdiff.errors import UserError

PACK = "usr/share/games/ufoai/base/0textures.pk3"
MATERIALS = re.compile(
    "asphalt|brick|conc|crete|desert|dirt|floor|grass|ground|hedge|marble|marmor|metal|pavement|plaster|potatoes|rock|roof|rust|sand|"
    "slab|slate|snow|stone|straw|stucco|textil|tile|wood"
)
NOT = re.compile(r"door|window|_(nm|sm|gm|rm)$")  # things, and maps of normals, gloss and glow
SIDE = 512
THUMBNAIL = 64
CONTRAST = 6.06  # standard deviation of the thumbnail, in gray levels
COPY = 0.71
DATE = (1980, 1, 1, 0, 0, 0)
MAX_IMAGE = 2**27  # bytes


def pack(package: Path, out: Path) -> None:
    """Unpack the Debian package (``dpkg-deb``) and write its distinct textures as the zip ``out``: CLASS/IMAGE,
    stored."""
    with tempfile.TemporaryFile() as archive:
        _unpack(package, archive)
        try:
            with zipfile.ZipFile(archive) as textures, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
                for name in distinct(_candidates(textures)):
                    made.writestr(
                        zipfile.ZipInfo(f"{class_name(name)}/{PurePosixPath(name).name}", DATE), textures.read(name)
                    )
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"{package}: {PACK} is not the expected zip ({error}); fetch the package again") from None


def distinct(images: Iterable[tuple[str, Callable[[], bytes]]]) -> list[str]:
    """The names of the textures taken, out of names and functions that read the images' bytes."""
    taken: list[str] = []
    spectra: list[np.ndarray] = []
    classes: set[str] = set()
    for name, read in sorted(images, key=lambda image: image[0]):
        if not material(name) or class_name(name) in classes:
            continue
        thumbnail = _thumbnail(read())
        if thumbnail is None:
            continue
        spectrum = np.fft.rfft2(thumbnail)
        if spectra and _largest_correlation(spectrum, np.stack(spectra)) > COPY:
            continue
        taken.append(name)
        spectra.append(spectrum)
        classes.add(class_name(name))
    return taken


def material(name: str) -> bool:
    """Whether a name says a material, and neither a thing nor a map."""
    stem = PurePosixPath(name).stem.lower()
    return bool(MATERIALS.search(stem)) and not NOT.search(stem)


def class_name(name: str) -> str:
    """``textures/tex_nature/rock001.png`` is of the class ``nature-rock001``."""
    path = PurePosixPath(name)
    return f"{path.parent.name.removeprefix('tex_')}-{path.stem}"


def _unpack(package: Path, archive: IO[bytes]) -> None:
    """Put the game's own archive, out of the package's, into an open file."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as files:
                for member in files:
                    if member.isfile() and PurePosixPath(member.name) == PurePosixPath(PACK):
                        shutil.copyfileobj(cast(IO[bytes], files.extractfile(member)), archive)
        except tarfile.TarError as error:
            raise UserError(f"{package}: can't be unpacked ({error}); fetch it again") from None
    if unpacking.returncode or not archive.tell():
        raise UserError(f"{package}: dpkg-deb did not find {PACK} in it; fetch the package again")


def _candidates(textures: zipfile.ZipFile) -> list[tuple[str, Callable[[], bytes]]]:
    images = [
        i for i in textures.infolist() if i.filename.lower().endswith((".png", ".jpg")) and i.file_size < MAX_IMAGE
    ]
    return [(i.filename, lambda name=i.filename: textures.read(name)) for i in images]  # type: ignore[misc]


def _thumbnail(data: bytes) -> np.ndarray | None:
    """Mean 0, deviation 1, float64; None for an image that is small, transparent or of no contrast."""
    with Image.open(io.BytesIO(data)) as image:
        if min(image.size) < SIDE:
            return None
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            return None
        small = np.asarray(image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float64)
    return (small - small.mean()) / small.std() if small.std() > CONTRAST else None


def _largest_correlation(spectrum: np.ndarray, others: np.ndarray) -> float:
    """Over all other thumbnails and all circular shifts; all are given by their spectra."""
    shifts = np.fft.irfft2(spectrum.conj() * others, s=(THUMBNAIL, THUMBNAIL))
    return float(shifts.max()) / THUMBNAIL**2
