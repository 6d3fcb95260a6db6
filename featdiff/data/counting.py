"""What a project needs of its data sets, and whether archives that are there have it."""

import io
from collections.abc import Iterable
from pathlib import Path

from featdiff.data.needs import Counted, Drawn, Group, Needs
from featdiff.settings.base import determining
from featdiff.settings.project import Params


def needs_of(params: Params, dataset: str) -> Needs:
    """What all rows of a project need of one of its data sets."""
    row, evaluation = params.datasets[dataset], params.evaluation
    copies = params.copies("models") | params.copies("samplings")  # need what the rows they are made of need
    models = {name: m for name, m in params.models.items() if m.dataset == dataset and name not in copies}
    groups = dict.fromkeys(model.training for model in models.values() if model.condition == "feature")
    samplings = [name for name in params.samplings if name not in copies and params.dataset_of(name) == dataset]
    classes = {f"models.{name}.only": model.only for name, model in models.items() if model.only}
    for name, line in params.between.items():
        if params.dataset_of(line.sampling) == dataset:
            classes |= {f"between.{name}.first": line.first, f"between.{name}.second": line.second}
    return Needs(
        dataset=dataset,
        whole=row.layout.whole,
        most=row.max_images_per_class,
        images=evaluation.images,
        images_all=evaluation.images_all,
        groups=tuple(_group(params, name) for name in groups),
        drawn=tuple(_drawn(params, name) for name in samplings),
        classes=classes,
    )


def _group(params: Params, training: str) -> Group:
    row = params.trainings[training]
    return Group(setting=f"trainings.{training}", partners=row.partners, batch=row.batch, micro_batch=row.micro_batch)


def _drawn(params: Params, sampling: str) -> Drawn:
    row = params.samplings[sampling]
    of_class = row.guidance.told or params.models[row.model].only is not None
    return Drawn(setting=f"samplings.{sampling}", images=row.images, of_class=of_class)


def counts_in(archive: Path | str) -> Counted:
    """Images of each class and split of a prepared archive, of its index alone; no image is read."""
    import pandas as pd

    from featdiff import artifacts
    from featdiff.data.archive import INDEX

    with artifacts.opened(archive, "dataset") as members:
        index = pd.read_csv(
            io.BytesIO(members.read(INDEX)), usecols=["split", "class"], dtype=str, keep_default_na=False
        )
    table = pd.crosstab(index["class"], index["split"]).reindex(columns=["train", "test"], fill_value=0)
    return {str(name): {"train": int(has["train"]), "test": int(has["test"])} for name, has in table.iterrows()}


def judged(params: Params, archives: Iterable[tuple[str, Path]]) -> tuple[list[str], list[str]]:
    """Problems of archives that are there, by data set and file, and the data sets that were judged.

    One that was prepared by other settings than the row has now is passed by: it will be prepared again.
    """
    from featdiff import artifacts

    problems, names = [], []
    for dataset, path in archives:
        if not path.is_file() or artifacts.zip_manifest(path).settings != determining(params.datasets[dataset]):
            continue
        names.append(dataset)
        problems += [f"{path}: {line}" for line in needs_of(params, dataset).problems(counts_in(path))]
    return problems, names
