"""Repeats: the same settings trained and drawn from again with other seeds, and how far the numbers differ.

Every other spread of an evaluation is over repeated draws from one set of samples, or over images; what another
training would have given is not in it. Here each training gives one value of every measure, and the table has their
mean and their standard deviation (of single trainings, with n - 1; the mean's own error is smaller by the root of n).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.evaluation.class_means import class_means
from featdiff.evaluation.protocol import check_same_protocol
from featdiff.features.isometry import compare
from featdiff.settings.project import Params, copied
from featdiff.settings.report import Repeats

CLASSES = "mean of classes"
KEYS = ["part", "name", "measure", "class", "block", "sigma"]
COLUMNS = [*KEYS, "mean", "spread", "trainings"]


def write(
    settings: Params,
    evaluations: Sequence[Path],
    denoisings: Mapping[str, Path],
    distances: Mapping[str, Path],
    out: Path,
) -> None:
    """Write the table: mean, standard deviation and number of trainings of each measure of ``settings.repeats``.

    ``evaluations`` are those of the rows and their copies; ``denoisings`` and ``distances`` are given by the names of
    the models. Column ``part`` is quality (``name`` is a row of samplings), denoising, scatter or distances (``name``
    is a model).
    """
    repeats = settings.repeats
    if repeats is None:
        raise UserError("there is no section 'repeats' in the settings: it says which rows to repeat, with which seeds")
    parts = [
        *_quality(repeats, evaluations),
        *_denoising(settings, repeats, denoisings),
        *_distances(repeats, distances),
    ]
    artifacts.write_text(
        out, over_trainings(pd.concat(parts)).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    )


def over_trainings(values: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n - 1) and number over the rows that share ``KEYS``; keys that are not given are
    empty."""
    keyed = values.reindex(columns=[*KEYS, "value"])
    keyed["value"] = keyed["value"].astype(float)
    groups = keyed.groupby(KEYS, sort=False, dropna=False)["value"]
    return groups.agg(mean="mean", spread="std", trainings="count").reset_index()[COLUMNS]


def repeated_models(settings: Params) -> dict[str, list[str]]:
    """The model of each repeated row, and it with its copies; the weak ones of autoguidance are not measured by
    themselves."""
    repeats = settings.repeats
    if repeats is None:
        return {}
    models = dict.fromkeys(settings.samplings[row].model for row in repeats.rows)
    return {model: trainings(repeats, model) for model in models}


def trainings(repeats: Repeats, name: str) -> list[str]:
    """A row and its copies."""
    return [name, *(copied(name, seed) for seed in repeats.seeds)]


def _quality(repeats: Repeats, files: Sequence[Path]) -> Iterator[pd.DataFrame]:
    found = {e["samples"]: e for e in (artifacts.read_json(path, "evaluation")[0] for path in files)}
    for row in repeats.rows:
        names = trainings(repeats, row)
        if missing := [name for name in names if name not in found]:
            raise UserError(f"repeats needs the evaluations of {', '.join(missing)}: give them, too")
        check_same_protocol({name: found[name]["protocol"] for name in names})
        for name in names:
            rows = pd.DataFrame(found[name]["rows"])
            if (rows["class"] == CLASSES).any():
                raise UserError(
                    f"a class is called {CLASSES!r}, which is the name of the rows of means; rename the class"
                )
            means = class_means(rows).reset_index().assign(**{"class": CLASSES})
            yield pd.concat([means, rows])[["measure", "class", "value"]].assign(part="quality", name=row)


def _denoising(settings: Params, repeats: Repeats, files: Mapping[str, Path]) -> Iterator[pd.DataFrame]:
    """PSNR told the right class, a wrong one or nothing, what the wrong one costs, and scatter of phi, by noise
    level."""
    for model, names in repeated_models(settings).items():
        for name in _given("denoising", names, files):
            found = artifacts.read_json(files[name], "denoising")[0]
            rows = pd.DataFrame(found["rows"])
            means = (
                rows.groupby(["target", "sigma"], sort=False)["psnr"].mean().reset_index().assign(**{"class": CLASSES})
            )
            psnr = pd.concat([means, rows]).rename(columns={"psnr": "value"})
            yield psnr.assign(part="denoising", name=model, measure="psnr_" + psnr["target"])
            at = means.pivot(index="sigma", columns="target", values="psnr")
            if {"right", "wrong"} <= set(at.columns):
                cost = (at["right"] - at["wrong"]).rename("value").reset_index().assign(**{"class": CLASSES})
                yield cost.assign(part="denoising", name=model, measure="wrong_centroid_cost")
            scatter = pd.DataFrame(found["scatter"])
            scatter = scatter[scatter["network"] == "trained"] if len(scatter) else scatter
            for measure in ("ratio", "nearest_centroid") if len(scatter) else ():
                values = scatter[["block", "sigma", measure]].rename(columns={measure: "value"})
                yield values.assign(part="scatter", name=model, measure=measure)


def _distances(repeats: Repeats, files: Mapping[str, Path]) -> Iterator[pd.DataFrame]:
    """How well squared centroid distances follow those of densities; correlations where there are pairs enough."""
    for model in [name for name in files if copied(name, repeats.seeds[0]) in files]:
        for name in _given("distances", trainings(repeats, model), files):
            rows = pd.DataFrame(artifacts.read_json(files[name], "distances")[0]["rows"])
            found = compare(*(rows[c].to_numpy() for c in ("centroids", "density", "error")))
            values = {"A": found.low, "B": found.high, "B / A": found.high / found.low}
            values |= {"spearman": found.spearman, "pearson": found.pearson}
            table = pd.Series(values).dropna().rename_axis("measure").rename("value").reset_index()
            yield table.assign(part="distances", name=model)


def _given(what: str, names: Sequence[str], files: Mapping[str, Path]) -> Sequence[str]:
    if missing := [name for name in names if name not in files]:
        raise UserError(f"repeats needs the {what} files of models {', '.join(missing)}: give them, too")
    return names
