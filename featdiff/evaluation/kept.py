"""Features of any images, worked out once and kept by content: the same bytes, extractor and code give the same file.

What is kept is one file for a part of a set (:data:`featdiff.evaluation.sets.PART` images), so that a run that was
killed goes on where it was, and a set that grew costs what is new. Beside the features lie the images themselves, made
small: those of at most ``SMALL`` pixels a side as they are, larger ones averaged down, for the search of the nearest.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from featdiff import artifacts, meaning
from featdiff.devices.devices import CPU
from featdiff.evaluation import extractors
from featdiff.evaluation.sets import ImageSet, Part
from featdiff.settings.evaluation import Extractor

SMALL = 32  # pixels a side
HELD = 2**26  # bytes of images that the extractor is given at once
KEPT = Path(".featdiff/features")


@dataclass(frozen=True)
class Embedded:
    """A set's features (N, D) float32 and its images made small, (N, h, w, 3) uint8; None where they differ in size."""

    images: ImageSet
    features: np.ndarray
    small: np.ndarray | None


class Keeper:
    """Works out features, or finds those that were kept. The network is loaded when the first image needs it."""

    def __init__(self, settings: Extractor, *, folder: Path = KEPT, device: torch.device = CPU):
        self._settings, self._folder, self._device = settings, folder, device
        self._extractor: extractors.Extractor | None = None
        said = {"extractor": extractors.protocol(settings), "code": meaning.code_of(extractors.extractor)}
        self._made = artifacts.manifest("kept-features", said, by=_worked_out)

    def embed(self, images: ImageSet) -> Embedded:
        """Features of all images of a set, with a bar on stderr that shows how far it is."""
        values: np.ndarray | None = None
        small: list[np.ndarray] = []
        row = 0
        with images.parts() as parts, tqdm(total=images.count, desc=images.name, unit="image", mininterval=2) as bar:
            for part in parts:
                features, reduced = self._of(part)
                values = np.empty((images.count, features.shape[1]), np.float32) if values is None else values
                values[row : row + part.count] = features
                small.append(reduced)
                row += part.count
                bar.update(part.count)
        assert values is not None and row == images.count
        same = len({part.shape[1:] for part in small}) == 1 and all(part.size for part in small)
        return Embedded(images, values, np.concatenate(small) if same else None)

    def _of(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        made = self._made
        key = hashlib.sha256("\n".join([part.content, str(made.settings), made.code]).encode()).hexdigest()
        path = self._folder / key[:2] / f"{key}.npz"
        if not path.is_file():
            self._extractor = self._extractor or extractors.extractor(self._settings, device=self._device)
            arrays = _worked_out(self._extractor, part)
            artifacts.write_arrays(path, arrays, made)
        else:
            arrays, _ = artifacts.read_arrays(path, "kept-features")
        return arrays["features"], arrays["small"]


def _worked_out(extractor: extractors.Extractor, part: Part) -> dict[str, np.ndarray]:
    """Features (N, D) of a part's images, which may differ in size, and the images made small (N, h, w, 3), of no rows
    where they differ then."""
    features, small = [], []
    for batch in _batches(part.pixels()):
        features.append(extractor.features(np.stack(batch)))
        small += [reduced(image) for image in batch]
    same = len({image.shape for image in small}) == 1
    return {
        "features": np.concatenate(features),
        "small": np.stack(small) if same else np.empty((0, 0, 0, 3), np.uint8),
    }


def _batches(pixels: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Images in their order, those of one shape that follow each other together, up to ``HELD`` bytes."""
    batch: list[np.ndarray] = []
    for image in pixels:
        if batch and (image.shape != batch[0].shape or (len(batch) + 1) * image.nbytes > HELD):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def reduced(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) averaged down to ``SMALL`` x ``SMALL``, or as it is where no side is larger."""
    if max(image.shape[:2]) <= SMALL:
        return image
    return np.asarray(Image.fromarray(image).resize((SMALL, SMALL), Image.Resampling.BOX))
