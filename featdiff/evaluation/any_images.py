"""Any images against any others: samples of another program get the table that the pipeline's own get.

Against a data set of this package (an archive with training and test images) the measures and their protocol are the
pipeline's (:mod:`featdiff.evaluation.measure`): numbers stand beside those of its report. Against anything else whole
sets are compared (:mod:`featdiff.evaluation.whole`).
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from featdiff import artifacts
from featdiff.api.images import Images
from featdiff.artifacts import sha256_file
from featdiff.data import archive
from featdiff.data.archive import ImageArchive
from featdiff.devices.devices import pick_device
from featdiff.errors import UserError
from featdiff.evaluation import measure, statistics, whole
from featdiff.evaluation.embedding import Features
from featdiff.evaluation.extractors import distance_name
from featdiff.evaluation.extractors import protocol as extractor_protocol
from featdiff.evaluation.kept import KEPT, Keeper
from featdiff.evaluation.result import Result
from featdiff.evaluation.selection import embedded_rows
from featdiff.evaluation.sets import ImageSet, Source, image_set, of_array
from featdiff.evaluation.sizes import LEAST
from featdiff.evaluation.weights import dinov2_place
from featdiff.evaluation.whole import Classes
from featdiff.settings.evaluation import Dinov2, Evaluation, Extractor, Inception, Lite0

REAL_TEST = "real test images"
OUTSIDE = Evaluation(kid_subsets=100, kid_subset_size=1000, memorisation_shift=0)  # of whole sets; KID as clean-fid's


def evaluate(
    images: Source | Sequence[Source] | Mapping[str, Source],
    real: Source,
    *,
    extractor: str | Extractor = "lite0",
    weights: Path | str | None = None,
    settings: Evaluation | None = None,
    count: int | None = None,
    keep: Path | str = KEPT,
    device: torch.device | None = None,
) -> Result:
    """Measure one or several sets of images against real ones.

    ``images`` and ``real`` are folders, zips, npz of ADM's form (``arr_0``, ``arr_1``), archives of this package,
    arrays (N, H, W, C) uint8 or what a model drew; several sets come as a list, or by name. ``real`` may be an npz of
    ``mu`` and ``sigma``, too: then the Frechet distance is all that can be measured. ``extractor`` is "lite0",
    "inception" (FID) or "dinov2"; with ``settings`` it is theirs. ``count`` images of each set take part, by default as
    many as the smallest has. Features are kept under ``keep``. Raises :class:`UserError` for what can't be read or
    compared.
    """
    sets = _sets(images)
    if settings is None:
        own = Evaluation() if _is_dataset(real) else OUTSIDE
        settings = own.model_copy(update={"extractor": extractor_of(extractor, weights)})
    keeper = Keeper(settings.extractor, folder=Path(keep), device=device or pick_device())
    if _is_dataset(real):
        return _against_dataset(settings, keeper, sets, Path(str(real)), count)
    count = min([one.count for one in sets] + ([count] if count else []))
    if isinstance(real, str | Path) and statistics.are_in(Path(real)):
        return _against_statistics(settings, keeper, sets, Path(real), count)
    others = image_set(real)
    if min(count, others.count) < LEAST:
        raise UserError(f"{min(count, others.count)} images are too few for a comparison: give at least {LEAST}")
    return _against_images(settings, keeper, sets, others, count)


def extractor_of(name: str | Extractor, weights: Path | str | None = None) -> Extractor:
    """The settings of an extractor by its name; weights of DINOv2 are taken as they are, those of Inception only if
    they are the real ones."""
    place = None if weights is None else str(weights)
    match name:
        case "lite0":
            return Lite0()
        case "inception":
            return Inception(weights=place)
        case "dinov2":
            folder = dinov2_place(place)
            return Dinov2(kind="dinov2", weights=str(folder), sha256=sha256_file(folder / "model.safetensors"))
        case str():
            raise UserError(f"there is no extractor '{name}'; there are lite0, inception and dinov2")
    return name


def _sets(images: Source | Sequence[Source] | Mapping[str, Source]) -> list[ImageSet]:
    if isinstance(images, Mapping):
        found = [image_set(source, name) for name, source in images.items()]
    elif isinstance(images, str | Path | np.ndarray | Images):
        found = [image_set(images)]
    else:
        found = [image_set(source) for source in images]
        names = [one.name for one in found]
        if len(set(names)) < len(names):  # sets of one name are told apart by their paths
            found = [image_set(source, str(source)) for source in images]
    names = [one.name for one in found]
    if not found or len(set(names)) < len(names):
        raise UserError(f"sets of images need names of their own, not {names}: give them by name")
    return found


def _is_dataset(real: Source) -> bool:
    if not isinstance(real, str | Path) or not zipfile.is_zipfile(real):
        return False
    with zipfile.ZipFile(real) as packed:
        ours = {artifacts.MANIFEST, archive.INDEX} <= set(packed.namelist())
    return ours and artifacts.kind_of(real) == "dataset"


# --- against a data set of the pipeline -------------------------------------------------------------------------------


def _against_dataset(
    settings: Evaluation, keeper: Keeper, sets: list[ImageSet], path: Path, count: int | None
) -> Result:
    data = archive.read(path, "dataset")
    rows = embedded_rows(settings, data.index)
    real = keeper.embed(of_array(np.asarray(data.images[rows]), path.stem))
    features = Features(real.features, rows)
    given = [_as_archive(data, one) for one in sets]
    least = [int(np.unique(one.labels, return_counts=True)[1].min()) for one in given]
    settings = settings.model_copy(update={"images": min([settings.images, *least] + ([count] if count else []))})
    if settings.images < LEAST:
        small = sets[int(np.argmin(least))].name
        raise UserError(f"{settings.images} images a class are too few for a comparison: give more of {small}")
    found = {REAL_TEST: measure.evaluate(settings, data, features)}
    for one, samples in zip(sets, given, strict=True):
        values = keeper.embed(one).features
        found[one.name] = measure.evaluate(settings, data, features, samples, Features(values, np.arange(one.count)))
    words = measure.protocol(settings, data)
    return Result(_named(found), distance_name(settings.extractor), words, f"{path} (training images)")


def _as_archive(data: ImageArchive, images: ImageSet) -> ImageArchive:
    """The images with labels of the data set, none where their classes are others; gray where the data set is."""
    pixels = images.images()
    if data.images.shape[-1] == 1:
        pixels = np.stack([np.asarray(Image.fromarray(image).convert("L"))[..., None] for image in pixels])
    labels = labels_of(data.classes, images)
    labels = np.full(images.count, -1) if labels is None else labels
    names = np.array([*data.classes, ""])[labels]
    index = pd.DataFrame({"split": "samples", "label": labels, "class": names})
    if images.evaluations is not None:
        index["evaluations"] = images.evaluations
    return ImageArchive(pixels, index, data.made)


def labels_of(names: Sequence[str], images: ImageSet) -> np.ndarray | None:
    """The label (N,) of each image, its class's place among ``names``; None where a class is not there. Labels without
    names are places already."""
    if images.classes is None:
        return None
    if images.classes.dtype.kind in "iu":
        known = images.classes.min() >= 0 and images.classes.max() < len(names)
        return images.classes.astype(np.int64) if known else None
    place = {name: label for label, name in enumerate(names)}
    if not set(images.classes.tolist()) <= set(place):
        return None
    return np.array([place[name] for name in images.classes.tolist()])


# --- against anything else --------------------------------------------------------------------------------------------


def _against_images(settings: Evaluation, keeper: Keeper, sets: list[ImageSet], real: ImageSet, count: int) -> Result:
    held = keeper.embed(real)
    names, of_real = _classes_of(real)
    found, notes, judged = {}, [], 0
    for one in sets:
        embedded = keeper.embed(one)
        labels = labels_of(names, one)
        classes = None if labels is None or of_real is None else Classes(names, of_real, labels)
        judged = max(judged, len(names) if classes else 0)
        if classes is None and one.classes is not None and names:
            notes.append(f"{one.name}: its classes are not those of {real.name}; measured without classes.")
        found[one.name] = whole.measure(settings, held, embedded, count, classes)
        if not any(row["measure"] == "nearest_training" for row in found[one.name]):
            notes.append(
                f"{one.name}: images of another size than {real.name}'s, or of several; none was searched for."
            )
    words = f"{extractor_protocol(settings.extractor)}; {whole.protocol(settings, real.count, count, judged)}"
    return Result(_named(found), distance_name(settings.extractor), words, real.name, notes)


def _classes_of(real: ImageSet) -> tuple[list[str], np.ndarray | None]:
    """The names of the classes, sorted, and each image's label; none where classes are not known."""
    if real.classes is None:
        return [], None
    if real.classes.dtype.kind in "iu":
        return [str(label) for label in range(int(real.classes.max()) + 1)], real.classes.astype(np.int64)
    names, labels = np.unique(real.classes, return_inverse=True)
    return names.tolist(), labels


def _against_statistics(settings: Evaluation, keeper: Keeper, sets: list[ImageSet], path: Path, count: int) -> Result:
    real = statistics.read(path)
    found = {}
    for one in sets:
        embedded = keeper.embed(one)
        if embedded.features.shape[1] != len(real.mean):
            raise UserError(
                f"{path}: statistics of {len(real.mean)} features, but {settings.extractor.kind} gives "
                f"{embedded.features.shape[1]}; choose the extractor that they were made with"
            )
        found[one.name] = whole.measure_by_statistics(real, embedded, count, settings)
    ours = extractor_protocol(settings.extractor)
    if real.protocol != statistics.UNKNOWN and not real.protocol.startswith(ours):
        raise UserError(f"{path}: statistics by {real.protocol}, but the images are measured by {ours}")
    words = f"{ours}; {count} images of each set against the statistics in {path.name} ({real.protocol})"
    return Result(_named(found), distance_name(settings.extractor), words, path.name)


def _named(found: Mapping[str, list[measure.Row]]) -> list[dict[str, Any]]:
    return [{"samples": name, **row} for name, rows in found.items() for row in rows]
