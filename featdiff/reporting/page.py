"""The report: one HTML file that opens offline, with pictures, curves, tables, settings and what made them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from markupsafe import Markup

from featdiff import artifacts
from featdiff.artifacts import Manifest
from featdiff.data import archive
from featdiff.data.archive import ImageArchive
from featdiff.errors import UserError
from featdiff.evaluation.collect import read_metrics
from featdiff.evaluation.extractors import distance_name
from featdiff.reporting import (
    blocks,
    curves,
    embedding,
    evaluations,
    frontier,
    graph,
    grids,
    isometry,
    kinds,
    learning,
    provenance,
    soft,
    tables,
    targets,
    templates,
)
from featdiff.reporting.drawing import Figure, Panel
from featdiff.settings.data import PackagedSource
from featdiff.settings.project import Params
from featdiff.settings.sampling import Sampling
from featdiff.training import health as network_health
from featdiff.training import record

NAMED, NAMED_LENGTH = 4, 60  # classes, and characters of all their names, that a title may hold
TABLES = {
    "quality": ("samples", "class", "measure", "value", "spread", "interval", "count", "protocol"),
    "denoising": ("model", "target", "class", "sigma", "psnr", "spread", "images"),
    "scatter": ("model", "network", "block", "sigma", "between", "within", "ratio", "nearest_centroid"),
    "distances": ("model", "first", "second", "density", "error", "centroids"),
}


@dataclass(frozen=True)
class Section:
    """A further part of the page, made elsewhere: anchor, heading, body, which must be safe HTML, and figures."""

    name: str
    title: str
    body: Markup = field(default_factory=Markup)
    figures: Sequence[Figure] = ()


@dataclass(frozen=True)
class _Inputs:
    """All that is read."""

    data: ImageArchive
    guided: ImageArchive
    baseline: ImageArchive
    centroids: np.ndarray  # (C, L, D)
    sigmas: np.ndarray  # (L,)
    quality: pd.DataFrame
    denoising: pd.DataFrame
    scatter: pd.DataFrame
    distances: pd.DataFrame
    rules: graph.RuleGraph | None
    made: Mapping[str, Manifest]
    digests: Mapping[str, str]


def write_report(
    settings: Params,
    *,
    dataset: Path,
    samples: Mapping[str, Path],
    centroids: Path,
    metrics: Path,
    quality: Path,
    denoising: Path,
    scatter: Path,
    distances: Path,
    out: Path,
    rules: Path | None = None,
    levels: Mapping[str, Path] | None = None,
    progress: Mapping[str, Path] | None = None,
    health: Mapping[str, Path] | None = None,
    accepted: Sequence[tuple[str, str]] = (),
    sections: Sequence[Section] = (),
) -> None:
    """Write the page; ``samples`` has the archives of ``settings.report.guided`` and ``.baseline`` by these names.

    ``progress`` are the records of their trainings by model, ``health`` what a look at the networks found, ``accepted``
    the user's words by command: which changes of its code have no effect on results.
    """
    settings = settings.without_copies()
    files = {"data set": dataset, "centroids": centroids, "metrics": metrics}
    files |= {f"samples {name}": path for name, path in samples.items()}
    drawn = {name: _samples(settings.samplings[name], name, path) for name, path in samples.items()}
    data = archive.read(dataset, "dataset")
    table, table_made = artifacts.read_arrays(centroids, "centroids")
    if list(table["classes"]) != data.classes or drawn[settings.page.guided].classes != data.classes:
        raise UserError(
            f"{centroids}, {dataset} and the guided samples are not of the same classes; run the pipeline again"
        )
    numbers = {"quality": quality, "denoising": denoising, "scatter": scatter, "distances": distances}
    read = {name: _table(path, name) for name, path in numbers.items()}
    made = {"data set": data.made, "centroids": table_made, "metrics": read_metrics(metrics, numbers)}
    inputs = _Inputs(
        data=data,
        guided=drawn[settings.page.guided],
        baseline=drawn[settings.page.baseline],
        centroids=table["centroids"],
        sigmas=table["sigma"],
        **read,
        rules=graph.read(rules) if rules else None,
        made=made | {f"samples {name}": images.made for name, images in drawn.items()},
        digests={name: artifacts.sha256_file(path) for name, path in files.items()},
    )
    if levels:
        frechet = distance_name(settings.evaluation.extractor)
        shown = soft.figures(settings, levels, inputs.quality, frechet)
        sections = (*sections, Section(soft.ANCHOR, "Soft diffusion", figures=shown))
    trained = _training(_names(settings), progress or {}, health or {})
    artifacts.write_text(out, render(settings, inputs, sections, training=trained, accepted=accepted))


def _training(names: targets.Names, progress: Mapping[str, Path], checked: Mapping[str, Path]) -> Section | None:
    """The section on the trainings of both models, where their records are given, or what became of their blocks."""
    models = {names.guided_model: ("guided", "guided model"), names.baseline_model: ("mixture", "mixture model")}
    found = [learning.Shown(*models[name], record.read(path)) for name, path in progress.items() if name in models]
    looks = [
        blocks.Looked(*models[name], network_health.read(path)) for name, path in checked.items() if name in models
    ]
    if not found and not looks:
        return None
    body = learning.words(found) + blocks.table(looks)
    return Section(learning.ANCHOR, learning.TITLE, body, learning.figures(found))


def render(
    settings: Params,
    inputs: _Inputs,
    sections: Sequence[Section],
    *,
    training: Section | None,
    accepted: Sequence[tuple[str, str]],
) -> str:
    """The page as text; the same inputs give the same text."""
    names = _names(settings)
    frechet = distance_name(settings.evaluation.extractor)
    guided_model, baseline_model = names.guided_model, names.baseline_model
    classes = inputs.data.classes
    shown = grids.shown_labels(len(classes))
    few = len(shown) == len(classes)
    single = _single(settings, guided_model)
    sources = _sources(settings, names, inputs.quality)
    found = (
        targets.verdicts(inputs.quality, inputs.denoising, inputs.scatter, names, frechet)
        if _has_targets(settings, guided_model)
        else []
    )
    dots = curves.dots(
        inputs.quality,
        {"guided": names.guided, "mixture": names.baseline, "real": names.real},
        [classes[label] for label in shown],
        frechet,
    )
    sampler = settings.samplings[names.guided].sampler
    alike = {name: row for name, row in _of_one_dataset(settings, names).items() if row.sampler == sampler}
    strengths = frontier.frontier(inputs.quality, frontier.families(alike))
    costs = evaluations.points(inputs.quality, settings.samplings, names.guided)
    by_cost = evaluations.figure(costs, evaluations.means(inputs.quality, names.real), frechet)
    drawn = frontier.curves(strengths, frontier.real_images(inputs.quality, names.real))
    return templates.render(
        "report.html",
        title=settings.page.title or derived_title(classes),
        summary=_summary(settings, inputs, found),
        targets=targets.table(found) if found else None,
        samples=grids.sample_grids(inputs.data, inputs.guided, inputs.baseline, images=settings.page.images_per_class),
        quality=tables.quality(inputs.quality, sources, classes if few else [], frechet),
        quality_classes=None
        if few
        else tables.quality(inputs.quality, sources, classes, frechet, name="quality-classes"),
        dots=_dots_figure(dots, frechet),
        frontier=drawn,
        frontier_numbers=frontier.numbers(strengths, frechet) if drawn else None,
        evaluations=by_cost,
        evaluations_numbers=evaluations.numbers(costs, frechet) if by_cost else None,
        psnr=curves.psnr(inputs.denoising, guided_model, baseline_model, single),
        psnr_numbers=tables.curve_numbers(_curves(inputs.denoising, guided_model, baseline_model, single)),
        scatter=curves.scatter(inputs.scatter, guided_model, baseline_model),
        nearest=curves.nearest_centroid(inputs.scatter, guided_model, baseline_model),
        embedding=embedding.embedding(inputs.centroids, inputs.sigmas, classes, _thumbnails(inputs.data, shown)),
        isometry=isometry.isometry(inputs.distances, guided_model, _judges(settings, guided_model)),
        sections=sections,
        training=training,
        graph=graph.draw(inputs.rules) if inputs.rules else None,
        settings=yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100),
        kinds=kinds.table(settings),
        artifacts=provenance.artifacts_table(inputs.made, inputs.digests, accepted),
        versions=provenance.versions_table(inputs.made),
    )


def derived_title(classes: Sequence[str]) -> str:
    """The page's title where the settings give none: few classes by their names, many by their number."""
    if len(classes) > NAMED or len(", ".join(classes)) > NAMED_LENGTH:
        return f"Feature-guided samples of {len(classes)} classes"
    *others, last = classes
    return f"Feature-guided samples of {' and '.join([', '.join(others), last] if others else [last])}"


def _has_targets(settings: Params, guided: str) -> bool:
    """Whether the thresholds were meant for this data: the packaged photographs, and no other images."""
    return isinstance(settings.datasets[settings.models[guided].dataset].source, PackagedSource)


def _single(settings: Params, guided: str) -> list[str]:
    """The models of one class each that were trained as the guided one was."""
    like = settings.models[guided]
    rows = {name: row for name, row in settings.models.items() if row.only is not None}
    fields = ("dataset", "network", "training")
    return [name for name, row in rows.items() if all(getattr(row, f) == getattr(like, f) for f in fields)]


def _judges(settings: Params, guided: str) -> list[str]:
    """The models told labels on the guided model's data set."""
    dataset = settings.models[guided].dataset
    return [name for name, row in settings.models.items() if (row.dataset, row.condition) == (dataset, "label")]


def _samples(settings: Sampling, name: str, path: Path) -> ImageArchive:
    images = archive.read(path, "samples")
    if images.made.settings != settings.model_dump(mode="json"):
        raise UserError(
            f"{path}: was drawn with other settings than samplings.{name}; draw it again, or swap the files"
        )
    return images


def _table(path: Path, kind: str) -> pd.DataFrame:
    try:
        blank = {column: [""] for column in ("spread", "interval", "value", "centroids")}
        rows = pd.read_csv(path, dtype={"class": str}, keep_default_na=False, na_values=blank)
    except OSError as error:
        raise artifacts.unreadable(path, error) from None
    except ValueError as error:
        raise UserError(f"{path}: not a table: {error}") from None
    missing = [column for column in TABLES[kind] if column not in rows.columns]
    if missing:
        raise UserError(f"{path}: not a {kind} table, it has no columns {missing}")
    return rows


def _names(settings: Params) -> targets.Names:
    models = [settings.samplings[name].model for name in (settings.page.guided, settings.page.baseline)]
    real = f"real-{settings.models[models[0]].dataset}"
    return targets.Names(settings.page.guided, settings.page.baseline, real, *models)


def _sources(settings: Params, names: targets.Names, quality: pd.DataFrame) -> list[tables.Source]:
    """The sets of the quality table: guided, mixture, other samplings of the same data, real test images."""
    others = [
        tables.Source(name, name, "")
        for name in _of_one_dataset(settings, names)
        if name not in (names.guided, names.baseline)
    ]
    return [
        tables.Source(names.guided, "Guided", "guided"),
        tables.Source(names.baseline, "Mixture", "mixture"),
        *(source for source in others if (quality["samples"] == source.name).any()),
        tables.Source(names.real, "Real test", "real"),
    ]


def _of_one_dataset(settings: Params, names: targets.Names) -> dict[str, Sampling]:
    """The samplings whose models learned from the data set of the guided one."""
    dataset = settings.models[names.guided_model].dataset
    return {name: row for name, row in settings.samplings.items() if settings.dataset_of(name) == dataset}


def _curves(denoising: pd.DataFrame, guided: str, baseline: str, single: list[str]) -> dict[str, pd.DataFrame]:
    found = {f"Guided, {label}": curves.mean_over_classes(denoising, guided, t) for t, label, *_ in curves.TARGETS}
    found["Mixture model"] = curves.mean_over_classes(denoising, baseline, "none")
    together = curves.mean_over_classes(curves.joined(denoising, single), curves.SINGLE, "none")
    return found if together.empty else found | {curves.SINGLE.capitalize(): together}


def _thumbnails(data: ImageArchive, labels: list[int]) -> dict[int, np.ndarray]:
    return {label: data.select(split="test", label=label).images[0] for label in labels}


def _dots_figure(panels: list[Panel], frechet: str) -> Figure | None:
    caption = (
        "<strong>How close to each class, and how varied?</strong> {}: how far the features of a set of images lie "
        "from those of real training images of the class (logarithmic axis). Real test images are the floor. The "
        "mixture model's samples are the same for every class; a guided model that listens lies well to the left of "
        "them. Recall is the share of real images that lie among the set's; the Vendi score is the effective number "
        "of different images. Both judge variety and are best where real test images are. Bars: standard deviation "
        "over repeated draws."
    )
    key = (("guided", "guided samples"), ("mixture", "mixture model's samples"), ("real", "real test images"))
    return Figure("dots", panels, Markup(caption).format(frechet), key=key, narrow=True) if panels else None


def _summary(settings: Params, inputs: _Inputs, found: list[targets.Verdict]) -> dict[str, str]:
    height, width, channels = inputs.data.images.shape[1:]
    splits = inputs.data.index["split"].value_counts()
    measured = [v for v in found if v.holds is not None]
    row = settings.samplings[settings.page.guided]
    facts = {
        "Images": f"{len(inputs.data.classes)} classes, {width}×{height} {'gray' if channels == 1 else 'colour'}",
        "Real images": f"{splits.get('train', 0)} for training, {splits.get('test', 0)} for testing",
        "Sampler": f"{row.sampler.kind}, {int(inputs.guided.index['evaluations'].max())} network evaluations an image",
    }
    if found:
        facts["Targets"] = f"{sum(v.holds is True for v in measured)} of {len(measured)} hold"
    return facts
