"""What tells of a project's settings, and starts a project."""

from pathlib import Path
from typing import Annotated, Literal

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


def new(
    images: Annotated[str, typer.Argument(help="A folder, .zip, .csv of file and label, .npz of arrays, or hf:NAME.")],
    project: Annotated[Path | None, typer.Argument(help="The project's folder; default: NAME-project, here.")] = None,
    mode: Annotated[Literal["gray", "rgb"] | None, typer.Option(help="Default: what most images are.")] = None,
    size: Annotated[int | None, typer.Option(min=8, max=1024, help="Side of an image, in pixels.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="About so long a training of each model.")] = None,
) -> None:
    """Look at your own images, propose settings for them and this machine, and write a project with these.

    Example: featdiff new photos.zip pets
    """
    from featdiff.starting.start import start

    start(images, project, tell=typer.echo, mode=mode, size=size, minutes=minutes)
