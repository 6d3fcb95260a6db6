"""How cost grows with images, classes, resolution and samples: each measured, each fitted by a power, one picture.

    python benchmarks/growth.py [--out docs] [--repeats 3]

Processor time, the least of the repeats; one thread. An exponent of 1 is linear, 0 is no growth. Sizes of one curve are
measured in turn, repeat by repeat. Beside the fit stands the exponent of the last step alone, where what is constant
weighs least. Images are synthetic, networks untrained: neither changes what a step costs.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch

mpl.use("Agg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parent / "speed"))
from contenders import featdiff_

from featdiff import artifacts
from featdiff.data.archive import ImageArchive
from featdiff.data.groups import Groups
from featdiff.evaluation import measure, selection
from featdiff.evaluation.embedding import Features
from featdiff.evaluation.frechet import moments
from featdiff.features.centroids import CentroidTable
from featdiff.seeds import Streams
from featdiff.settings.evaluation import Evaluation
from featdiff.settings.network import Network

SETTINGS = {"seed": 0, "channels": 1, "size": 16, "images": 1024, "batch": 16, "precision": "fp32", "levels": 24}
EVALUATION = Evaluation(images=8, kid_subsets=2, kid_subset_size=8, neighbours=3, classifier_images=16)
DIMENSION = 352  # of phi: the default network's


@dataclass(frozen=True)
class Curve:
    """What is measured, against what, at which sizes; ``prepare(size)`` returns the work, or a number to take as it
    is."""

    name: str
    against: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Callable[[], object] | float]
    most: float
    unit: str = "ms"


def images(count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    return pixels, np.arange(count) % classes


def grouping(count: int, classes: int = 10) -> Callable[[], object]:
    labels = torch.from_numpy(images(count, classes)[1])
    return lambda: Groups(labels, size=2)


def batches(count: int, classes: int) -> Callable[[], object]:
    """Twenty batches of pairs."""
    pixels, labels = (torch.from_numpy(array) for array in images(count, classes))
    groups, streams = Groups(labels, size=2), Streams(0, [("batch", i) for i in range(64)])

    def draw(k: int) -> torch.Tensor:
        words = streams.words(k, 4)[0]
        return pixels[groups.choose(words[::2, 0], words[:, 1].view(-1, 2))].float()

    return lambda: [draw(k) for k in range(20)]


def sorting(classes: int) -> Callable[[], object]:
    """The rows of every class, as the extraction of centroids asks for them."""
    pixels, labels = images(40_000, classes)
    archive = ImageArchive(pixels, pd.DataFrame({"label": labels}), artifacts.manifest("dataset", {}))
    return archive.rows_by_label


def labelled(classes: int) -> tuple[ImageArchive, Features]:
    """A data set of 24 training and 8 test images of each class, with their features of 16."""
    label, split = np.tile(np.arange(classes), 32), np.repeat(["train"] * 3 + ["test"], 8 * classes)
    shuffled = np.random.default_rng(0).permutation(len(label))
    names = [f"class{i:05d}" for i in label[shuffled]]
    index = pd.DataFrame({"label": label[shuffled], "split": split[shuffled], "class": names})
    features = np.random.default_rng(1).standard_normal((len(index), 16), dtype=np.float32)
    made = artifacts.manifest("dataset", {})
    return ImageArchive(np.zeros((len(index), 2, 2, 1), np.uint8), index, made), Features(
        features, np.arange(len(index))
    )


def choosing(classes: int) -> Callable[[], object]:
    """Who is measured: counts, references, test images and their draws, of every class."""
    data, _ = labelled(classes)

    def run() -> None:
        count = selection.common_count(EVALUATION, data)
        selection.embedded_rows(EVALUATION, data.index)
        for rows in (selection.training_rows(EVALUATION, data.index), data.rows_by_label("test")):
            for label, of_label in rows.items():
                selection.draws(of_label, count, EVALUATION.repeats, np.random.default_rng(label))

    return run


def judging(classes: int) -> Callable[[], object]:
    """Frechet and kernel distance, precision, recall and so on, of every class and of all together."""
    data, features = labelled(classes)
    test = measure._Set(data, features, data.rows_by_label("test"))
    return lambda: list(measure._distances(EVALUATION, data, features, test, EVALUATION.images))


def table(classes: int) -> CentroidTable:
    sigmas = torch.logspace(-2, 1, 8, dtype=torch.float64)
    return CentroidTable(torch.zeros(classes, len(sigmas), DIMENSION), sigmas, ("",) * classes, "")


def lookup(classes: int) -> Callable[[], object]:
    """Twenty steps' look-ups of the centroids of a batch."""
    centroids, t = table(classes), torch.full((64,), 0.3)
    labels = torch.randint(classes, (64,), generator=torch.Generator().manual_seed(0))
    return lambda: [centroids.at(t, labels) for _ in range(20)]


def statistics(count: int) -> Callable[[], object]:
    """Mean and covariance of so many features of 64."""
    features = np.random.default_rng(0).standard_normal((count, 64), dtype=np.float32)
    return lambda: moments(features)


def training(size: int) -> Callable[[], object]:
    return featdiff_.training({**SETTINGS, "size": size, "condition": "feature", "images": 256}).run


def sampling(size: int = 16, classes: int = 3) -> Callable[[], object]:
    changed = {"size": size, "classes": classes, "condition": "feature", "guidance": "feature"}
    return featdiff_.sampling({**SETTINGS, **changed}).run


def samples(count: int) -> Callable[[], object]:
    """So many samples in batches of 16."""
    run = featdiff_.sampling({**SETTINGS, "condition": "feature", "guidance": "feature"}).run
    return lambda: [run() for _ in range(count // 16)]


CURVES = (
    Curve("pairs: images put into order, once", "images", (1000, 10_000, 100_000, 1_000_000), grouping, 1.15),
    Curve("pairs: 20 batches of 64", "images", (1000, 10_000, 100_000, 1_000_000), lambda n: batches(n, 10), 0.15),
    Curve(
        "Frechet statistics: moments of 64 features",
        "images",
        (1000, 10_000, 100_000, 1_000_000),
        statistics,
        1.15,
    ),
    Curve("pairs: 20 batches of 64", "classes", (10, 100, 1000, 10_000), lambda n: batches(40_000, n), 0.15),
    Curve("centroids: rows of all classes of 40,000 images", "classes", (10, 100, 1000, 10_000), sorting, 1.0),
    Curve("centroids: 20 look-ups of 64", "classes", (10, 100, 1000, 10_000), lookup, 0.15),
    Curve(
        "centroids: memory of the table",
        "classes",
        (10, 100, 1000, 10_000),
        lambda n: table(n).values.nbytes / 2**20,
        1.01,
        "MB",
    ),
    Curve(
        "sampling: 16 guided images, 4 evaluations",
        "classes",
        (10, 100, 1000, 10_000),
        lambda n: sampling(classes=n),
        0.15,
    ),
    Curve("evaluation: rows of all classes, 32 images of each", "classes", (10, 100, 1000, 10_000), choosing, 1.1),
    Curve("evaluation: distances of all classes, 8 images of each", "classes", (10, 100, 1000), judging, 1.1),
    Curve("training: two steps of 16 pairs", "pixels", (16, 32, 64, 96), training, 1.15),
    Curve("sampling: 16 guided images, 4 evaluations", "pixels", (16, 32, 64, 96), sampling, 1.15),
    Curve("sampling: guided images, 4 evaluations", "samples", (16, 32, 64, 128), samples, 1.1),
)


def measured(curve: Curve, repeats: int) -> list[float]:
    """Milliseconds at each size, or what the curve says of itself."""
    works = [curve.prepare(size) for size in curve.sizes]
    if not callable(works[0]):
        return [float(work) for work in works]  # type: ignore[arg-type]
    least = [float("inf")] * len(works)
    for _ in range(repeats + 1):  # the first time warms up, and is rarely the least
        for i, work in enumerate(works):
            start = time.process_time()
            work()  # type: ignore[operator]
            least[i] = min(least[i], 1000 * (time.process_time() - start))
    return least


def exponent(sizes: np.ndarray, costs: np.ndarray) -> float:
    """The slope of the line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel for each of images, classes, pixels and samples."""
    kinds = list(dict.fromkeys(row["against"] for row in rows))
    figure, panels = plt.subplots(1, len(kinds), figsize=(4 * len(kinds), 3.6), layout="constrained")
    for panel, kind in zip(panels, kinds, strict=True):
        for row in (row for row in rows if row["against"] == kind):
            panel.loglog(
                row["sizes"],
                row["costs"],
                "o-",
                label=f"{row['name']}: {row['exponent']:.2f}, {row['last']:.2f}".replace("-0.00", "0.00"),
            )
        sizes = sorted({size for row in rows if row["against"] == kind for size in row["sizes"]})
        panel.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        panel.set_xticks([], minor=True)
        panel.set_xlabel(str(kind))
        panel.set_ylabel("processor time, ms (table: MB)" if kind == "classes" else "processor time, ms")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=6, title="exponent: fitted, last step", title_fontsize=6, loc="upper left")
        bottom, top = panel.get_ylim()
        free = 0.95 - 0.055 * (1 + len(panel.lines))  # share of the height that the legend leaves to the lines
        panel.set_ylim(bottom, bottom * (top / bottom) ** (1 / free))
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    featdiff_.NETWORK = Network(widths=(8, 12, 16))
    rows: list[dict[str, Any]] = []
    for curve in CURVES:
        costs = measured(curve, options.repeats)
        sizes = np.array([n**2 for n in curve.sizes] if curve.against == "pixels" else curve.sizes, float)
        slope = exponent(sizes, np.array(costs))
        rows.append(
            {
                "name": curve.name,
                "against": curve.against,
                "sizes": sizes.tolist(),
                "costs": [float(f"{cost:.4g}") for cost in costs],
                "unit": curve.unit,
                "exponent": round(slope, 3),
                "last": round(exponent(sizes[-2:], np.array(costs[-2:])), 3),
                "at most": curve.most,
            }
        )
        words = ", ".join(f"{c:.3g}" for c in costs)
        print(
            f"{curve.name} against {curve.against}: {words} {curve.unit}; exponent {slope:.2f} (at most {curve.most})",
            flush=True,
        )
    (options.out / "tables").mkdir(parents=True, exist_ok=True)
    (options.out / "tables" / "growth.json").write_text(json.dumps(rows, indent=1) + "\n")
    draw(rows, options.out / "growth.png")


if __name__ == "__main__":
    main()
