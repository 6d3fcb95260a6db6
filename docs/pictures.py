"""The pictures of the README and of docs/results.md, from the results of a run: python docs/pictures.py

samples.png         real test patches beside guided samples, by class       after: make run
training-time.png   accuracy, distance and recall by images seen            after: the command in docs/results.md
guidance.png        accuracy against diversity, and tables/guidance.csv     after: the command in docs/guidance.md
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml

from featdiff import params
from featdiff.data import archive
from featdiff.reporting import frontier
from featdiff.reporting.grids import spread_out

RESULTS, HERE = Path("results"), Path(__file__).parent
COLUMNS, ROWS = 9, 2
PANELS = {"class_accuracy": "taken for their class", "frechet": "Lite0 Frechet distance", "recall": "recall"}


def mosaic(images: np.ndarray) -> np.ndarray:
    """Some images (N, H, W, 1), spread over the set, as one picture with a white line between them."""
    chosen = np.pad(spread_out(images, COLUMNS * ROWS)[..., 0], ((0, 0), (1, 1), (1, 1)), constant_values=255)
    side = chosen.shape[1]
    return chosen.reshape(ROWS, COLUMNS, side, side).swapaxes(1, 2).reshape(ROWS * side, COLUMNS * side)


def samples(settings: params.Params) -> None:
    """Real test patches and guided samples side by side."""
    guided = settings.report.guided
    dataset = settings.models[settings.samplings[guided].model].dataset
    real = archive.read(RESULTS / f"data/{dataset}/dataset.zip", "dataset").select(split="test")
    drawn = archive.read(RESULTS / f"samples/{guided}/samples.zip", "samples")
    figure, axes = plt.subplots(len(real.classes), 2, figsize=(9, 3.4), layout="constrained")
    for label, (name, row) in enumerate(zip(real.classes, axes, strict=True)):
        for axis, found in zip(row, (real, drawn), strict=True):
            axis.imshow(
                mosaic(found.select(label=label).images), cmap="gray", vmin=0, vmax=255, interpolation="nearest"
            )
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(name)
    axes[0, 0].set_title("real test patches")
    axes[0, 1].set_title("guided samples")
    figure.savefig(HERE / "samples.png", dpi=160, metadata={"Software": None})


def training_time(settings: params.Params) -> None:
    """Accuracy, distance and recall of each class against the images seen in training; dashes are real test images."""
    guided = settings.samplings[settings.report.guided].model
    overlay = _overlay("partners")
    trained = {"guided": settings.trainings[settings.models[guided].training].images}
    trained |= {f"guided-{name}": overlay["trainings"][name]["images"] for name in ("quarter", "half")}
    table = pd.concat(_rows(name).assign(images=images) for name, images in trained.items())
    real = _rows("real-" + settings.models[settings.samplings[settings.report.guided].model].dataset)
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 2.8), layout="constrained")
    for axis, (measure, title) in zip(axes, PANELS.items(), strict=True):
        for name, rows in table[(table["measure"] == measure) & (table["class"] != "all")].groupby("class"):
            rows = rows.sort_values("images")
            (line,) = axis.plot(rows["images"] / 1000, rows["value"], marker="o", label=name)
            floor = real[(real["measure"] == measure) & (real["class"] == name)]["value"].item()
            axis.axhline(floor, color=line.get_color(), linestyle="--", linewidth=0.8)
        axis.set(title=title, xscale="log", xlabel="training images, thousands")
        axis.set_xticks(
            sorted(n / 1000 for n in trained.values()), [f"{n / 1000:.0f}" for n in sorted(trained.values())]
        )
        axis.minorticks_off()
    axes[0].legend(frameon=False)
    figure.savefig(HERE / "training-time.png", dpi=160, metadata={"Software": None})


def guidance(settings: params.Params) -> None:
    """Class accuracy against recall and Vendi score, a curve for each kind of guidance; their numbers as a table."""
    rows = settings.samplings | {name: _sampling(row) for name, row in _overlay("guidance")["samplings"].items()}
    rows = {name: row for name, row in rows.items() if _evaluation(name).exists()}
    names = [*rows, "real-" + settings.models[settings.samplings[settings.report.guided].model].dataset]
    quality = pd.concat(_rows(name).assign(samples=name) for name in names)
    table = frontier.frontier(quality, frontier.families(rows))
    table.to_csv(HERE / "tables/guidance.csv", index=False, lineterminator="\n", float_format="%.4f")
    real = frontier.real_images(quality, names[-1]).set_index("measure")
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained", sharey=True)
    for axis, (measure, title) in zip(axes, frontier.DIVERSITY.items(), strict=True):
        for family, its in table.groupby("family", sort=False):
            wide = its.pivot(index="strength", columns="measure", values=["value", "spread"])
            x, y = (wide["value"][m] for m in (measure, frontier.CONFIDENCE))
            lone = len(wide) == 1
            style = {"marker": "*" if lone else "o", "linestyle": "none" if lone else "-", "label": family}
            drawn = axis.errorbar(
                x, y, xerr=wide["spread"][measure], elinewidth=0.6, markersize=8 if lone else 5, **style
            )
            for strength in wide.index:
                place = (x[strength], y[strength])
                axis.annotate(
                    f"{strength:g}", place, (4, 4), textcoords="offset points", fontsize=8, color=drawn[0].get_color()
                )
        axis.plot(real["value"][measure], real["value"][frontier.CONFIDENCE], "ks", label="real test images")
        axis.set(xlabel=title)
    axes[0].set(ylabel="taken for their class", ylim=(0.85, 1.01))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(HERE / "guidance.png", dpi=160, metadata={"Software": None})


def _overlay(name: str) -> dict:
    return yaml.safe_load(Path(f"workflow/presets/{name}.yaml").read_text())


def _sampling(row: dict) -> params.Sampling:
    return params.parse(params.Sampling, row, "workflow/presets/guidance.yaml")


def _evaluation(name: str) -> Path:
    return RESULTS / f"evaluation/{name}.json"


def _rows(name: str) -> pd.DataFrame:
    return pd.DataFrame(json.loads(_evaluation(name).read_text())["rows"])


if __name__ == "__main__":
    found = params.load()
    samples(found)
    if _evaluation("guided-half").exists():
        training_time(found)
    if _evaluation("label-1").exists():
        guidance(found)
