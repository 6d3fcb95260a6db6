"""The whole guidance study: from its settings to tidy tables, a summary and the points that pictures are drawn from."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from featdiff.errors import UserError
from featdiff.mixture import TABLES, folder
from featdiff.mixture.confidence import build, run_case
from featdiff.mixture.convergence import run_convergence
from featdiff.mixture.gaussian import GaussianMixture
from featdiff.mixture.neighbours import run_neighbours
from featdiff.mixture.paths import one_thread_an_operation
from featdiff.mixture.processes import OrnsteinUhlenbeck
from featdiff.mixture.splitting import run_splitting
from featdiff.settings.mixture import GuidanceCase, MixtureStudy

SHOWN = 4000  # points of each picture
FIELD_TIME, FIELD_SIDE = 0.5, 17  # when, and on how many points a side, the vector field is drawn


class Study(NamedTuple):
    """Tables by name (one of ``TABLES``) and the arrays of the pictures."""

    tables: dict[str, pd.DataFrame]
    arrays: dict[str, np.ndarray]


def run_study(settings: MixtureStudy, out: Path | str, *, threads: int = 1) -> None:
    """Run the study; write ``pictures.npz`` and one CSV a table into the folder ``out``, and last ``study.json``.

    The manifest of ``study.json`` vouches for the tables by their SHA-256.
    """
    for name, case in settings.cases.items():
        _check(name, case)
    with one_thread_an_operation():
        study = compute(settings, threads=threads)
    tables = {name: table.to_csv(index=False, lineterminator="\n") for name, table in study.tables.items()}
    found = summary(study.tables)
    folder.write(Path(out), "study", "mixture", settings, summary=found, arrays=study.arrays, tables=tables)


def compute(settings: MixtureStudy, *, threads: int = 1) -> Study:
    """All tables and arrays; the same settings give the same numbers whatever the number of threads."""
    guidance: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for name, case in settings.cases.items():
        result = run_case(name, case, threads=threads)
        guidance += result.rows
        arrays |= {f"ends {name} {sampler}": _few(ends) for sampler, ends in result.ends.items()}
        arrays |= vector_field(name, case)
    split = run_splitting(settings.splitting, threads=threads)
    arrays |= {f"splitting {name}": _few(ends[None])[0] for name, ends in split.ends.items()}
    beside = run_neighbours(settings.neighbours)
    arrays |= {f"plane {name}": _few(points[None])[0] for name, points in beside.points.items()}
    convergence = run_convergence(settings.convergence, threads=threads)
    rows = (guidance, split.rows, split.thresholds, beside.rows, convergence.rows, convergence.orders)
    return Study({name: pd.DataFrame(table) for name, table in zip(TABLES, rows, strict=True)}, arrays)


def vector_field(name: str, case: GuidanceCase) -> dict[str, np.ndarray]:
    """For a case in the plane: a grid of points, and at each the score without and with the strongest guidance."""
    mixture = build(case.law)
    if mixture.dim != 2:
        return {}
    noisy: GaussianMixture = mixture.at(OrnsteinUhlenbeck(), FIELD_TIME)
    line = torch.linspace(-3, 3, FIELD_SIDE, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    fields = torch.stack([noisy.guided_score(grid, case.target, eta) for eta in (0.0, 1.0, case.etas[-1])])
    return {f"grid {name}": grid.numpy(), f"field {name}": fields.numpy()}


def summary(tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The study's verdicts in a few numbers, for people and for DVC."""
    guidance, orders = tables["guidance"], tables["orders"]
    met = guidance[guidance["inner_product"] >= 0]["gaining"]
    rising = guidance.groupby(["case", "sampler"])["confidence"].agg(lambda c: bool(c.is_monotonic_increasing))
    falling = guidance.groupby(["case", "sampler"])["entropy_knn"].agg(lambda h: bool(h.is_monotonic_decreasing))
    convergence = tables["convergence"]
    finest = convergence[convergence["steps"] == convergence["steps"].max()]
    excess = (finest["distance"] - finest["chance"]) / finest["chance_spread"]
    return {
        "confidence_rises": {" ".join(key): value for key, value in rising.items()},
        "entropy_falls": {" ".join(key): value for key, value in falling.items()},
        "least_share_gaining_where_the_condition_holds": None if met.dropna().empty else float(met.min()),
        "splits_at": {f"{r.sampler} {r.step:g}": _number(r.splits) for r in tables["thresholds"].itertuples()},
        "order": {f"{r.sampler} {r.dim}": _number(r.order) for r in orders.itertuples()},
        "deviations_above_chance": {
            f"{r.sampler} {r.dim}": _number(z) for r, z in zip(finest.itertuples(), excess, strict=True)
        },
    }


def _number(value: float) -> float | None:
    """JSON has no not-a-number."""
    return None if np.isnan(value) else round(float(value), 4)


def _few(ends: Tensor) -> np.ndarray:
    """The first points of each strength, in single precision."""
    return ends[:, :SHOWN].numpy().astype(np.float32)


def _check(name: str, case: GuidanceCase) -> None:
    """Refuse a law that is no mixture before anything is computed, naming the case."""
    try:
        build(case.law)
    except UserError as error:
        raise UserError(f"mixture.cases.{name}.law: {error}") from None
