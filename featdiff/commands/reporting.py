"""Steps of the workflow: the report."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Bridge, Data, Out, SettingsText, settings_from
from featdiff.errors import UserError
from featdiff.settings.project import Params


def report(
    settings: SettingsText,
    data: Data,
    samples: Annotated[list[Path], typer.Argument(help="The guided samples, then the baseline's.")],
    centroids: Annotated[Path, typer.Option(help="The centroids of the guided model.")],
    metrics: Annotated[Path, typer.Option(help="metrics.json of 'featdiff collect'.")],
    quality: Annotated[Path, typer.Option(help="The table of image measures.")],
    denoising_table: Annotated[Path, typer.Option(help="The table of PSNR.")],
    scatter_table: Annotated[Path, typer.Option(help="The table of feature scatter.")],
    distances_table: Annotated[Path, typer.Option(help="The table of distances between classes.")],
    out: Out,
    graph: Annotated[Path | None, typer.Option(help="The rule graph: JSON with rules and edges.")] = None,
    study: Annotated[Path | None, typer.Option("--mixture", help="The folder that 'featdiff mixture' wrote.")] = None,
    bridge: Bridge = None,
    levels: Annotated[list[str] | None, typer.Option(help="CORRUPTION=FILE, once for each corruption.")] = None,
    between: Annotated[list[Path] | None, typer.Option(help="A folder of images between classes and measures.")] = None,
    repeats_table: Annotated[Path | None, typer.Option(help="The table of 'featdiff repeats'.")] = None,
    progress: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, of 'featdiff record-training'.")] = None,
    health: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, of 'featdiff health'.")] = None,
    accepted: Annotated[list[str] | None, typer.Option(help="COMMAND=WORDS, of 'featdiff ledger accept'.")] = None,
) -> None:
    """Write the report: one page with pictures, curves, tables and what made them. --settings are all settings."""
    from featdiff.reporting import between as classes_between
    from featdiff.reporting import mixture as guidance_study
    from featdiff.reporting import repeats as over_trainings
    from featdiff.reporting.page import Section, write_report

    sections = []
    if study is not None:
        body = guidance_study.body(guidance_study.read(study), bridge)
        sections.append(Section("mixture", guidance_study.TITLE, body))
    for folder in between or []:
        sections.append(classes_between.section(folder / "images.zip", folder / "measures.json"))
    values = settings_from(Params, settings)
    if repeats_table is not None:
        sections.append(over_trainings.section(values, repeats_table, quality))
    names = (values.page.guided, values.page.baseline)
    if len(samples) != len(names):
        raise UserError(f"{len(samples)} sample files were given; two are needed, of {names[0]} and then of {names[1]}")
    write_report(
        values,
        dataset=data,
        samples=dict(zip(names, samples, strict=True)),
        centroids=centroids,
        metrics=metrics,
        quality=quality,
        denoising=denoising_table,
        scatter=scatter_table,
        distances=distances_table,
        rules=graph,
        levels={name: Path(file) for name, _, file in (entry.partition("=") for entry in levels or [])},
        progress={name: Path(file) for name, _, file in (entry.partition("=") for entry in progress or [])},
        health={name: Path(file) for name, _, file in (entry.partition("=") for entry in health or [])},
        accepted=[(command, why) for command, _, why in (entry.partition("=") for entry in accepted or [])],
        out=out,
        sections=sections,
    )
