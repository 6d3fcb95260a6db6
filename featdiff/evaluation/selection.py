"""Which images are measured: seeded draws of equal counts, so that any two numbers rest on the same count.

The count n of a data set is ``evaluation.images``, or the size of its smallest class in either split where that is
less: it depends on the data set and the settings alone, never on the samples. Over all classes it is n too, so that a
class and all of them can be compared, or ``evaluation.images_all``. Reference images are drawn from the training
images; samples and real test images (the floor) are drawn in the same way. The nearest-neighbour measures take
``evaluation.neighbours`` of them, or n - 1 where that is less.

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

from featdiff import derived
from featdiff.data.archive import ImageArchive, rows_by_label
from featdiff.errors import UserError
from featdiff.evaluation.sizes import LEAST, Counts, compared
from featdiff.settings.evaluation import Evaluation


def labels_of(data: ImageArchive) -> dict[int, str]:
    """Labels of a data set and their names, in the order of the labels."""
    return dict(enumerate(data.classes))


def counts(settings: Evaluation, data: ImageArchive) -> Counts:
    """The counts of every comparison on this data set."""
    found = compared(
        images=settings.images,
        images_all=settings.images_all,
        smallest=_smallest(data),
        classes=len(data.classes),
    )
    if found.refused:
        raise UserError(found.refused)
    return found


def common_count(settings: Evaluation, data: ImageArchive) -> int:
    """The n of every comparison with a class of this data set; refuses a class of which there are no two images in a
    split."""
    return min(settings.images, _smallest(data))


def fitted(settings: Evaluation, data: ImageArchive) -> Evaluation:
    """The settings with as many neighbours as the counts allow."""
    return settings.model_copy(update={"neighbours": counts(settings, data).neighbours(settings.neighbours)})


def _smallest(data: ImageArchive) -> int:
    """The number of images of the smallest class in either split."""
    rows = {split: data.rows_by_label(split) for split in ("train", "test")}
    sizes = {
        f"{name} ({split})": len(rows[split][label])
        for label, name in labels_of(data).items()
        for split in ("train", "test")
    }
    smallest = min(sizes, key=lambda name: sizes[name])
    if sizes[smallest] < LEAST:
        raise UserError(
            f"class {smallest} has {sizes[smallest]} images; the measures need at least {LEAST}: give more images, "
            "raise the data set's test_fraction or lower its test_stride"
        )
    return sizes[smallest]


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
    return derived.numpy_generator(settings.seed, "evaluation", *name)
