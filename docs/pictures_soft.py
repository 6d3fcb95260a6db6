"""The table and the picture of docs/soft.md, from the results of its commands: python docs/pictures_soft.py

tables/soft.csv     measures of all classes together and means over the classes, rows for each set of samples; without results, it is left as it is
soft.png            quality against network evaluations, drawn from that table
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import yaml

from featdiff import params
from featdiff.evaluation.class_means import class_means
from featdiff.evaluation.measure import ALL
from featdiff.evaluation.repeats import CLASSES
from featdiff.params import Params, SoftSampler

RESULTS, HERE = Path("results"), Path(__file__).parent
TABLE = HERE / "tables/soft.csv"
PRESETS = ("soft", "animals")
MEASURES = {"frechet": "Lite0 Frechet distance", "kid": "kernel distance, thousandths"}
LINES = {
    ("blur", "momentum", "chosen"): ("blur, momentum", "o-"),
    ("blur", "naive", "chosen"): ("blur, naive", "s--"),
    ("blur", "soft-ddim", "chosen"): ("blur, soft DDIM of nu 1", "D-"),
    ("noise", "momentum", "logarithmic"): ("noise alone, momentum", "^-"),
    ("noise", "soft-ddim", "logarithmic"): ("noise alone, soft DDIM of nu 1", "v-"),
}
PANELS = {  # data set, what is told of the class, and the classes that are measured for it
    "textures: ": ("textures", "nothing", ALL),
    "textures, told the class by features:\n": ("textures", "feature", CLASSES),
    "animals: ": ("animals", "nothing", ALL),
}
REAL = "real test images"


def settings_of(preset: str) -> Params:
    """The settings of a run with an overlay."""
    values = yaml.safe_load(Path("params.yaml").read_text())
    for key, table in yaml.safe_load(Path(f"workflow/presets/{preset}.yaml").read_text()).items():
        values[key] = values.get(key, {}) | table if isinstance(table, dict) else table
    return params.parse(Params, values, f"params.yaml with workflow/presets/{preset}.yaml")


def measured(preset: str) -> list[dict]:
    """A row for each measure of each set of samples from a model with a corruption, and of real images."""
    settings, rows = settings_of(preset), []
    soft = {name: row for name, row in settings.samplings.items() if settings.models[row.model].corruption}
    for name, row in soft.items():
        model, sampler = settings.models[row.model], row.sampler
        if not isinstance(sampler, SoftSampler):
            continue
        corruption = str(model.corruption).removeprefix(f"{model.dataset}-")
        steps = sampler.steps
        told = {"none": "nothing"}.get(row.guidance.kind, row.guidance.kind)
        known = {"corruption": corruption, "told": told, "sampler": sampler.kind, "spacing": sampler.spacing}
        rows += _measures(name, {"data": model.dataset, "samples": name, **known, "evaluations": steps})
    for dataset in sorted({settings.models[row.model].dataset for row in soft.values()}):
        rows += _measures(f"real-{dataset}", {"data": dataset, "samples": REAL})
    return rows


def _measures(name: str, known: dict) -> list[dict]:
    path = RESULTS / f"evaluation/{name}.json"
    if not path.exists():
        return []
    found = pd.DataFrame(json.loads(path.read_text())["rows"])
    means = class_means(found).reset_index().assign(**{"class": CLASSES})
    kept = pd.concat([found[found["class"] == ALL], means]).query("measure in @MEASURES")
    return [
        known | {key: row[key] for key in ("class", "measure", "value", "spread")} for row in kept.to_dict("records")
    ]


def draw(table: pd.DataFrame) -> None:
    """A row of panels for each of ``PANELS``, a column for each measure."""
    figure, grid = plt.subplots(
        len(PANELS), len(MEASURES), figsize=(9, 3.2 * len(PANELS)), layout="constrained", squeeze=False, sharex=True
    )
    for axes, (panel, (data, told, classes)) in zip(grid, PANELS.items(), strict=True):
        for axis, (measure, title) in zip(axes, MEASURES.items(), strict=True):
            its = table[table["data"].eq(data) & table["measure"].eq(measure) & table["class"].eq(classes)]
            scale = 1000 if measure == "kid" else 1
            places = its.set_index(["corruption", "sampler", "spacing", "told"]).sort_index()
            for place, (label, style) in LINES.items():
                if (*place, told) not in places.index:
                    continue
                line = places.loc[[(*place, told)]].sort_values("evaluations")
                value, spread = scale * line["value"], scale * line["spread"].fillna(0)
                axis.errorbar(line["evaluations"], value, yerr=spread, fmt=style, label=label, linewidth=1.3, ms=5)
            for real in its[its["samples"] == REAL]["value"]:
                axis.axhline(scale * real, color="gray", linestyle=":", label=REAL)
            axis.set(title=panel + title, xscale="log")
            axis.set_ylim(bottom=0)
    ticks = sorted(table["evaluations"].dropna().astype(int).unique())
    for axis in grid[-1]:
        axis.set_xticks(ticks, map(str, ticks))
        axis.minorticks_off()
        axis.set_xlabel("network evaluations an image")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(HERE / "soft.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    if rows := [row for preset in PRESETS for row in measured(preset)]:
        found = pd.DataFrame(rows).astype({"evaluations": "Int64"})
        found.to_csv(TABLE, index=False, lineterminator="\n", float_format="%.4f")
    draw(pd.read_csv(TABLE))
