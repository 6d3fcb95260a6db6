"""The sweep: one table of models that differ in one setting each, so that open questions are answered by numbers side
by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.evaluation.class_means import class_means
from featdiff.evaluation.protocol import ALL, check_same_protocol
from featdiff.settings.project import Params

COLUMNS = [
    "samples",
    "model",
    "change",
    "accuracy",
    "accuracy_worst",
    "frechet",
    "frechet_spread",
    "recall",
    "recall_spread",
    "vendi",
    "psnr",
    "wrong_centroid_cost",
    "dead",
    "worth",
    "evaluations",
    "protocol",
]


def write(
    settings: Params,
    evaluations: Sequence[Path],
    denoisings: Mapping[str, Path],
    healths: Mapping[str, Path],
    out: Path,
) -> None:
    """Write the table, a row for each of ``settings.sweep`` in that order.

    ``denoisings`` and ``healths`` are files by the names of the models. Means are over the classes; a spread is the
    standard deviation of that mean over the evaluation's repeated draws, not over trainings.
    """
    found = {}
    for path in evaluations:
        evaluation = artifacts.read_json(path, "evaluation")[0]
        found[evaluation["samples"]] = evaluation
    if missing := [name for name in settings.sweep if name not in found]:
        raise UserError(f"the sweep needs the evaluations of {', '.join(missing)}: give them, too")
    protocol = check_same_protocol({name: found[name]["protocol"] for name in settings.sweep})
    first = described(settings, settings.sweep[0])
    rows = []
    for name in settings.sweep:
        model = settings.samplings[name].model
        rows.append(
            {
                "samples": name,
                "model": model,
                "change": change(first, described(settings, name)),
                **_quality(found[name]["rows"]),
                **_denoising(artifacts.read_json(denoisings[model], "denoising")[0]["rows"]),
                **_health(artifacts.read_json(healths[model], "health")[0]),
                "protocol": protocol,
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    artifacts.write_text(out, table.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def described(settings: Params, sampling: str) -> dict[str, Any]:
    """All settings that a set of samples and its model come from, by their path."""
    row = settings.samplings[sampling]
    training = settings.train_spec(row.model).model_dump(mode="json")
    own = row.model_dump(mode="json", exclude={"model", "shards"})
    return dict(pd.json_normalize({**training, "sampling": own}).iloc[0])


def change(first: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What the other has that the first has not: ``training.partners=1``; empty for the first itself."""
    names = sorted(name for name in first.keys() | other.keys() if first.get(name) != other.get(name))
    return " ".join(f"{name}={_text(other.get(name))}" for name in names)


def _text(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _quality(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over classes; accuracy of the worst class; evaluations of an image."""
    means = class_means(pd.DataFrame(rows)).reindex(["class_accuracy", "frechet", "recall", "vendi"])
    cost = [r["value"] for r in rows if r["measure"] == "network_evaluations"]
    accuracy = [r["value"] for r in rows if r["measure"] == "class_accuracy" and r["class"] != ALL]
    return {
        "accuracy": means["value"]["class_accuracy"],
        "accuracy_worst": min(accuracy, default=np.nan),
        "vendi": means["value"]["vendi"],
        "evaluations": cost[0] if cost else np.nan,
        **{measure: means["value"][measure] for measure in ("frechet", "recall")},
        **{f"{measure}_spread": means["spread"][measure] for measure in ("frechet", "recall")},
    }


def _denoising(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean PSNR over classes and noise levels, told the right class, and what a wrong class costs; in dB."""
    means = pd.DataFrame(rows).groupby("target")["psnr"].mean()
    right = means.get("right", means.get("none", np.nan))
    return {"psnr": float(right), "wrong_centroid_cost": float(right - means.get("wrong", np.nan))}


def _health(found: Mapping[str, Any]) -> dict[str, float]:
    """Of the worst block: the share of channels that are zero at every level, and what a wrong class in it alone costs
    at the level where it costs most, in dB; of networks told features."""
    worth = [max(levels.values()) for levels in found["worth"].values()]
    return {"dead": max(found["dead_always"].values()), "worth": min(worth, default=np.nan)}
