"""Steps of the workflow: tables made of all measures."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Out, SettingsText, settings_from
from featdiff.errors import UserError
from featdiff.settings.project import Params


def collect(
    evaluations: Annotated[list[Path], typer.Argument(help="The evaluations to put together.")],
    out: Out,
    quality: Annotated[Path, typer.Option(help="The table of image measures to write.")],
    denoising_table: Annotated[Path, typer.Option(help="The table of PSNR to write.")],
    scatter_table: Annotated[Path, typer.Option(help="The table of feature scatter to write.")],
    distances_table: Annotated[Path, typer.Option(help="The table of distances between classes to write.")],
    denoising: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, once for each model.")] = None,
    distances: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, once for each model told the class.")] = None,
) -> None:
    """Put all measures together: metrics.json and four tables."""
    from featdiff.evaluation.collect import collect as run

    run(
        evaluations,
        _by_model("--denoising", denoising),
        _by_model("--distances", distances),
        metrics=out,
        quality=quality,
        denoising_table=denoising_table,
        scatter_table=scatter_table,
        distances_table=distances_table,
    )


def sweep(
    settings: SettingsText,
    evaluations: Annotated[list[Path], typer.Argument(help="The evaluations of the samplings compared.")],
    out: Out,
    denoising: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, once for each model.")] = None,
    health: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, once for each model.")] = None,
) -> None:
    """Put models that differ in one setting each side by side: one table. --settings are all settings."""
    from featdiff.evaluation.sweep import write

    values = settings_from(Params, settings)
    write(values, evaluations, _by_model("--denoising", denoising), _by_model("--health", health), out)


def repeats(
    settings: SettingsText,
    evaluations: Annotated[list[Path], typer.Argument(help="The evaluations of the rows and of their copies.")],
    out: Out,
    denoising: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, once for each model.")] = None,
    distances: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, once for each model, if asked for.")] = None,
) -> None:
    """Put trainings with several seeds together: means and standard deviations in one table. --settings are all
    settings."""
    from featdiff.evaluation.repeats import write

    values = settings_from(Params, settings)
    write(values, evaluations, _by_model("--denoising", denoising), _by_model("--distances", distances), out)


def _by_model(option: str, entries: list[str] | None) -> dict[str, Path]:
    """MODEL=FILE, once for each model."""
    found = {}
    for entry in entries or []:
        model, equals, path = entry.partition("=")
        if not (model and equals and path) or model in found:
            raise UserError(f"{option} {entry}: should be MODEL=FILE, once for each model")
        found[model] = Path(path)
    return found
