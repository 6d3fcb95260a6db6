"""Which images are measured: seeded draws of equal counts, so that any two numbers rest on the same count.

The count n of a data set is ``evaluation.images``, or the size of its smallest class in either split where that is
less: it depends on the data set and the settings alone, never on the samples. Over all classes it is n too, so that a
class and all of them can be compared, or ``evaluation.images_all``. Reference images are drawn from the training
images; samples and real test images (the floor) are drawn in the same way.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from featdiff import seeds
from featdiff.data.archive import ImageArchive, rows_by_label
from featdiff.errors import UserError
from featdiff.settings.evaluation import Evaluation


def labels_of(data: ImageArchive) -> dict[int, str]:
    """Labels of a data set and their names, in the order of the labels."""
    return dict(enumerate(data.classes))


class Counts(NamedTuple):
    """Images on each side of a comparison with one class, and of one over all classes."""

    one: int
    all: int

    def of(self, label: int | None) -> int:
        """The count of a class or, for None, over all."""
        return self.all if label is None else self.one


def counts(settings: Evaluation, data: ImageArchive) -> Counts:
    """The counts of every comparison on this data set."""
    one = common_count(settings, data)
    return Counts(one, min(settings.images_all or one, one * len(data.classes)))


def common_count(settings: Evaluation, data: ImageArchive) -> int:
    """The n of every comparison with a class of this data set; refuses a class that is too small for the settings'
    neighbours."""
    rows = {split: data.rows_by_label(split) for split in ("train", "test")}
    sizes = {
        f"{name} ({split})": len(rows[split][label])
        for label, name in labels_of(data).items()
        for split in ("train", "test")
    }
    smallest = min(sizes, key=lambda name: sizes[name])
    if sizes[smallest] <= settings.neighbours:
        raise UserError(
            f"class {smallest} has {sizes[smallest]} images; the measures with {settings.neighbours} neighbours "
            f"need at least {settings.neighbours + 1}: give more images, raise the data set's test_fraction, lower its "
            f"test_stride, or lower evaluation.neighbours"
        )
    return min(settings.images, sizes[smallest])


def training_rows(settings: Evaluation, index: pd.DataFrame) -> dict[int, np.ndarray]:
    """The training images of each class that take part (references and the judge's), in a seeded order."""
    most = max(settings.classifier_images, settings.repeats * settings.images)
    return {
        label: seeds.numpy_generator(settings.seed, "evaluation", "training", label).permutation(rows)[:most]
        for label, rows in rows_by_label(index, "train").items()
        if label >= 0
    }


def embedded_rows(settings: Evaluation, index: pd.DataFrame) -> np.ndarray:
    """Rows of a data set whose features are needed: all test images and the training images that take part."""
    test = np.flatnonzero((index["split"] == "test").to_numpy())
    return np.sort(np.concatenate([test, *training_rows(settings, index).values()]))


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
