"""What somebody's images are: class folders, halves, one folder, a zip, a table, arrays, a Hugging Face data set.

A folder and a zip are read where they lie. Anything else becomes a zip of class folders inside the new project
(:mod:`featdiff.starting.converting`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from featdiff.data.listing import IMAGE_SUFFIXES, Parts, Tree
from featdiff.data.sources import look
from featdiff.errors import UserError
from featdiff.settings.data import FolderSource, ZipSource
from featdiff.starting import arrays, hub, listed
from featdiff.starting.converting import Item

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation", "dev")  # the first of them that is there
KINDS = "a folder, a .zip, a .csv of file and label, a .npz of arrays, or hf:NAME of the Hugging Face hub"


@dataclass(frozen=True)
class Found:
    """What the images are, in words; the source of the settings, or the items that a zip is to be made of."""

    what: str
    name: str
    source: FolderSource | ZipSource | None = None
    items: Callable[[], Iterator[Item]] | None = None
    notes: tuple[str, ...] = ()


def find(images: str) -> Found:
    """Say what ``images``, a path or hf:NAME, is; raises :class:`UserError` where it is nothing that can be used."""
    if images.startswith(hub.PREFIX):
        name = images.removeprefix(hub.PREFIX)
        return Found("a data set of the Hugging Face hub", name, items=lambda: hub.by_name(name))
    path = Path(images)
    if not path.exists():
        also = f"; of the Hugging Face hub it would be {hub.PREFIX}{images}" if images.count("/") == 1 else ""
        raise UserError(f"{images}: no such file or folder{also}. Images are {KINDS}")
    name = path.resolve().stem
    if path.is_dir():
        if hub.is_saved(path):
            return Found("a Hugging Face data set on disk", name, items=lambda: hub.on_disk(path))
        return _of_tree(path, path.resolve().name, FolderSource(kind="folder", path=str(path)))
    readers = {".csv": ("a table of files and labels", listed.items), ".npz": ("arrays of images", arrays.items)}
    suffix = path.suffix.lower()
    if suffix in readers:
        what, read = readers[suffix]
        return Found(what, name, items=lambda: read(path))
    if suffix == ".zip":
        return _of_tree(path, name, ZipSource(kind="zip", path=str(path)))
    raise UserError(f"{path}: a file of this kind is not known. Images are {KINDS}")


def _of_tree(path: Path, name: str, source: FolderSource | ZipSource) -> Found:
    tree = look(path)
    kind = "zip" if isinstance(source, ZipSource) else "folder"
    tops = [(), *sorted(f for f in tree.folders if len(f) == 1)]
    for top in tops:
        if halves := _halves(tree, top):
            of_halves = {"halves": halves}
            if any((*top, halves[0]) == f[:-1] for f in tree.folders):
                what = f"a {kind} with ready-made training and test images ('{halves[0]}', '{halves[1]}')"
                return Found(what, name, source.model_copy(update=of_halves), notes=_left_out(tree, top, halves))
            what = f"a {kind} with training and test images ('{halves[0]}', '{halves[1]}') without classes"
            return Found(what, name, source.model_copy(update={**of_halves, "one_class": "images"}))
    if not any(parts[-1].lower().endswith(IMAGE_SUFFIXES) for parts in tree.files):
        raise UserError(f"{path}: holds no images, at most three folders down. Images are {KINDS}")
    at_top = sum(len(parts) == 1 and parts[-1].lower().endswith(IMAGE_SUFFIXES) for parts in tree.files)
    if at_top and not tree.folders:
        tables = [parts[0] for parts in tree.files if len(parts) == 1 and parts[0].lower().endswith(".csv")]
        notes = tuple(f"{t} lies beside the images; if it has their labels: featdiff new {path / t}" for t in tables)
        one = source.model_copy(update={"one_class": "images"})
        return Found(f"one {kind} of images without classes", name, one, notes=notes)
    return Found(f"a {kind} of class folders", name, source)


def _halves(tree: Tree, top: Parts) -> tuple[str, str] | None:
    """The two folders of training and test images below ``top``, where all folders there are called so."""
    names = {f[-1].lower(): f[-1] for f in tree.folders if len(f) == len(top) + 1 and f[:-1] == top}
    train, test = ([names[n] for n in known if n in names] for known in (TRAIN, TEST))
    return (train[0], test[0]) if train and test and set(names) <= {*TRAIN, *TEST} else None


def _left_out(tree: Tree, top: Parts, halves: tuple[str, str]) -> tuple[str, ...]:
    others = sorted(f[-1] for f in tree.folders if len(f) == len(top) + 1 and f[:-1] == top and f[-1] not in halves)
    return (f"left out: {', '.join(others)} (source.halves names the two folders that count)",) if others else ()
