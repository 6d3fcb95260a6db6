"""What tells of a project's settings."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.errors import UserError
from featdiff.settings.project import load
from featdiff.settings.project import schema as schema_text


def schema() -> None:
    """Print the JSON schema of params.yaml."""
    typer.echo(schema_text(), nl=False)


def check(
    file: Annotated[Path, typer.Argument(help="A settings file.")] = Path("params.yaml"),
    results: Annotated[
        Path, typer.Option(help="A results folder: are the images that are prepared there enough for the settings?")
    ] = Path("results"),
) -> None:
    """Check a settings file, and the counts of data sets that are prepared, and name what is wrong.

    Example: featdiff check params.yaml --results results
    """
    from featdiff.data.counting import judged
    from featdiff.data.needs import shown

    params = load(file)
    problems, names = judged(params, ((name, results / "data" / name / "dataset.zip") for name in params.datasets))
    if problems:
        raise UserError("\n".join([f"{file}: all settings are valid, but images are missing", *shown(problems)]))
    typer.echo(f"{file}: all settings are valid")
    if names:
        typer.echo(f"{results}: enough images for them: {', '.join(names)}")


def kinds() -> None:
    """List samplers, corruptions, guidance, measures, network blocks and layouts: those of the package and of
    extensions/."""
    from featdiff.extending import listing

    typer.echo(listing(), nl=False)
