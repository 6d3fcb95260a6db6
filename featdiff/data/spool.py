"""Arrays put aside: in memory while they are few, beyond that in files that are mapped, which the system may drop and
read again."""

import mmap
import shutil
import tempfile
from pathlib import Path

import numpy as np

from featdiff.errors import UserError

KEPT = 2**28  # bytes that stay in memory
CHUNK = 2**28  # bytes of one file


class Spool:
    """Keeps arrays of uint8 below a folder; a context, after which its files are gone and its arrays must not be used.

    A process that is killed leaves no file: each is nameless as soon as it is open.
    """

    def __init__(self, folder: Path | str, *, kept: int = KEPT):
        self.folder, self.kept = Path(folder), kept
        self._chunk: np.ndarray | None = None
        self._used = 0

    def put(self, array: np.ndarray) -> np.ndarray:
        """The same values, to be kept instead of ``array``."""
        if array.nbytes <= self.kept:
            self.kept -= array.nbytes
            return array
        self.kept = 0
        if self._chunk is None or self._used + array.nbytes > len(self._chunk):
            self._chunk, self._used = self._map(max(CHUNK, array.nbytes)), 0
        place = self._chunk[self._used : self._used + array.nbytes]
        place[:] = array.reshape(-1)
        self._used += array.nbytes
        return place.reshape(array.shape)

    def _map(self, size: int) -> np.ndarray:
        """A nameless file of ``size`` bytes, mapped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if free < 2 * size:
            raise UserError(
                f"{self.folder}: {free / 2**30:.1f} GiB are free, too few for the images of this data set: make room, "
                "or use a larger stride, a smaller scale or max_images_per_class"
            )
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.truncate(size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
