"""The folder of a study: one JSON file that vouches for the tables beside it by their SHA-256, and an archive of
arrays.

The JSON file is written last, so a folder that was cut off has none.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel

from featdiff import artifacts
from featdiff.artifacts import Manifest
from featdiff.errors import UserError

ARRAYS = "pictures.npz"


class Contents(NamedTuple):
    """What a folder holds, all of it checked."""

    summary: dict[str, Any]
    arrays: dict[str, np.ndarray]
    tables: dict[str, pd.DataFrame]
    made: Manifest


def write(
    folder: Path,
    name: str,
    kind: str,
    settings: BaseModel,
    *,
    summary: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    tables: Mapping[str, str],
) -> None:
    """Write ``NAME.json`` of this kind, the arrays, and tables given as CSV text."""
    artifacts.write_arrays(folder / ARRAYS, arrays, artifacts.manifest(f"{kind} pictures", settings))
    files = {f"{table}.csv": folder / f"{table}.csv" for table in tables}
    for table, text in tables.items():
        artifacts.write_text(folder / f"{table}.csv", text)
    artifacts.write_json(folder / f"{name}.json", summary, artifacts.manifest(kind, settings, files))


def read(folder: Path | str, name: str, kind: str, tables: Sequence[str], *, command: str, **csv: Any) -> Contents:
    """Read what :func:`write` wrote; ``csv`` are options of :func:`pandas.read_csv`.

    Raises :class:`UserError` when a file is missing, damaged or of another run than the others; ``command`` is what to
    run then.
    """
    folder = Path(folder)
    summary, made = artifacts.read_json(folder / f"{name}.json", kind)
    arrays, drawn = artifacts.read_arrays(folder / ARRAYS, f"{kind} pictures")
    if drawn.settings != made.settings:
        raise UserError(f"{folder}: {name}.json and {ARRAYS} are of different settings; run '{command}' again")
    for table in tables:
        path = folder / f"{table}.csv"
        if not path.is_file():
            raise UserError(f"{path}: no such file, a table is missing or damaged; run '{command}' again")
        if artifacts.sha256_file(path) != made.inputs.get(path.name):
            raise artifacts.damaged(path, f"its content is not what {name}.json says")
    return Contents(summary, arrays, {t: pd.read_csv(folder / f"{t}.csv", **csv) for t in tables}, made)
