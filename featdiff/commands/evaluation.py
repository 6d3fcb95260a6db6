"""Steps of the workflow: features of an extractor, and measures made of them."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Data, Out, SettingsText, settings_from
from featdiff.settings.evaluation import Evaluation


def embed(settings: SettingsText, images: Annotated[Path, typer.Option(help="An image archive.")], out: Out) -> None:
    """Compute an extractor's features of the images of an archive, once, and keep them."""
    from featdiff import artifacts
    from featdiff.devices.devices import pick_device
    from featdiff.evaluation.embedding import embed as run

    run(settings_from(Evaluation, settings), images, artifacts.kind_of(images), out, device=pick_device())


def measure(
    settings: SettingsText,
    data: Data,
    data_features: Annotated[Path, typer.Option(help="Features of the data set.")],
    out: Out,
    name: Annotated[str, typer.Option(help="The samples' name in the tables.")],
    samples: Annotated[Path | None, typer.Option(help="Samples; without, the real test images: the floor.")] = None,
    samples_features: Annotated[Path | None, typer.Option(help="Features of the samples.")] = None,
) -> None:
    """Measure the quality, diversity and class accuracy of samples against real images."""
    from featdiff.evaluation.measure import evaluate_to

    evaluate_to(settings_from(Evaluation, settings), name, data, data_features, samples, samples_features, out)


def between_measures(
    settings: SettingsText,
    images: Annotated[Path, typer.Option(help="The images that 'featdiff between' drew.")],
    data: Data,
    data_features: Annotated[Path, typer.Option(help="Features of the data set.")],
    out: Out,
) -> None:
    """Measure images between two classes: their distance to each, and what a judge takes them for."""
    from featdiff.devices.devices import pick_device
    from featdiff.evaluation.between import measure_to

    measure_to(settings_from(Evaluation, settings), images, data, data_features, out, device=pick_device())
