"""Which images are measured: seeded draws of equal counts, so that any two numbers rest on the same count.

The count n of a data set is ``evaluation.images``, or the size of its smallest class in either split where that is
less: it depends on the data set and the settings alone, never on the samples. Over all classes it is n too, so that a
class and all of them can be compared, or ``evaluation.images_all``. Reference images are drawn from the training
images; samples and real test images (the floor) are drawn in the same way.

Over all classes the class of each image is drawn anew, each class as likely as another, on both sides by themselves: a
side then holds independent draws from the mixture of all classes, which is what every measure takes it for. The same
number of each class would not be: no image has another of its class beside it where there is one of each, and the
kernel distance of real images to real ones comes out below zero. Only where nearly all images are asked for, more than
such draws can give, each side takes the same number of each class; the kernel distance is then told
(:mod:`featdiff.evaluation.kernel`), and the rest moves by less than its spread (docs/explanation/measures.md).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from featdiff import seeds
from featdiff.data.archive import ImageArchive, rows_by_label
from featdiff.errors import UserError
from featdiff.settings.evaluation import Evaluation


def labels_of(data: ImageArchive) -> dict[int, str]:
    """Labels of a data set and their names, in the order of the labels."""
    return dict(enumerate(data.classes))


RARELY = 1e-3  # chance that freely drawn classes need more images than there are, above which the shares are fixed


class Counts(NamedTuple):
    """Images on each side of a comparison with one class, and of one over all classes; the number of classes."""

    one: int
    all: int
    classes: int

    @property
    def fixed(self) -> bool:
        """Whether all classes together are the same number of each, since freely drawn classes would run out."""
        return bool(self.classes * binom.sf(self.one, self.all, 1 / self.classes) > RARELY)

    def of(self, label: int | None) -> int:
        """The count of a class or, for None, over all."""
        return self.all if label is None else self.one


def counts(settings: Evaluation, data: ImageArchive) -> Counts:
    """The counts of every comparison on this data set."""
    one, classes = common_count(settings, data), len(data.classes)
    found = Counts(one, min(settings.images_all or one, one * classes), classes)
    if found.fixed and found.classes > 1 and found.all <= found.classes:
        raise UserError(
            f"{found.all} images of {classes} classes with {one} each cannot be drawn freely, and one of each class is "
            f"no fair draw: set evaluation.images_all to {one}, or above {classes}"
        )
    return found


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
        label: generator_of(settings, "training", label).permutation(rows)[:most]
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


class Side(NamedTuple):
    """The rows (N,) of one draw of one side, and the number of each class in their order where that is fixed."""

    rows: np.ndarray
    strata: Sequence[int] = ()


def together(by_label: Mapping[int, list[np.ndarray]], sizes: Counts, generator: np.random.Generator) -> list[Side]:
    """One side over all classes for each draw, from the front of the draws of each class."""
    return [_together(parts, sizes, generator) for parts in zip(*by_label.values(), strict=True)]


def _together(parts: Sequence[np.ndarray], sizes: Counts, generator: np.random.Generator) -> Side:
    found = shares(sizes, generator)
    rows = np.concatenate([part[:share] for part, share in zip(parts, found, strict=True)])
    return Side(rows, found.tolist() if sizes.fixed else ())


def training_halves(settings: Evaluation, index: pd.DataFrame, sizes: Counts) -> list[dict[int, list[np.ndarray]]]:
    """Two sides of training images that share none, by label one draw for each repeat; without the classes that have
    too few images for two sides."""
    first: dict[int, list[np.ndarray]] = {}
    second: dict[int, list[np.ndarray]] = {}
    for label, rows in training_rows(settings, index).items():
        if len(rows) >= 2 * sizes.one:
            of_label = generator_of(settings, "floor", label)
            orders = [of_label.permutation(rows) for _ in range(settings.repeats)]
            first[label] = [order[: sizes.one] for order in orders]
            second[label] = [order[sizes.one : 2 * sizes.one] for order in orders]
    return [first, second]


def shares(sizes: Counts, generator: np.random.Generator) -> np.ndarray:
    """How many images of each class a side over all classes holds: (classes,), ``sizes.all`` in sum.

    Each image's class is drawn by itself or, where the shares are fixed, all classes get the same number; what does not
    divide goes to some of them by lot.
    """
    if sizes.fixed:
        share, rest = divmod(sizes.all, sizes.classes)
        return share + (generator.permutation(sizes.classes) < rest)
    while (found := generator.multinomial(sizes.all, np.full(sizes.classes, 1 / sizes.classes))).max() > sizes.one:
        continue
    return found


def generator_of(settings: Evaluation, *name: str | int) -> np.random.Generator:
    """The generator of one draw of an evaluation, by what is drawn."""
    return seeds.numpy_generator(settings.seed, "evaluation", *name)
