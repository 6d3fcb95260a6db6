"""How far trainings differ: the table of ``repeats`` on the page, and guidance curves with bars over trainings."""

from pathlib import Path

import pandas as pd

from featdiff import artifacts
from featdiff.errors import UserError
from featdiff.evaluation.extractors import distance_name
from featdiff.evaluation.repeats import CLASSES, COLUMNS
from featdiff.kinds.measures import MEASURES
from featdiff.reporting import frontier, templates
from featdiff.reporting.page import Section
from featdiff.reporting.tables import Cell, Group, Row, Table, number, title
from featdiff.settings.project import Params

ANCHOR = "repeats"
SHOWN = ("frechet", "precision", "recall", "vendi", "class_accuracy", "copied_share")
TOLD = {"psnr_right": "told its class", "psnr_wrong": "told another class", "psnr_none": "told nothing"}
BARS = "over trainings with other seeds (real test images: over repeated draws; accuracy: standard errors)"
LEAD = (
    "The rows below were trained and drawn from again with other seeds, everything else equal: seeds {seeds} beside "
    "the first. ± is the standard deviation over trainings, which no other number of this page has in it. Of two "
    "rows, differences within it mean nothing."
)


def section(settings: Params, table: Path, quality: Path) -> Section:
    """The part of the page; ``quality`` is the table of image measures, for the real test images."""
    found = read(table)
    if settings.repeats is None:
        raise UserError(f"{table}: the settings have no section 'repeats' that it could be of")
    own = settings.without_copies()
    parts: list = [LEAD.format(seeds=", ".join(map(str, settings.repeats.seeds)))]
    dataset = settings.dataset_of(settings.page.guided)
    rows = {name: own.samplings[name] for name in settings.repeats.rows if settings.dataset_of(name) == dataset}
    real = frontier.real_images(
        pd.read_csv(quality, dtype={"class": str}, keep_default_na=False, na_values=[""]), f"real-{dataset}"
    )
    curves = frontier.along(frontier.families(rows), lambda name: over_classes(found, name))
    if drawn := frontier.curves(curves, real, name="repeats-frontier", bars=BARS):
        parts.append(drawn)
    parts += [_quality(found, distance_name(settings.evaluation.extractor)), *_psnr(found), *_distances(found)]
    return Section(ANCHOR, "How far trainings differ", templates.render("body.html", parts=parts))


def read(path: Path) -> pd.DataFrame:
    """The table that ``featdiff repeats`` wrote."""
    try:
        found = pd.read_csv(
            path, dtype={"class": str, "block": str}, keep_default_na=False, na_values={"spread": [""], "sigma": [""]}
        )
    except OSError as error:
        raise artifacts.unreadable(path, error) from None
    except ValueError as error:
        raise UserError(f"{path}: not a table: {error}") from None
    if missing := [column for column in COLUMNS if column not in found.columns]:
        raise UserError(f"{path}: not a table of repeats, it has no columns {missing}")
    return found


def over_classes(found: pd.DataFrame, name: str) -> list[dict]:
    """Means over classes of one row of samplings, with their standard deviations over trainings: measure, value,
    spread."""
    rows = found[(found["part"] == "quality") & (found["name"] == name)]
    cost = rows["measure"].eq(frontier.COST) & rows["class"].eq("all")
    rows = rows[cost | (rows["class"].eq(CLASSES) & rows["measure"].isin(frontier.SHOWN))]
    return [{"measure": r["measure"], "value": r["mean"], "spread": r["spread"]} for r in rows.to_dict("records")]


def _quality(found: pd.DataFrame, frechet: str) -> Table:
    rows = found[(found["part"] == "quality") & (found["class"] == CLASSES)]
    measures = [m for m in SHOWN if (rows["measure"] == m).any()]
    cells = {(r["name"], r["measure"]): r for r in rows.to_dict("records")}
    body = []
    for name in rows["name"].drop_duplicates():
        own = [cells.get((name, m)) for m in measures]
        trained = max(r["trainings"] for r in own if r)
        body.append(
            Row(
                name,
                "",
                [Cell(str(trained)), *(_cell(r, MEASURES[m].digits) for r, m in zip(own, measures, strict=True))],
            )
        )
    titles = [title(m, frechet) for m in measures]
    caption = "Means over classes, then over trainings; after ±: standard deviation over trainings."
    return Table("repeats-quality", caption, ["Trainings", *titles], [Group("", body)], first="Samples")


def _psnr(found: pd.DataFrame) -> list[Table]:
    rows = found[(found["part"] == "denoising") & (found["class"] == CLASSES)]
    cells = {(r["name"], r["measure"], r["sigma"]): r for r in rows.to_dict("records")}
    columns = [
        key for key in rows[["name", "measure"]].drop_duplicates().itertuples(index=False) if key.measure in TOLD
    ]
    if not columns:
        return []
    sigmas = sorted(rows["sigma"].unique())
    body = [Row(f"{s:g}", "", [_cell(cells.get((*key, s)), 2) for key in columns]) for s in sigmas]
    titles = [f"{key.name}, {TOLD[key.measure]}" for key in columns]
    caption = "PSNR in dB, mean over classes; after ±: standard deviation over trainings."
    return [Table("repeats-psnr", caption, titles, [Group("", body)], first="σ")]


def _distances(found: pd.DataFrame) -> list[Table]:
    rows = found[found["part"] == "distances"]
    if rows.empty:
        return []
    measures = list(rows["measure"].drop_duplicates())
    cells = {(r["name"], r["measure"]): r for r in rows.to_dict("records")}
    body = [
        Row(name, "", [_cell(cells.get((name, m)), 3) for m in measures]) for name in rows["name"].drop_duplicates()
    ]
    caption = (
        "A d² ≤ ‖φ − φ′‖² ≤ B d² over pairs of classes, and correlations over them; "
        "after ±: standard deviation over trainings."
    )
    return [Table("repeats-distances", caption, measures, [Group("", body)], first="Model")]


def _cell(row: dict | None, digits: int) -> Cell:
    if row is None or pd.isna(row["mean"]):
        return Cell("–")
    return Cell(number(row["mean"], digits), "" if pd.isna(row["spread"]) else f"± {row['spread']:.{digits}f}")
