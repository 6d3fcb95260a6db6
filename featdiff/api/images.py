"""Images as a result: an array that shows itself in a notebook and is saved as pictures."""

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from featdiff import artifacts
from featdiff.errors import UserError

SHOWN = 512  # pixels that a grid in a notebook is enlarged to, about
MOST = 256  # images of a grid in a notebook
FORMS = "a folder, or a file .zip (of PNGs), .npz (array arr_0) or .png (one grid)"


class Images:
    """Images ``(N, H, W, C)`` uint8 and what made them; numpy takes them as an array.

    ``labels`` are N names, of the class or target each image was drawn for; ``made`` says how, for whoever gets them.
    """

    def __init__(self, array: np.ndarray, labels: list[str], made: dict[str, Any]):
        self.array, self.labels, self.made = array, labels, made

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, H, W, C)``."""
        return self.array.shape

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, key: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, key: slice) -> "Images": ...
    def __getitem__(self, key: int | slice) -> "np.ndarray | Images":
        """One image, ``(H, W, C)`` uint8, or some of them."""
        if isinstance(key, slice):
            return Images(self.array[key], self.labels[key], self.made)
        return self.array[key]

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array, dtype, copy=copy)

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(self.labels))
        return f"Images{self.shape} uint8 of {names}"

    def pictures(self) -> list[Image.Image]:
        """The images as Pillow's."""
        return [_picture(image) for image in self.array]

    def grid(self, columns: int | None = None, *, scale: int = 1) -> Image.Image:
        """All images side by side, a pixel of white between; as square as can be, or in so many ``columns``."""
        count, height, width, channels = self.shape
        columns = min(columns or int(np.ceil(count**0.5)), max(count, 1))
        rows = -(-count // columns)
        sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 255, np.uint8)
        for i, image in enumerate(self.array):
            y, x = i // columns * (height + 1), i % columns * (width + 1)
            sheet[y : y + height, x : x + width] = image
        found = _picture(sheet)
        return found.resize((found.width * scale, found.height * scale), Image.Resampling.NEAREST)

    def save(self, path: Path | str) -> Path:
        """Write the images: a folder or ``.zip`` of PNGs in class folders, ``.npz`` with the array ``arr_0``, or one
        grid as ``.png``. A file appears complete or not at all; returns its path.

        Raises :class:`featdiff.errors.UserError` for another ending, and for a folder that holds files already.
        """
        path = Path(path)
        kind = may_save(path)
        if kind == ".zip":
            with artifacts.atomic(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr("made.json", self._made())
                for name, image in self._members():
                    archive.writestr(name, _png(image))
        elif kind == ".npz":
            arrays = {"arr_0": self.array, "labels": np.array(self.labels), "made": np.array(self._made())}
            with artifacts.atomic(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                        np.lib.format.write_array(stream, array, allow_pickle=False)
        elif kind == ".png":
            note = PngInfo()
            note.add_text("featdiff", self._made())
            with artifacts.atomic(path) as aside:
                self.grid(scale=self._scale()).save(aside, "png", pnginfo=note)
        else:
            self._save_folder(path)
        return path

    def _save_folder(self, folder: Path) -> None:
        with new_folder(folder) as aside:
            for name, image in self._members():
                (aside / name).parent.mkdir(exist_ok=True)
                (aside / name).write_bytes(_png(image))
            (aside / "made.json").write_text(self._made(), encoding="utf-8")

    def _members(self) -> Iterator[tuple[str, np.ndarray]]:
        """Paths and images: a folder for each label."""
        counts: dict[str, int] = {}
        for label, image in zip(self.labels, self.array, strict=True):
            number = counts[label] = counts.get(label, -1) + 1
            yield f"{label.replace('/', '-')}/{number:06d}.png", image

    def _made(self) -> str:
        return json.dumps(self.made, indent=1) + "\n"

    def _scale(self) -> int:
        return max(1, SHOWN // max(1, int(np.ceil(len(self) ** 0.5)) * self.shape[2]))

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        shown = self[:MOST]
        stream = io.BytesIO()
        shown.grid(scale=shown._scale()).save(stream, "png")
        return stream.getvalue()


def may_save(path: Path) -> str:
    """How images would be saved at ``path``, by its ending; refused before anything is drawn where they can't be."""
    kind = path.suffix.lower()
    if kind not in ("", ".zip", ".npz", ".png"):
        raise UserError(f"{path}: images can't be saved as '{kind}': name {FORMS}")
    if not kind:
        _be_new(path)
    elif path.is_dir():
        raise UserError(f"{path}: is a folder; name {FORMS}")
    return kind


def _be_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already and holds something; name a new folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder aside; on success it takes the place of ``folder``, which must not hold files yet."""
    _be_new(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        aside.chmod(0o755)
        try:
            yield aside
            aside.replace(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror or error})") from None


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    _picture(image).save(stream, "png")
    return stream.getvalue()
