"""Steps of the workflow: centroids, and what the network makes of test images."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Data, Model, Out, SettingsText, Table, settings_from
from featdiff.settings.centroids import Centroids, Denoising, Distances


def centroids(
    settings: SettingsText,
    data: Data,
    model: Model,
    out: Out,
    new_classes: Annotated[
        bool, typer.Option("--new-classes", help="The classes need not be the checkpoint's.")
    ] = False,
    known: Annotated[
        Path | None, typer.Option(help="Of new classes: the centroids of the checkpoint's own, whose mean is kept.")
    ] = None,
) -> None:
    """Average the features of each class on a grid of noise levels."""
    from featdiff.features.centroids import extract

    extract(settings_from(Centroids, settings), data, model, out, new_classes=new_classes, known=known)


def denoise(
    settings: SettingsText,
    data: Data,
    model: Model,
    out: Out,
    name: Annotated[str, typer.Option(help="The model's name in the tables.")],
    centroids: Table = None,
) -> None:
    """Measure PSNR against noise level, and the scatter of the features, on test images."""
    from featdiff.features.denoising import measure

    measure(settings_from(Denoising, settings), data, model, centroids, out, name=name)


def distances(
    settings: SettingsText,
    data: Data,
    model: Model,
    out: Out,
    name: Annotated[str, typer.Option(help="The model's name in the tables.")],
    centroids: Table = None,
) -> None:
    """Measure distances between the densities of classes, to compare with those of their centroids."""
    from featdiff.features.density_distance import measure

    measure(settings_from(Distances, settings), data, model, centroids, out, name=name)
