"""What tells of a project's settings."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.settings.project import load
from featdiff.settings.project import schema as schema_text


def schema() -> None:
    """Print the JSON schema of params.yaml."""
    typer.echo(schema_text(), nl=False)


def check(file: Annotated[Path, typer.Argument(help="A settings file.")] = Path("params.yaml")) -> None:
    """Check a settings file and name what is wrong with it."""
    load(file)
    typer.echo(f"{file}: all settings are valid")


def kinds() -> None:
    """List samplers, corruptions, guidance, measures, network blocks and layouts: those of the package and of
    extensions/."""
    from featdiff.extending import listing

    typer.echo(listing(), nl=False)
