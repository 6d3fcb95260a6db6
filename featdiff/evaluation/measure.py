"""The story of an evaluation: one set of images against real training images, for each class and over all.

What is measured is a set of samples or, as the floor that no model should be expected to beat, the real test images.
The reference is always real *training* images of the class. Each side of each comparison holds the same number of
images n (see :mod:`featdiff.evaluation.selection`), for samples and floor alike, because the Frechet distance, recall
and the Vendi score move with n. Over all classes both sides hold n images too, or ``images_all``, each class as likely
as another; unconditional samples have no class, so n of them are compared with each class and with all.

A value is the mean over ``repeats`` seeded draws of both sides and its spread their standard deviation (KID: over the
subsets). Where a set has just n images each draw takes all of them, and the spread shows the reference's share alone;
the interval of a Frechet distance (:mod:`featdiff.evaluation.influence`) has both sides in it. Its floor is the
distance of as many training images to as many others.

The measures are those of :data:`featdiff.kinds.measures.MEASURES`. All have rows of each class and over all, but for
``class_share`` (of samples without a class, for each class) and ``network_evaluations`` (over all; what one of the
samples cost).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featdiff import artifacts
from featdiff.data import archive
from featdiff.data.archive import ImageArchive
from featdiff.errors import UserError
from featdiff.evaluation import classifier, embedding, extractors
from featdiff.evaluation.embedding import Features
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.influence import Draw, half_width
from featdiff.evaluation.memorisation import QUANTILE, copying, nearest_training
from featdiff.evaluation.protocol import ALL
from featdiff.evaluation.selection import (
    Side,
    counts,
    draws,
    fitted,
    generator_of,
    labels_of,
    together,
    training_halves,
    training_rows,
)
from featdiff.evaluation.sizes import Counts, neighbours_told
from featdiff.kinds.measures import MEASURES, FeatureMeasure, FrechetFloor, Pair
from featdiff.settings.evaluation import Evaluation

Row = dict[str, Any]


@dataclass(frozen=True)
class _Set:
    """Images to be drawn from: an archive, its features and rows by label (label -1: without class)."""

    images: ImageArchive
    features: Features
    rows: Mapping[int, np.ndarray]

    @property
    def labelled(self) -> bool:
        return -1 not in self.rows


def evaluate(
    settings: Evaluation,
    data: ImageArchive,
    data_features: Features,
    samples: ImageArchive | None = None,
    samples_features: Features | None = None,
) -> list[Row]:
    """Rows {class, measure, value, spread, interval, count} of the samples or, without any, of the real test images."""
    if ALL in data.classes:
        raise UserError(f"a class is called {ALL!r}, which is the name of the rows over all classes; rename the class")
    settings, sizes = fitted(settings, data), counts(settings, data)
    test = _Set(data, data_features, _of_classes(data, data.rows_by_label("test")))
    chosen = test
    if samples is not None:
        if samples_features is None:
            raise ValueError("samples come with their features")
        chosen = _Set(samples, samples_features, _sample_rows(data, samples, sizes))
    return [
        *_distances(settings, data, data_features, chosen, sizes),
        *_floors(settings, data, data_features, chosen, sizes),
        *_classes(settings, data, data_features, chosen),
        *_copies(settings, data, test, chosen, sizes),
        *_cost(chosen),
    ]


def protocol(settings: Evaluation, data: ImageArchive) -> str:
    """All that a number depends on besides the images; it stands beside each number."""
    height, width, channels = data.images.shape[1:]
    sizes = counts(settings, data)
    count, over_all = sizes.one, sizes.all
    fewer = "" if count == settings.images else f" ({settings.images} asked, the smallest class of a split has {count})"
    classes = "the same number of each" if sizes.fixed else "each image's class drawn anew"
    more = f", {over_all} over all classes ({classes})" if sizes.classes > 1 else ""
    return "; ".join(
        [
            extractors.protocol(settings.extractor),
            f"{width}x{height} {'gray' if channels == 1 else 'rgb'} images",
            f"{count} a side{fewer}{more} against training images, {settings.repeats} draws, seed {settings.seed}",
            neighbours_told(sizes.neighbours(settings.neighbours), settings.neighbours),
            f"KID {settings.kid_subsets} subsets of {min(count, settings.kid_subset_size)} a draw",
            f"judge: {classifier.described(len(data.classes), settings.classifier_images)}",
            f"nearest training image: shifts to {settings.memorisation_shift}, mirrored, test quantile {QUANTILE:g}",
        ]
    )


def evaluate_to(
    settings: Evaluation,
    name: str,
    data: Path | str,
    data_features: Path | str,
    samples: Path | str | None,
    samples_features: Path | str | None,
    out: Path | str,
) -> None:
    """Evaluate files and write the rows with protocol, data set and classes as an ``evaluation`` artifact."""
    inputs = {"data": data, "data_features": data_features}
    images = archive.read(data, "dataset")
    features = embedding.read(settings, data_features, data, "dataset")
    if samples is None or samples_features is None:
        if samples is not samples_features:
            raise UserError("samples and their features go together: give both, or neither for the real test images")
        rows = evaluate(settings, images, features)
    else:
        inputs |= {"samples": samples, "samples_features": samples_features}
        generated = archive.read(samples, "samples")
        rows = evaluate(
            settings, images, features, generated, embedding.read(settings, samples_features, samples, "samples")
        )
    payload = {
        "samples": name,
        "distance": extractors.distance_name(settings.extractor),
        "protocol": protocol(settings, images),
        "data": images.made.content,
        "classes": images.classes,
        "rows": rows,
    }
    artifacts.write_json(out, payload, artifacts.manifest("evaluation", settings, inputs, by=evaluate_to))


def _sample_rows(data: ImageArchive, samples: ImageArchive, sizes: Counts) -> dict[int, np.ndarray]:
    """Rows of the samples by label, checked: same image size, known classes, enough images."""
    if samples.images.shape[1:] != data.images.shape[1:]:
        raise UserError(
            f"samples are {samples.images.shape[1:]}, the data set's images {data.images.shape[1:]} (H, W, C)"
        )
    names, found = labels_of(data), samples.rows_by_label()
    labels = set(found)
    if labels == {-1}:
        rows = {-1: np.arange(len(samples.index))}
    elif labels == set(names) and samples.classes == data.classes:
        rows = _of_classes(data, found)
    elif len(labels) == 1 and samples.classes == [names.get(label) for label in labels]:
        rows = found  # of a model of one class
    else:
        given = sorted(set(samples.index["class"].astype(str)))
        raise UserError(f"samples are of the classes {given}; all of {data.classes}, one of them, or none is needed")
    for label, of_label in rows.items():
        count = _drawn(label, sizes)
        if len(of_label) < count:
            what = f"class {names[label]} has" if label >= 0 else "there are"
            setting = "images" if count == sizes.one else "images_all"
            raise UserError(
                f"{what} {len(of_label)} samples, but {count} are compared: raise the sampling's images to {count} "
                f"or lower evaluation.{setting} to {len(of_label)}"
            )
    return rows


def _of_classes(data: ImageArchive, rows: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """The rows of the data set's classes, in the order of their labels."""
    return {label: rows[label] for label in labels_of(data)}


def _distances(
    settings: Evaluation, data: ImageArchive, data_features: Features, chosen: _Set, sizes: Counts
) -> Iterator[Row]:
    reference = {
        label: draws(rows, sizes.one, settings.repeats, generator_of(settings, "real", label))
        for label, rows in training_rows(settings, data.index).items()
    }
    generated = _generated(settings, chosen, sizes)
    for label, name in _measured(data, chosen):
        of_real = _sides(settings, "real", reference, label, sizes)
        of_generated = _sides(settings, "generated", generated, label, sizes)
        subsets = generator_of(settings, "subsets", name)
        pairs = (
            Pair(data_features.at(x.rows), chosen.features.at(y.rows), settings, subsets, (x, y))
            for x, y in zip(of_real, of_generated, strict=True)
        )
        for measure, (values, interval) in _compare(pairs).items():
            yield row_of(name, measure, values.mean(), sizes.of(label), spread=spread_of(values), interval=interval)


def _floors(
    settings: Evaluation, data: ImageArchive, data_features: Features, chosen: _Set, sizes: Counts
) -> Iterator[Row]:
    """The Frechet distance of training images to other training images at the same counts, where there are enough."""
    halves = training_halves(settings, data.index, sizes)
    enough = set(halves[0]) | ({None} if len(halves[0]) == len(data.classes) else set())
    for label, name in _measured(data, chosen):
        if label in enough:
            parts = [_sides(settings, f"floor {i}", half, label, sizes) for i, half in enumerate(halves)]
            found = [
                frechet_distance(data_features.at(x.rows), data_features.at(y.rows))
                for x, y in zip(*parts, strict=True)
            ]
            values = np.array(found)
            yield row_of(name, FrechetFloor.name, values.mean(), sizes.of(label), spread=spread_of(values))


def _measured(data: ImageArchive, chosen: _Set) -> list[tuple[int | None, str]]:
    """Labels and names of the rows: each class and, last, all; of samples of one class that class alone."""
    names = labels_of(data)
    if chosen.labelled and len(chosen.rows) < len(names):
        return [(label, names[label]) for label in chosen.rows]
    return [*names.items(), (None, ALL)]


def _drawn(label: int, sizes: Counts) -> int:
    """How many rows of a label are drawn; those without a class meet one class and all."""
    return max(sizes.one, sizes.all) if label < 0 else sizes.one


def _generated(settings: Evaluation, chosen: _Set, sizes: Counts) -> dict[int, list[np.ndarray]]:
    return {
        label: draws(rows, _drawn(label, sizes), settings.repeats, generator_of(settings, "generated", label))
        for label, rows in chosen.rows.items()
    }


def _sides(
    settings: Evaluation, what: str, by_label: Mapping[int, list[np.ndarray]], label: int | None, sizes: Counts
) -> list[Side]:
    """One side of each draw: rows of a label or, for None, of all classes; images without a class are taken for each of
    these."""
    if label is None and -1 not in by_label:
        return together(by_label, sizes, generator_of(settings, "all", what))
    key = -1 if -1 in by_label or label is None else label
    return [Side(rows[: sizes.of(label)]) for rows in by_label[key]]


def _compare(pairs: Iterable[Pair]) -> dict[str, tuple[np.ndarray, float | None]]:
    """The values of each measure of features, one a draw (KID: one a subset), with half of the 95% interval of their
    mean where the measure knows it; ``pairs`` are made one after another."""
    measures = {name: m for name, m in MEASURES.items() if issubclass(m, FeatureMeasure)}
    values: dict[str, list[float]] = {name: [] for name in measures}
    found: dict[str, list[Draw]] = {name: [] for name in measures}
    for pair in pairs:
        for name, measure in measures.items():
            values[name] += measure.values(pair)
            if (moved := measure.influences(pair)) is not None:
                found[name].append(pair.moved_by(moved))
    intervals = {name: half_width(of_draws) if of_draws else None for name, of_draws in found.items()}
    return {name: (np.array(v), intervals[name]) for name, v in values.items() if v}


def trained_judge(settings: Evaluation, data: ImageArchive, data_features: Features) -> classifier.Classifier:
    """The classifier of real training images, ``classifier_images`` of each class, who says what samples are taken
    for."""
    rows = training_rows(settings, data.index)
    training = [of_label[: settings.classifier_images] for of_label in rows.values()]
    features = data_features.at(np.concatenate(training))
    return classifier.fit(features, np.repeat(list(rows), [len(of_label) for of_label in training]))


def _classes(settings: Evaluation, data: ImageArchive, data_features: Features, chosen: _Set) -> Iterator[Row]:
    names = labels_of(data)
    if len(names) < 2:
        return  # nothing to tell apart
    judge = trained_judge(settings, data, data_features)
    taken = {label: judge.predict(chosen.features.at(rows)) for label, rows in chosen.rows.items()}
    if not chosen.labelled:
        for label, name in names.items():
            yield row_of(name, "class_share", (taken[-1] == label).mean(), len(taken[-1]))
        return
    for label in chosen.rows:
        yield row_of(names[label], "class_accuracy", (taken[label] == label).mean(), len(taken[label]))
    if len(chosen.rows) == len(names):
        right = [(taken[label] == label).mean() for label in names]  # each class with the same weight
        yield row_of(ALL, "class_accuracy", float(np.mean(right)), sum(map(len, taken.values())))


def _copies(settings: Evaluation, data: ImageArchive, test: _Set, chosen: _Set, sizes: Counts) -> Iterator[Row]:
    training = np.asarray(data.select(split="train").images)
    test_draws = _generated(settings, test, sizes)
    chosen_draws = _generated(settings, chosen, sizes)
    test_distances = _nearest(settings, test, test_draws, training)
    distances = test_distances if chosen is test else _nearest(settings, chosen, chosen_draws, training)
    for label, name in _measured(data, chosen) if chosen.labelled else [(None, ALL)]:
        count = sizes.of(label)
        rows = _sides(settings, "generated", chosen_draws, label, sizes)[0].rows
        found = copying(
            distances[rows], test_distances[_sides(settings, "generated", test_draws, label, sizes)[0].rows]
        )
        yield row_of(name, "nearest_training", found.median, count)
        yield row_of(name, "nearest_training_test", found.median_test, count)
        yield row_of(name, "copied_share", found.share, count)


def _cost(chosen: _Set) -> Iterator[Row]:
    """What an image of the samples cost; real images cost nothing."""
    if "evaluations" in chosen.images.index:
        spent = chosen.images.index["evaluations"]
        yield row_of(ALL, "network_evaluations", spent.mean(), len(spent))


def _nearest(
    settings: Evaluation, chosen: _Set, chosen_draws: Mapping[int, list[np.ndarray]], training: np.ndarray
) -> np.ndarray:
    """Distance to the nearest training image of the first draws' rows, NaN for other rows: (N,)."""
    rows = np.unique(np.concatenate([parts[0] for parts in chosen_draws.values()]))
    distances = np.full(len(chosen.images.index), np.nan)
    found = nearest_training(chosen.images.images[rows], training, shift=settings.memorisation_shift)
    distances[rows] = found.distance
    return distances


def spread_of(values: np.ndarray) -> float | None:
    """The standard deviation of values (N,); None of a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def row_of(
    name: str, measure: str, value: float, count: int, *, spread: float | None = None, interval: float | None = None
) -> Row:
    """A row of the tables, in plain numbers."""
    return {
        "class": name,
        "measure": measure,
        "value": float(value),
        "spread": spread,
        "interval": interval,
        "count": int(count),
    }
