"""The record of a training: what its progress folder holds when it is over, as an artifact that travels with it.

A zip with ``run.json``, ``stats.jsonl`` and the previews. Times are left out, which no two runs have alike.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featdiff import artifacts
from featdiff.models import checkpoint
from featdiff.training import progress, resume
from featdiff.training.progress import Record

TIMES = ("seconds", "images_per_second")


@dataclass(frozen=True)
class TrainingRecord:
    """What was trained (``run.json``), the numbers by rising step, and previews (rows H, columns W, C) uint8 by the
    training images seen before them."""

    run: Mapping[str, Any] = field(default_factory=dict)
    stats: tuple[Record, ...] = ()
    previews: Mapping[int, np.ndarray] = field(default_factory=dict)


def write(folder: Path, model: Path, out: Path) -> None:
    """Put together what the training of the checkpoint ``model`` has left in ``folder``; nothing where that is gone, or
    another training's."""
    made = artifacts.manifest("progress", {}, {"checkpoint": model}, by=write)
    run = progress.read_json(folder / progress.RUN)
    own = resume.folder(folder, checkpoint.read(model).made.unsealed()).name
    members: dict[str, bytes] = {progress.RUN: json.dumps({}).encode(), progress.STATS: b""}
    if run.get("run") == own:
        members[progress.RUN] = json.dumps(run).encode()
        rows = [{k: v for k, v in record.items() if k not in TIMES} for record in progress.records(folder)]
        members[progress.STATS] = "".join(json.dumps(row) + "\n" for row in rows).encode()
        found = progress.previews(folder).values()
        members |= {f"{progress.PREVIEWS}/{path.name}": path.read_bytes() for path in found}
    artifacts.write_zip(out, members, made)


def read(path: Path) -> TrainingRecord:
    """Read a record, checked against its manifest."""
    members, _ = artifacts.read_zip(path, "progress")
    stats = tuple(json.loads(line) for line in members[progress.STATS].decode().splitlines())
    pictures = {Path(name).stem: data for name, data in members.items() if name.startswith(progress.PREVIEWS)}
    previews = {int(seen): _pixels(data) for seen, data in sorted(pictures.items())}
    return TrainingRecord(json.loads(members[progress.RUN]), stats, previews)


def _pixels(data: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return pixels[..., None] if pixels.ndim == 2 else pixels
