"""All numbers in one place: ``metrics.json`` for people and DVC, and four tidy tables.

``metrics.json`` is nested by name, so that ``dvc metrics show`` and ``diff`` print keys such as
``quality.guided.brick.recall``; its manifest stands in a list, which DVC leaves out of its tables, and its content is a
digest over all five files. Numbers on one data set must come of one protocol.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from featdiff import artifacts
from featdiff.artifacts import Manifest
from featdiff.errors import UserError
from featdiff.evaluation.protocol import check_same_protocol

QUALITY = ["samples", "class", "measure", "value", "spread", "interval", "count", "protocol"]
DENOISING = ["model", "target", "class", "sigma", "psnr", "spread", "images"]
SCATTER = ["model", "network", "block", "sigma", "between", "within", "ratio", "nearest_centroid"]
DISTANCES = ["model", "first", "second", "density", "error", "centroids"]


def collect(
    evaluations: Sequence[Path | str],
    denoisings: Mapping[str, Path | str],
    distances: Mapping[str, Path | str],
    *,
    metrics: Path | str,
    quality: Path | str,
    denoising_table: Path | str,
    scatter_table: Path | str,
    distances_table: Path | str,
) -> None:
    """Gather evaluation files, and denoising and distance files by the name of their model, into the five files."""
    read = {str(path): artifacts.read_json(path, "evaluation")[0] for path in evaluations}
    protocols = _protocols(read)
    quality_rows = _table([{**row, **_of(e)} for e in read.values() for row in e["rows"]], QUALITY)
    curves = {name: artifacts.read_json(path, "denoising")[0] for name, path in denoisings.items()}
    denoising_rows = _table([{**row, "model": m} for m, c in curves.items() for row in c["rows"]], DENOISING)
    scatter_rows = _table([{**row, "model": m} for m, c in curves.items() for row in c["scatter"]], SCATTER)
    pairs = {name: artifacts.read_json(path, "distances")[0]["rows"] for name, path in distances.items()}
    rows = {
        "quality": quality_rows,
        "denoising": denoising_rows,
        "scatter": scatter_rows,
        "distances": pd.DataFrame([row for rows in pairs.values() for row in rows], columns=DISTANCES),
    }
    tables = {name: table.to_csv(index=False, lineterminator="\n") for name, table in rows.items()}
    for path, text in zip((quality, denoising_table, scatter_table, distances_table), tables.values(), strict=True):
        artifacts.write_text(path, text)
    inputs = {str(path): path for path in (*read, *denoisings.values(), *distances.values())}
    made = artifacts.manifest("metrics", {}, inputs, by=collect)
    payload = {
        "protocol": protocols,
        "quality": _nested(quality_rows, ["samples", "class", "measure"], "value"),
        "psnr": _nested(_at_sigma(denoising_rows, ["model", "target"], "psnr"), ["model", "target", "sigma"], "psnr"),
        "scatter": _by_block(scatter_rows, "ratio"),
        "nearest_centroid": _by_block(scatter_rows, "nearest_centroid"),
    }
    sealed = made.sealed(numbers_digest(payload, {name: text.encode() for name, text in tables.items()}))
    text = json.dumps({**payload, "manifest": [sealed.model_dump()]}, indent=2, allow_nan=False)
    artifacts.write_text(metrics, text + "\n")


def numbers_digest(payload: dict[str, Any], tables: Mapping[str, bytes]) -> str:
    """SHA-256 over the numbers of ``metrics.json`` and the tables by name: its manifest's content."""
    return artifacts.digest({**tables, "metrics": artifacts.json_digest(payload).encode()})


def read_metrics(path: Path, tables: Mapping[str, Path]) -> Manifest:
    """The manifest of ``metrics.json``; refuses numbers, in it or in the tables, that are not what was written."""
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
        made = Manifest.model_validate(payload.pop("manifest")[0])
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise artifacts.unreadable(path, error) from None
    content = numbers_digest(payload, {name: file.read_bytes() for name, file in tables.items()})
    if made != made.sealed(content) or made.kind != "metrics":
        what = ", ".join(str(file) for file in tables.values())
        raise artifacts.damaged(path, f"it and {what} are not what 'featdiff collect' wrote")
    return made


def _protocols(read: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """The protocol of each data set, by the start of its digest; refuses two protocols on one data set."""
    names = [e["samples"] for e in read.values()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"evaluations with the same name: {twice}; each set of samples needs a name of its own")
    by_data: dict[str, dict[str, str]] = {}
    for path, e in read.items():
        by_data.setdefault(e["data"][:8], {})[path] = e["protocol"]
    return {data: check_same_protocol(protocols) for data, protocols in sorted(by_data.items())}


def _of(evaluation: dict[str, Any]) -> dict[str, str]:
    return {"samples": evaluation["samples"], "protocol": evaluation["protocol"]}


def _table(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    missing = [c for c in columns if rows and c not in table.columns]
    if missing:
        raise UserError(f"rows without {missing}: made by another version of featdiff; make the file again")
    return table.reindex(columns=columns)


def _at_sigma(table: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """The mean over classes at each noise level, the level as a name: ``sigma_0.1``."""
    means = table.groupby([*keys, "sigma"], sort=False)[value].mean().reset_index()
    means["sigma"] = [f"sigma_{sigma:g}" for sigma in means["sigma"]]
    return means


def _by_block(scatter: pd.DataFrame, value: str) -> dict[str, Any]:
    """A measure of the trained networks' features by model, block and noise level."""
    trained = scatter[scatter["network"] == "trained"]
    return _nested(_at_sigma(trained, ["model", "block"], value), ["model", "block", "sigma"], value)


def _nested(table: pd.DataFrame, keys: list[str], value: str) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for row in table.to_dict("records"):
        place = nested
        for key in keys[:-1]:
            place = place.setdefault(str(row[key]), {})
        place[str(row[keys[-1]])] = float(row[value])
    return nested
