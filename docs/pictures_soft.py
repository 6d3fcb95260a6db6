"""The tables and pictures of docs/results/soft.md, from the results of its commands: python docs/pictures_soft.py

tables/soft.csv       measures of all classes together and means over the classes, rows for each set of samples; means
                      and deviations over trainings where there are several
tables/soft-many.csv  the same of the samples in results/many, with precision, recall and the share taken for its class
tables/soft-repeats.csv  means and deviations over three trainings, from results/soft
soft.png              quality against network evaluations, drawn from the first table
soft-samples.png      real test images and samples of momentum and naive, from results/many

What there are no results for is left as it is.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from pictures import keep
from snakemake.utils import update_config

from featdiff.data import archive
from featdiff.evaluation.class_means import class_means
from featdiff.evaluation.protocol import ALL
from featdiff.evaluation.repeats import CLASSES
from featdiff.kinds.samplers import SoftSampler
from featdiff.reporting import repeats
from featdiff.reporting.grids import spread_out
from featdiff.settings.base import parse
from featdiff.settings.project import Params

HERE = Path(__file__).parent
RESULTS, TABLE = Path("results"), HERE / "tables/soft.csv"
MANY, MANY_TABLE = RESULTS / "many", HERE / "tables/soft-many.csv"
REPEATS, REPEATS_TABLE = RESULTS / "soft/tables/repeats.csv", HERE / "tables/soft-repeats.csv"
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
SAMPLES = {  # data set, images of a class, and the samples of two samplers
    "textures": (4, {"momentum": "many-momentum-200", "naive": "many-naive-200"}),
    "animals": (2, {"momentum": "animals-many-momentum-200", "naive": "animals-many-naive-200"}),
}


def settings_of(*presets: str) -> Params:
    """The settings of a run with overlays."""
    values = yaml.safe_load(Path("params.yaml").read_text())
    for preset in presets:
        update_config(values, yaml.safe_load(Path(f"workflow/presets/{preset}.yaml").read_text()))
    return parse(Params, values, f"params.yaml with the presets {', '.join(presets)}")


def measured(*presets: str, results: Path = RESULTS, measures: tuple[str, ...] = tuple(MEASURES)) -> list[dict]:
    """A row for each measure of each set of samples from a model with a corruption, and of real images beside them."""
    settings, rows = settings_of(*presets), []
    soft = {name: row for name, row in settings.samplings.items() if settings.models[row.model].corruption}
    for name, row in soft.items():
        model, sampler = settings.models[row.model], row.sampler
        if not isinstance(sampler, SoftSampler):
            continue
        corruption = str(model.corruption).removeprefix(f"{model.dataset}-")
        told = {"none": "nothing"}.get(row.guidance.kind, row.guidance.kind)
        known = {"corruption": corruption, "told": told, "sampler": sampler.kind, "spacing": sampler.spacing}
        rows += _measures(results, measures, name, {"data": model.dataset, "samples": name, **known})
    if not rows:
        return []
    for dataset in sorted({settings.models[row.model].dataset for row in soft.values()}):
        rows += _measures(results, measures, f"real-{dataset}", {"data": dataset, "samples": REAL})
    return rows


def _measures(results: Path, measures: tuple[str, ...], name: str, known: dict) -> list[dict]:
    path = results / f"evaluation/{name}.json"
    if not path.exists():
        return []
    found = pd.DataFrame(json.loads(path.read_text())["rows"])
    if (cost := found["measure"] == "network_evaluations").any():
        known |= {"evaluations": round(found.loc[cost, "value"].item())}
    means = class_means(found).reset_index().assign(**{"class": CLASSES})
    kept = pd.concat([found[found["class"] == ALL], means]).query("measure in @measures")
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


def draw_samples() -> None:
    """Test images of each class evenly spaced, and the first samples of each class by two samplers."""
    figure, axes = plt.subplots(len(SAMPLES), figsize=(9, 3.9), layout="constrained")
    for axis, (name, (count, drawn)) in zip(axes, SAMPLES.items(), strict=True):
        data = archive.read(MANY / f"data/{name}/dataset.zip", "dataset")
        labels = range(len(data.classes))
        real = [spread_out(data.select(split="test", label=label).images, count) for label in labels]
        sets = [archive.read(MANY / f"samples/{of}/samples.zip", "samples") for of in drawn.values()]
        lines = [real, *([its.select(label=label).images[:count] for label in labels] for its in sets)]
        sheet = np.concatenate([_line(np.concatenate(line)) for line in lines])
        axis.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        height = len(sheet) // len(lines)
        axis.set_yticks([height * (i + 0.5) for i in range(len(lines))], [REAL, *drawn], fontsize=8)
        axis.set(xticks=[], title=", ".join(data.classes))
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    figure.savefig(HERE / "soft-samples.png", dpi=110, metadata={"Software": None})


def _line(images: np.ndarray) -> np.ndarray:
    """Gray images (N, H, W, 1) side by side, a white line around each."""
    return np.concatenate([np.pad(image[..., 0], 1, constant_values=255) for image in images], axis=1)


def over_trainings(table: pd.DataFrame, repeated: pd.DataFrame) -> pd.DataFrame:
    """The table with mean and deviation over trainings wherever a set of samples was drawn by several."""
    keys = ["samples", "class", "measure"]
    own = repeated[repeated["part"] == "quality"].rename(columns={"name": "samples", "mean": "value"}).set_index(keys)
    table = table.assign(trainings=1)
    found = table.set_index(keys)
    found.update(own[["value", "spread", "trainings"]])
    return found.reset_index()[table.columns].astype({"trainings": int})


def write(table: pd.DataFrame, path: Path) -> None:
    table = table.astype({"evaluations": "Int64"})
    table.to_csv(path, index=False, lineterminator="\n", float_format="%.4f")


if __name__ == "__main__":
    every = (*MEASURES, "precision", "recall", "class_accuracy")
    if REPEATS.exists():
        keep(repeats.read(REPEATS), "soft-repeats")
    once = [row for preset in PRESETS for row in measured(preset)]
    table = pd.DataFrame(once) if once else pd.read_csv(TABLE)
    write(over_trainings(table, repeats.read(REPEATS_TABLE)), TABLE)
    if many := [row for p in PRESETS for row in measured(p, f"{p}-many", results=MANY, measures=every)]:
        write(pd.DataFrame(many), MANY_TABLE)
        draw_samples()
    draw(pd.read_csv(TABLE))
