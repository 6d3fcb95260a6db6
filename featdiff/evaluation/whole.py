"""Whole sets against whole sets, as the field measures a generator: all images on both sides, once.

The Frechet distance takes all real images there are, which with Inception's features is FID by clean-fid's protocol.
All else moves with the counts, so both sides give the same number there, drawn by seed from the larger; few images
have as many neighbours as there are others. Sets that stand
side by side are all cut down to the smallest of them. Where the sets are of the real images' classes there are rows of
each class, too; without classes those over all images are all.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featdiff.evaluation import classifier
from featdiff.evaluation.frechet import distance_of_moments, frechet_distance, moments
from featdiff.evaluation.influence import half_width
from featdiff.evaluation.kept import SMALL, Embedded
from featdiff.evaluation.measure import Row, row_of, spread_of
from featdiff.evaluation.memorisation import QUANTILE, copying, nearest_training
from featdiff.evaluation.protocol import ALL
from featdiff.evaluation.selection import Side, generator_of
from featdiff.evaluation.sizes import allowed, neighbours_told
from featdiff.evaluation.statistics import Statistics
from featdiff.kinds.measures import MEASURES, FeatureMeasure, Frechet, FrechetFloor, FrechetInfinity, Pair
from featdiff.settings.evaluation import Evaluation

WITH_ALL_REAL = (Frechet, FrechetInfinity)
HELD_OUT = 1000  # real images that say how near new ones come to the others
LEAST_HELD_OUT = 19  # from which on the quantile of memorisation is one for new images


@dataclass(frozen=True)
class Classes:
    """Names of classes, and the labels (N,) of both sides' images."""

    names: list[str]
    real: np.ndarray
    generated: np.ndarray


def measure(
    settings: Evaluation, real: Embedded, generated: Embedded, count: int, classes: Classes | None
) -> list[Row]:
    """Rows {class, measure, value, spread, interval, count} of ``count`` images of a set against real ones."""
    chosen = _some(settings, len(generated.features), count, "generated")
    k = allowed(settings.neighbours, len(real.features), len(chosen))
    settings = settings.model_copy(update={"neighbours": k})
    of_real = np.arange(len(real.features))
    parts: list[tuple[str, np.ndarray, np.ndarray]] = []
    if classes is not None:
        for label, name in enumerate(classes.names):
            x, y = of_real[classes.real == label], chosen[classes.generated[chosen] == label]
            if min(len(x), len(y)) > settings.neighbours:
                parts.append((name, x, y))
    rows = []
    sides = {name: (Side(x), Side(y)) for name, x, y in parts}
    sides[ALL] = (Side(of_real), Side(chosen))
    if classes is not None:
        sides[ALL] = (_balanced(of_real, classes.real), _balanced(chosen, classes.generated))
    for name, (x_side, y_side) in sides.items():
        rows += list(_of_features(settings, real.features, generated.features, x_side, y_side, name))
    rows += list(_judged(settings, real.features, generated.features, chosen, classes))
    rows += list(_nearest(settings, real, generated, chosen))
    if generated.images.evaluations is not None:
        spent = generated.images.evaluations
        rows.append(row_of(ALL, "network_evaluations", spent.mean(), len(spent)))
    return rows


def measure_by_statistics(real: Statistics, generated: Embedded, count: int, settings: Evaluation) -> list[Row]:
    """The Frechet distance alone: all that a mean and a covariance of real images say."""
    chosen = _some(settings, len(generated.features), count, "generated")
    value = distance_of_moments(real, moments(generated.features[chosen]))
    return [row_of(ALL, Frechet.name, value, count)]


def protocol(settings: Evaluation, real: int, count: int, judged: int) -> str:
    """What the numbers depend on besides the images, after the words of the extractor; ``judged`` classes are told
    apart."""
    equal, shift = min(real, count), settings.memorisation_shift
    words = [
        f"Frechet: {count} images of each set against all {real} real ones",
        f"all else: {equal} a side, seed {settings.seed}",
        neighbours_told(allowed(settings.neighbours, equal), settings.neighbours),
        f"KID {settings.kid_subsets} subsets of {settings.kid_subset_size}, or all at once where there are no more",
        *([f"judge: {classifier.described(judged, settings.classifier_images)}"] if judged > 1 else []),
        f"nearest real image: at most {SMALL} pixels a side, shifts to {shift}, mirrored, test quantile {QUANTILE:g} "
        f"of {_held_out(real)} real images among the others",
    ]
    return "; ".join(words)


def _some(settings: Evaluation, size: int, count: int, what: str) -> np.ndarray:
    """``count`` of so many rows by seed, ascending; all in their order where there are no more."""
    if count >= size:
        return np.arange(size)
    return np.sort(generator_of(settings, "whole", what).permutation(size)[:count])


def _balanced(rows: np.ndarray, labels: np.ndarray) -> Side:
    """A side whose classes all have the same number of images: no law but a plan gave them that, and the kernel
    distance must know (:mod:`featdiff.evaluation.kernel`). A side of independent images if they have not."""
    sizes = np.bincount(labels[rows])
    if len(sizes) < 2 or sizes.min() < sizes.max():
        return Side(rows)
    return Side(rows[np.argsort(labels[rows], kind="stable")], sizes.tolist())


def _of_features(
    settings: Evaluation, real: np.ndarray, generated: np.ndarray, x: Side, y: Side, name: str
) -> Iterator[Row]:
    subsets = generator_of(settings, "subsets", name)
    equal = min(len(x.rows), len(y.rows))
    if equal <= settings.kid_subset_size:  # each subset would be all images again
        settings = settings.model_copy(update={"kid_subsets": 1})
    whole = Pair(_at(real, x.rows), _at(generated, y.rows), settings, subsets, (x, y))
    same = whole
    if equal < max(len(x.rows), len(y.rows)):
        fewer = _fewer(settings, x, equal, f"real {name}"), _fewer(settings, y, equal, f"equal {name}")
        same = Pair(_at(real, fewer[0].rows), _at(generated, fewer[1].rows), settings, subsets, fewer)
    for measure in (m for m in MEASURES.values() if issubclass(m, FeatureMeasure)):
        pair = whole if issubclass(measure, WITH_ALL_REAL) else same
        values = np.array(measure.values(pair))
        if len(values):
            moved = measure.influences(pair)
            interval = None if moved is None else half_width([pair.moved_by(moved)])
            count = len(y.rows) if pair is whole else equal
            yield row_of(name, measure.name, values.mean(), count, spread=spread_of(values), interval=interval)
    if len(x.rows) >= 2 * len(y.rows):
        order = generator_of(settings, "whole", "floor", name).permutation(x.rows)
        value = frechet_distance(real[order[len(y.rows) :]], real[order[: len(y.rows)]])
        yield row_of(name, FrechetFloor.name, value, len(y.rows))


def _fewer(settings: Evaluation, side: Side, count: int, what: str) -> Side:
    """``count`` of a side's images, drawn by seed: then no class has a fixed number any more."""
    return side if count == len(side.rows) else Side(side.rows[_some(settings, len(side.rows), count, what)])


def _at(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of features; no copy where they are all, in their order."""
    return features if np.array_equal(rows, np.arange(len(features))) else features[rows]


def _judged(
    settings: Evaluation, real: np.ndarray, generated: np.ndarray, chosen: np.ndarray, classes: Classes | None
) -> Iterator[Row]:
    if classes is None or len(classes.names) < 2:
        return
    seen = []
    for label in range(len(classes.names)):
        rows = np.flatnonzero(classes.real == label)
        seen.append(rows[_some(settings, len(rows), settings.classifier_images, f"judge {label}")])
    training = np.concatenate(seen)
    judge = classifier.fit(real[training], classes.real[training])
    right = judge.predict(generated[chosen]) == classes.generated[chosen]
    shares = []
    for label, name in enumerate(classes.names):
        own = right[classes.generated[chosen] == label]
        if len(own):
            shares.append(own.mean())
            yield row_of(name, "class_accuracy", own.mean(), len(own))
    yield row_of(ALL, "class_accuracy", float(np.mean(shares)), len(chosen))  # each class with the same weight


def _held_out(real: int) -> int:
    return min(HELD_OUT, real // 5)


def _nearest(settings: Evaluation, real: Embedded, generated: Embedded, chosen: np.ndarray) -> Iterator[Row]:
    """How near the images come to real ones, and how near some real images come to the others."""
    if real.small is None or generated.small is None or real.small.shape[1:] != generated.small.shape[1:]:
        return
    shift = settings.memorisation_shift
    found = nearest_training(_at(generated.small, chosen), real.small, shift=shift).distance
    yield row_of(ALL, "nearest_training", float(np.median(found)), len(chosen))
    if (held_out := _held_out(len(real.small))) >= LEAST_HELD_OUT:
        order = generator_of(settings, "whole", "held out").permutation(len(real.small))
        new, others = real.small[np.sort(order[:held_out])], real.small[np.sort(order[held_out:])]
        judged = copying(found, nearest_training(new, others, shift=shift).distance)
        yield row_of(ALL, "nearest_training_test", judged.median_test, held_out)
        yield row_of(ALL, "copied_share", judged.share, len(chosen))
