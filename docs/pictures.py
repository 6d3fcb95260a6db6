"""The pictures of the README and of docs/results.md, from the results of a run: python docs/pictures.py

samples.png         real test patches beside guided samples, by class       after: make run
training-time.png   accuracy, distance and recall by images seen            after: the command in docs/results.md
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml

from featdiff import params
from featdiff.data import archive
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
    overlay = yaml.safe_load(Path("workflow/presets/partners.yaml").read_text())
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


def _evaluation(name: str) -> Path:
    return RESULTS / f"evaluation/{name}.json"


def _rows(name: str) -> pd.DataFrame:
    return pd.DataFrame(json.loads(_evaluation(name).read_text())["rows"])


if __name__ == "__main__":
    found = params.load()
    samples(found)
    if _evaluation("guided-half").exists():
        training_time(found)
