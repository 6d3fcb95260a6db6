"""Steps of the workflow: samples, and images between classes."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Data, Model, Out, SettingsText, Table, settings_from
from featdiff.settings.corruption import LevelsSpec
from featdiff.settings.sampling import BetweenSpec, Sampling


def levels(settings: SettingsText, data: Data, out: Out) -> None:
    """Choose the levels of a corruption for a data set, and fit where sampling starts."""
    from featdiff.sampling.corrupted import extract

    extract(settings_from(LevelsSpec, settings), data, out)


def sample_shard(
    settings: SettingsText,
    model: Model,
    out: Out,
    shard: Annotated[int, typer.Option(help="Which shard of the sampling to draw, from 0.")],
    centroids: Table = None,
    weak: Annotated[Path | None, typer.Option(help="Autoguidance: the weaker model's checkpoint.")] = None,
    weak_centroids: Annotated[Path | None, typer.Option(help="Autoguidance: the weaker model's centroids.")] = None,
    levels: Annotated[Path | None, typer.Option(help="A model with a corruption: the levels of its data set.")] = None,
) -> None:
    """Draw one shard of a sampling."""
    from featdiff.devices import compiling
    from featdiff.models.guided import Source
    from featdiff.sampling.shards import sample_shard

    compiling.keep_in(compiling.FOLDER)
    weaker = Source(weak, weak_centroids) if weak else None
    sample_shard(settings_from(Sampling, settings), model, centroids, shard, out, weak=weaker, chosen=levels)


def gather(shards: Annotated[list[Path], typer.Argument(help="All shards of one sampling.")], out: Out) -> None:
    """Put the shards of a sampling together into one archive."""
    from featdiff.sampling.gathering import gather as run

    run(shards, out)


def between(settings: SettingsText, model: Model, out: Out, centroids: Table = None) -> None:
    """Draw images along the line between two classes' centroids."""
    from featdiff.devices import compiling
    from featdiff.models.guided import Source
    from featdiff.sampling.between import write

    compiling.keep_in(compiling.FOLDER)
    write(settings_from(BetweenSpec, settings), Source(model, centroids), out)
