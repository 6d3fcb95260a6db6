"""Kinds of things from outside the package: the classes that the files of a project's folder ``extensions/`` add to the
tables.

Such a file extends one of the classes named here and adds the result, as docs/how-to/extending.md shows for each kind.
The files are loaded before any settings are read, by every command and by the Snakefile, so that ``kind: NAME`` is
valid in ``params.yaml``.
"""

import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from featdiff import meaning
from featdiff.errors import UserError
from featdiff.kinds.base import Kind, Table
from featdiff.kinds.blocks import BLOCKS, ConvBlock, NetworkBlock
from featdiff.kinds.corruptions import CORRUPTIONS, Corruption, NoiseRise, Rise
from featdiff.kinds.guidance import GUIDANCE, Guidance, StrongGuidance
from featdiff.kinds.layouts import LAYOUTS, Layout
from featdiff.kinds.measures import MEASURES, FeatureMeasure, Pair
from featdiff.kinds.samplers import SAMPLERS, Discrete, Sampler, SoftSampler

__all__ = [
    "ConvBlock",
    "Corruption",
    "Discrete",
    "FeatureMeasure",
    "Guidance",
    "Layout",
    "NetworkBlock",
    "NoiseRise",
    "Pair",
    "Rise",
    "Sampler",
    "SoftSampler",
    "StrongGuidance",
    "add",
]

FOLDER = Path("extensions")  # of a project, at its root
TABLES: tuple[Table[Any], ...] = (SAMPLERS, CORRUPTIONS, GUIDANCE, MEASURES, BLOCKS, LAYOUTS)
C = TypeVar("C", bound=type)
_NAME = re.compile(r"[a-z0-9][a-z0-9_+-]{0,63}")
_loaded: dict[Path, str] = {}  # files and the names of their modules


def add(thing: C) -> C:
    """Add a class to the table of its kind; a decorator. Raises :class:`UserError` when it is not complete or its name
    is taken."""
    frame = sys._getframe(1)
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    table = next((table for table in TABLES if issubclass(thing, table.base)), None)
    if table is None:
        bases = ", ".join(table.base.__name__ for table in TABLES)
        raise UserError(f"{place}: {thing.__name__} extends none of {bases}")
    for missing in (part for part in ("label", "__doc__") if not vars(thing).get(part)):
        what = (
            "docstring: its first paragraph is its line in the docs"
            if missing == "__doc__"
            else "label, its name for people"
        )
        raise UserError(f"{place}: {thing.__name__} has no {what}")
    if not _NAME.fullmatch(name := _called(thing, place)):
        raise UserError(f"{place}: '{name}' is no name: take small letters, digits and _ + -, at most 64")
    table.add(thing, place)
    return thing


def _called(thing: Any, place: str) -> str:
    try:
        return str(thing.called())
    except (AttributeError, IndexError, KeyError):
        what = 'kind: Literal["name"]' if issubclass(thing, Kind) else 'name = "name"'
        raise UserError(f"{place}: {thing.__name__} has no name in the settings: give it {what}") from None


def load(folder: Path = FOLDER) -> None:
    """Load all files of a folder; none if there is no such folder. See :func:`load_files`."""
    load_files(sorted(folder.glob("*.py")))


def load_files(files: Iterable[Path]) -> None:
    """Load files, each once. Raises :class:`UserError` that names file and line when one cannot be loaded."""
    for path in files:
        if path.resolve() not in _loaded:
            _load(path)


def loaded() -> tuple[Path, ...]:
    """The files that have been loaded."""
    return tuple(_loaded)


def _load(path: Path) -> None:
    name = f"featdiff_extension_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, UserError):
            raise
        where = f"{path}:{_line(error, path)}"
        raise UserError(
            f"{where}: {type(error).__name__}: {error}\nmend the file, or take it out of {path.parent}/"
        ) from error
    _loaded[path.resolve()] = name
    meaning.LOADED.append(path.resolve())


def _line(error: Exception, path: Path) -> int:
    """The line of the file at which it failed."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    return (lines and lines[-1]) or 1


def unload() -> None:
    """Take everything out that :func:`load` has put in."""
    for table in TABLES:
        for name in table.added():
            table.remove(name)
    for module in _loaded.values():
        sys.modules.pop(module, None)
    meaning.LOADED.clear()
    _loaded.clear()


def listing() -> str:
    """All kinds in tables of Markdown: the name in the settings, the name for people, the line of the docs."""
    parts = []
    for table in TABLES:
        rows = [f"| `{name}` | {table.label(name)} | {table.line(name)} |" for name in table]
        parts.append("\n".join([f"| {table.what} | in the report | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"
