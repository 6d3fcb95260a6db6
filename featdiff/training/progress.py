"""The folder of a training's progress, ``results/logs/train/NAME/``: what is in it, for writers and readers.

run.json         what is trained: classes, images in all, which run of which settings
stats.jsonl      a record a line: numbers by name, ``step`` and ``images`` always
now.json         the last numbers, renewed every few seconds, and what there is to say
previews/        00012000.png: images drawn by the averaged weights after 12000 training images, a row a class
tensorboard/     the same for TensorBoard, where that is installed
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUN, STATS, NOW, PREVIEWS, TENSORBOARD = "run.json", "stats.jsonl", "now.json", "previews", "tensorboard"
Record = dict[str, float]


def read_json(path: Path) -> dict[str, Any]:
    """A file of the folder; empty where there is none, or it is being written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Put a file into its place, whole at each moment."""
    write_text(path, json.dumps(values) + "\n")


def write_text(path: Path, text: str) -> None:
    """Put a text file into its place, whole at each moment; unlike an artifact it may be lost in a power cut."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def records(folder: Path) -> list[Record]:
    """The records of ``stats.jsonl``, by rising step; a line that was cut off is left out."""
    try:
        lines = (folder / STATS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
            found.append({str(name): float(value) for name, value in record.items()})
        except (ValueError, TypeError, AttributeError):
            continue
    return sorted((record for record in found if {"step", "images"} <= set(record)), key=lambda r: r["step"])


def append(folder: Path, record: Mapping[str, float]) -> None:
    """Add a record."""
    with open(folder / STATS, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")


def previews(folder: Path) -> dict[int, Path]:
    """The previews by the training images seen before them, rising."""
    found = (path for path in (folder / PREVIEWS).glob("*.png") if path.stem.isdigit())
    return dict(sorted((int(path.stem), path) for path in found))


def preview(folder: Path, images: int) -> Path:
    """Where the preview after so many training images belongs."""
    return folder / PREVIEWS / f"{images:08d}.png"


def keep_until(folder: Path, run: Mapping[str, Any], images: int) -> list[Record]:
    """Keep what belongs to the run up to so many training images, remove the rest; returns the records that stay.

    All of another run goes: one of other settings, data or code.
    """
    same = read_json(folder / RUN).get("run") == run["run"]
    kept = [record for record in records(folder) if same and record["images"] <= images]
    for seen, path in previews(folder).items():
        if not same or seen > images:
            path.unlink(missing_ok=True)
    (folder / PREVIEWS).mkdir(parents=True, exist_ok=True)
    write_text(folder / STATS, "".join(json.dumps(record) + "\n" for record in kept))
    write_json(folder / RUN, run)
    return kept


def line(status: Mapping[str, Any]) -> str:
    """How far a training is by its ``now.json``, in a line."""
    place = f"step {status.get('step', 0)} of {status.get('steps', 0)}"
    if status.get("finished"):
        return f"{place}, finished"
    parts = [place]
    if (loss := status.get("loss")) is not None:
        parts.append(f"loss {loss:.4f}")
    if speed := status.get("images_per_second"):
        parts.append(f"{speed:.0f} images/s" if speed >= 10 else f"{speed:.1f} images/s")
    if (left := status.get("seconds_left")) is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time in words: 40 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
