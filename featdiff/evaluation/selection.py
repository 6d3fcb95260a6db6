"""Which images are measured: seeded draws of equal counts, so that any two numbers rest on the same count.

The count n of a data set is ``evaluation.images``, or the size of its smallest class in either split where that is
less: it depends on the data set and the settings alone, never on the samples. Reference images are drawn from the
training images; samples and real test images (the floor) are drawn in the same way.
"""

import numpy as np
import pandas as pd

from featdiff import seeds
from featdiff.data.archive import ImageArchive
from featdiff.errors import UserError
from featdiff.params import Evaluation


def rows_of(index: pd.DataFrame, label: int, split: str | None = None) -> np.ndarray:
    """Rows of the index with this label, in this split: (N,) int64, ascending."""
    keep = (index["label"] == label).to_numpy()
    if split is not None:
        keep = keep & (index["split"] == split).to_numpy()
    return np.flatnonzero(keep)


def labels_of(data: ImageArchive) -> dict[int, str]:
    """Labels of a data set and their names, in the order of the labels."""
    return dict(enumerate(data.classes))


def common_count(settings: Evaluation, data: ImageArchive) -> int:
    """The n of every comparison on this data set; refuses a class that is too small for the settings' neighbours."""
    counts = {
        f"{name} ({split})": len(rows_of(data.index, label, split))
        for label, name in labels_of(data).items()
        for split in ("train", "test")
    }
    smallest = min(counts, key=lambda name: counts[name])
    if counts[smallest] <= settings.neighbours:
        raise UserError(
            f"class {smallest} has {counts[smallest]} images; the measures with {settings.neighbours} neighbours "
            f"need at least {settings.neighbours + 1}: give more images, raise the data set's test_fraction, lower its "
            f"test_stride, or lower evaluation.neighbours"
        )
    return min(settings.images, counts[smallest])


def training_rows(settings: Evaluation, index: pd.DataFrame, label: int) -> np.ndarray:
    """The training images of a class that take part (references and the judge's), in a seeded order."""
    rows = rows_of(index, label, "train")
    order = seeds.numpy_generator(settings.seed, "evaluation", "training", label).permutation(rows)
    return order[: max(settings.classifier_images, settings.repeats * settings.images)]


def embedded_rows(settings: Evaluation, index: pd.DataFrame) -> np.ndarray:
    """Rows of a data set whose features are needed: all test images and the training images that take part."""
    test = np.flatnonzero((index["split"] == "test").to_numpy())
    labels = sorted(index.loc[index["label"] >= 0, "label"].unique())
    return np.sort(np.concatenate([test, *(training_rows(settings, index, int(label)) for label in labels)]))


def draws(rows: np.ndarray, count: int, repeats: int, generator: np.random.Generator) -> list[np.ndarray]:
    """``repeats`` draws of ``count`` rows without replacement; they share no row where there are enough rows."""
    if len(rows) >= repeats * count:
        order = generator.permutation(rows)
        return [order[r * count : (r + 1) * count] for r in range(repeats)]
    return [generator.permutation(rows)[:count] for _ in range(repeats)]


def balanced(parts: list[np.ndarray], count: int) -> np.ndarray:
    """``count`` rows in all, the same number from the front of each part (the first parts give one more)."""
    share, rest = divmod(count, len(parts))
    return np.concatenate([part[: share + (i < rest)] for i, part in enumerate(parts)])
