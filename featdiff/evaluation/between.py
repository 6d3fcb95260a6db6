"""What images between two classes look like, share by share: how far from each class, and what the judge takes them
for.

The measures are those of :mod:`featdiff.evaluation.measure`: Frechet distance to training images of each class, n a
side, and the judge, of whom here the probabilities are asked. ``real`` rows say what the test images of the two classes
get.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from featdiff import artifacts, derived
from featdiff.data import archive
from featdiff.data.archive import ImageArchive
from featdiff.devices.devices import CPU
from featdiff.errors import UserError
from featdiff.evaluation import embedding
from featdiff.evaluation.embedding import Features
from featdiff.evaluation.extractors import distance_name, extractor
from featdiff.evaluation.frechet import frechet_distance
from featdiff.evaluation.measure import protocol, trained_judge
from featdiff.evaluation.selection import common_count, draws, labels_of, training_rows
from featdiff.settings.evaluation import Evaluation
from featdiff.settings.sampling import BetweenSpec


def measure_to(
    settings: Evaluation, images: Path, data: Path, data_features: Path, out: Path, *, device: torch.device = CPU
) -> None:
    """Measure an archive of kind ``between`` and write the rows as JSON, with the protocol and the names of the
    classes."""
    drawn = archive.read(images, "between")
    between = BetweenSpec.model_validate(drawn.made.settings).between
    dataset = archive.read(data, "dataset")
    known = embedding.read(settings, data_features, data, "dataset")
    made = artifacts.manifest(
        "between-measures", settings, {"images": images, "data": data, "data_features": data_features}, by=measure_to
    )
    if unknown := [name for name in (between.first, between.second) if name not in dataset.classes]:
        raise UserError(f"{data}: has no class {', '.join(map(repr, unknown))}; classes: {', '.join(dataset.classes)}")
    features = extractor(settings.extractor, device=device).features(np.asarray(drawn.images))
    by_share = features.reshape(len(between.shares), between.images, -1)
    rows = measure(settings, by_share, between.shares, (between.first, between.second), dataset, known)
    words = {"distance": distance_name(settings.extractor), "protocol": protocol(settings, dataset)}
    artifacts.write_json(out, {"first": between.first, "second": between.second, **words, "rows": rows}, made)


def measure(
    settings: Evaluation,
    features: np.ndarray,
    shares: tuple[float, ...],
    classes: tuple[str, str],
    data: ImageArchive,
    data_features: Features,
) -> list[dict[str, Any]]:
    """Rows of images whose features (S, N, D) lie at the shares, and of the real test images of both classes.

    A row tells of one share and one of the two classes: ``frechet`` distance to it and its standard deviation over
    draws (``spread``), mean ``probability`` that the judge gives it, share of the images ``taken`` for it. Real test
    images have no ``share`` (None) and stand under their class in ``images``.
    """
    known = {name: label for label, name in labels_of(data).items()}
    training, test = training_rows(settings, data.index), data.rows_by_label("test")
    judge = trained_judge(settings, data, data_features)
    sets: list[tuple[str, float | None, np.ndarray]] = [
        ("samples", a, part) for a, part in zip(shares, features, strict=True)
    ]
    sets += [(name, None, data_features.at(test[known[name]])) for name in classes]
    count = min(common_count(settings, data), features.shape[1])
    rows = []
    for images, share, found in sets:
        probabilities = judge.probabilities(found)
        for name in classes:
            label = known[name]
            values = np.array(_distances(settings, data_features, training[label], found, label, count))
            rows.append(
                {
                    "images": images,
                    "share": share,
                    "class": name,
                    "frechet": float(values.mean()),
                    "spread": float(values.std(ddof=1)),
                    "probability": float(probabilities[:, label].mean()),
                    "taken": float((probabilities.argmax(1) == label).mean()),
                    "count": count,
                }
            )
    return rows


def _distances(
    settings: Evaluation, data_features: Features, training: np.ndarray, found: np.ndarray, label: int, count: int
) -> list[float]:
    """Frechet distances to the training images (rows) of a class, one for each draw of both sides."""
    real = draws(
        training,
        count,
        settings.repeats,
        derived.numpy_generator(settings.seed, "evaluation", "real", label),
    )
    chosen = draws(
        np.arange(len(found)), count, settings.repeats, derived.numpy_generator(settings.seed, "evaluation", "between")
    )
    return [frechet_distance(data_features.at(x), found[y]) for x, y in zip(real, chosen, strict=True)]
