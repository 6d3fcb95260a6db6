"""The picture and table of results/shapes.md, from the results of its commands: python docs/pictures_shapes.py digits

(or emoji). Writes, named after the preset, a picture of real test images beside samples of each kind of features and of
labels, a class a row; and in docs/tables the sweep's table with the real test images as its last row.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from featdiff.data import archive
from featdiff.evaluation.class_means import class_means
from featdiff.evaluation.protocol import ALL
from featdiff.reporting.grids import spread_out

RESULTS, HERE = Path("results"), Path(__file__).parent
SHOWN = {"digits": 5, "emoji": 6}  # images a class and kind
KINDS = {"means": "means", "4": "4 x 4 regions", "label": "labels"}


def picture(name: str) -> None:
    """Real test images and samples, a column a kind, a row a class."""
    real = archive.read(RESULTS / f"data/{name}/dataset.zip", "dataset").select(split="test")
    sets = {"real test images": real}
    sets |= {
        title: archive.read(RESULTS / f"samples/{name}-{kind}/samples.zip", "samples") for kind, title in KINDS.items()
    }
    size = (11, 0.45 * len(real.classes) + 0.4)
    figure, axes = plt.subplots(len(real.classes), len(sets), figsize=size, layout="constrained", squeeze=False)
    for column, (title, images) in enumerate(sets.items()):
        axes[0, column].set_title(title)
        for label, axis in enumerate(axes[:, column]):
            axis.imshow(row(spread_out(images.select(label=label).images, SHOWN[name])), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if not column:
                axis.set_ylabel(real.classes[label], rotation=0, ha="right", va="center")
    figure.savefig(HERE / f"{name}.png", dpi=110, metadata={"Software": None})


def row(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) side by side in colour, with a white line between them."""
    colour = np.broadcast_to(images, (*images.shape[:3], 3))
    return np.hstack(np.pad(colour, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255))


def table(name: str) -> None:
    """The sweep's table without its protocol, and what real test images get."""
    found = pd.read_csv(RESULTS / "tables/sweep.csv").drop(columns=["protocol"])
    rows = pd.DataFrame(json.loads((RESULTS / f"evaluation/real-{name}.json").read_text())["rows"])
    means = class_means(rows)["value"]
    accuracy = rows[(rows["measure"] == "class_accuracy") & (rows["class"] != ALL)]["value"]
    real = {"samples": f"real-{name}", "accuracy": means["class_accuracy"], "accuracy_worst": accuracy.min()}
    real |= {measure: means[measure] for measure in ("frechet", "recall", "vendi")}
    both = pd.concat([found, pd.DataFrame([real])], ignore_index=True)
    both.to_csv(HERE / f"tables/{name}.csv", index=False, lineterminator="\n", float_format="%.6g")


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        if wanted not in SHOWN:
            sys.exit(f"there is no picture of {wanted!r}; take {' or '.join(SHOWN)}")
        picture(wanted)
        table(wanted)
