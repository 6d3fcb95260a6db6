"""Image data sets of Hugging Face, on disk or by name; the package ``datasets`` reads them where it is installed."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from featdiff.errors import UserError
from featdiff.starting.converting import Item

PREFIX = "hf:"
SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")  # by save_to_disk
TEST = ("test", "validation", "valid", "val", "dev")


def is_saved(folder: Path) -> bool:
    """Whether a folder holds what ``save_to_disk`` wrote, or files of the hub's tables."""
    tables = [next(folder.glob(pattern), None) for pattern in ("*.parquet", "data/*.parquet")]
    return any(tables) or any((folder / name).is_file() for name in SAVED)


def on_disk(folder: Path) -> Iterator[Item]:
    """The images of a data set on disk."""
    datasets = _package(str(folder))
    saved = any((folder / name).is_file() for name in SAVED)
    return _items(str(folder), lambda: (datasets.load_from_disk if saved else datasets.load_dataset)(str(folder)))


def by_name(name: str) -> Iterator[Item]:
    """The images of a data set of the hub: fetched by ``datasets``, which keeps them in its own cache."""
    datasets = _package(PREFIX + name)
    return _items(PREFIX + name, lambda: datasets.load_dataset(name))


def _package(where: str) -> ModuleType:
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{where}: a Hugging Face data set, and the package 'datasets' is not installed: pip install datasets, or "
            "save its images as class folders"
        ) from None
    return datasets


def _items(where: str, load: Any) -> Iterator[Item]:
    try:
        found = load()
    except Exception as error:  # of the network, of the cache, of the data set's own code
        raise UserError(f"{where}: could not be loaded ({type(error).__name__}: {error})") from None
    parts = dict(found) if isinstance(found, dict) else {"": found}
    test = next((name for name in TEST if name in parts), None)
    if "train" in parts and test:
        chosen = {"train": parts["train"], "test": parts[test]}
    else:
        chosen = {"": next(iter(parts.values()))}
    for split, rows in chosen.items():
        yield from _rows(where, split or None, rows)


def _rows(where: str, split: str | None, rows: Any) -> Iterator[Item]:
    kinds = {name: type(feature).__name__ for name, feature in rows.features.items()}
    image = next((name for name, kind in kinds.items() if kind == "Image"), None)
    if image is None:
        raise UserError(f"{where}: no column of images; its columns are {', '.join(kinds)}")
    label = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    label = label or next((name for name in ("label", "labels", "class") if name in kinds), None)
    names = getattr(rows.features[label], "names", None) if label else None
    for row in rows:
        stream = io.BytesIO()
        picture = row[image]
        (picture if picture.mode in MODES else picture.convert("RGB")).save(stream, "PNG")
        value = row[label] if label else None
        if names and value is not None and value < 0:
            raise UserError(f"{where}: images of split '{split or 'all'}' have no label (-1): save those with labels")
        yield Item(split, None if value is None else names[value] if names else str(value), stream.getvalue())


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # that a PNG holds as they are
