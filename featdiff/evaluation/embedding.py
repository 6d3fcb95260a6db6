"""Features of an archive, computed once and kept: ``features.npz`` with arrays ``features`` (M, D) and ``rows`` (M,).

``rows`` are row numbers of the archive's index, ascending. Of samples every image is there; of a data set all test
images and the training images that take part in the evaluation (a photograph gives ten thousand overlapping patches;
a thousand will do). The manifest records the archive's SHA-256, the extractor and the choice of rows, and reading
checks all three.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featdiff import artifacts
from featdiff.data import archive
from featdiff.devices.devices import CPU
from featdiff.errors import UserError
from featdiff.evaluation.extractors import extractor
from featdiff.evaluation.selection import embedded_rows
from featdiff.settings.evaluation import Evaluation


@dataclass(frozen=True)
class Features:
    """Features (M, D) float32 of the rows (M,) of an archive's index, ascending."""

    values: np.ndarray
    rows: np.ndarray

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Features (N, D) of the archive's rows (N,)."""
        places = np.searchsorted(self.rows, rows)
        if not np.array_equal(self.rows[np.minimum(places, len(self.rows) - 1)], rows):
            raise ValueError("features of rows that were not embedded")
        return self.values[places]


def embed(
    settings: Evaluation, archive_path: Path | str, kind: str, out: Path | str, *, device: torch.device = CPU
) -> None:
    """Write the features of an archive of ``kind`` "dataset" or "samples"."""
    images = archive.read(archive_path, kind)
    rows = np.arange(len(images.index)) if kind == "samples" else embedded_rows(settings, images.index)
    values = extractor(settings.extractor, device=device).features(images.images[rows])
    made = artifacts.manifest("features", _settings(settings, kind), {"images": archive_path}, by=embed)
    artifacts.write_arrays(out, {"features": values, "rows": rows.astype(np.int64)}, made)


def read(settings: Evaluation, path: Path | str, archive_path: Path | str, kind: str) -> Features:
    """Read features and make sure that they belong to this archive, extractor and choice of rows."""
    arrays, made = artifacts.read_arrays(path, "features")
    found = made.inputs.get("images")
    expected = artifacts.sha256_file(archive_path)
    if found != expected:
        raise UserError(
            f"{path}: these are features of another archive (SHA-256 {str(found)[:12]}..., but {archive_path} has "
            f"{expected[:12]}...); run 'featdiff embed' for it again"
        )
    if made.settings != _settings(settings, kind):
        raise UserError(
            f"{path}: made with other settings ({_difference(made.settings, _settings(settings, kind))}); "
            f"run 'featdiff embed' for it again"
        )
    return Features(arrays["features"], arrays["rows"])


def _settings(settings: Evaluation, kind: str) -> dict[str, Any]:
    """What determines the features besides the images; the place of a weights file does not."""
    chosen: dict[str, Any] = {
        "extractor": settings.extractor.model_dump(mode="json", exclude={"weights"}),
        "kind": kind,
    }
    return settings.embedding(kind) | chosen


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    keys = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    return ", ".join(f"{k}: {found.get(k)!r}, expected {expected.get(k)!r}" for k in keys)
