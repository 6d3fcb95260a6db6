"""The command line: one subcommand for each rule of the workflow. Settings travel as JSON text, exactly as tracked."""

import json
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from featdiff import params
from featdiff.errors import UserError

S = TypeVar("S", bound=params.Settings)

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

SettingsText = Annotated[
    str, typer.Option("--settings", help="Settings as JSON text (a row of params.yaml, resolved).")
]
Out = Annotated[Path, typer.Option("--out", help="The file to write; it appears complete or not at all.")]
Data = Annotated[Path, typer.Option("--data", help="The data set's archive.")]
Model = Annotated[Path, typer.Option("--model", help="The checkpoint.")]
Table = Annotated[Path | None, typer.Option("--centroids", help="The checkpoint's centroids.")]


def _settings(kind: type[S], text: str) -> S:
    try:
        return params.parse(kind, json.loads(text), "--settings")
    except json.JSONDecodeError as error:
        raise UserError(f"--settings is not valid JSON: {error}") from None


@app.command()
def prepare(settings: SettingsText, out: Out) -> None:
    """Cut or resize a source of images into one archive with labels, splits and a manifest."""
    from featdiff.data.prepare import prepare as run

    typer.echo(run(_settings(params.Dataset, settings), out))


@app.command()
def train(
    settings: SettingsText,
    data: Data,
    out: Out,
    state: Annotated[Path, typer.Option(help="Folder of the resume states.")] = Path(".featdiff/state"),
) -> None:
    """Train a network by denoising alone; killed and started again, it goes on where it was."""
    from featdiff.training.devices import keep_freed_memory
    from featdiff.training.loop import train as run

    keep_freed_memory()
    run(_settings(params.TrainSpec, settings), data, out, state=state)


@app.command()
def centroids(settings: SettingsText, data: Data, model: Model, out: Out) -> None:
    """Average the features of each class on a grid of noise levels."""
    from featdiff.features.centroids import extract

    extract(_settings(params.Centroids, settings), data, model, out)


@app.command()
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

    measure(_settings(params.Denoising, settings), data, model, centroids, out, name=name)


@app.command()
def sample(
    settings: SettingsText,
    model: Model,
    out: Out,
    shard: Annotated[int, typer.Option(help="Which shard of the sampling to draw, from 0.")],
    centroids: Table = None,
) -> None:
    """Draw one shard of a sampling."""
    from featdiff.sampling.shards import sample_shard

    sample_shard(_settings(params.Sampling, settings), model, centroids, shard, out)


@app.command()
def gather(shards: Annotated[list[Path], typer.Argument(help="All shards of one sampling.")], out: Out) -> None:
    """Put the shards of a sampling together into one archive."""
    from featdiff.sampling.shards import gather as run

    run(shards, out)


@app.command()
def schema() -> None:
    """Print the JSON schema of params.yaml."""
    typer.echo(params.schema(), nl=False)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A settings file.")] = Path("params.yaml")) -> None:
    """Check a settings file and name what is wrong with it."""
    params.load(file)
    typer.echo(f"{file}: all settings are valid")


def main() -> None:
    """Run the command line; what a user can mend ends with one message and exit status 2."""
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"featdiff: error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
