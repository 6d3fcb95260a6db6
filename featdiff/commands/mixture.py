"""Steps of the workflow: exact Gaussian mixtures."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Bridge, Out, SettingsText, settings_from
from featdiff.settings.mixture import Bridge as BridgeSettings
from featdiff.settings.mixture import MixtureStudy


def mixture(
    settings: SettingsText,
    out: Annotated[Path, typer.Option("--out", help="The folder for tables, pictures and, last, study.json.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads; the numbers do not depend on it.")] = 1,
) -> None:
    """Study what guidance does on exact Gaussian mixtures."""
    from featdiff.mixture.study import run_study

    run_study(settings_from(MixtureStudy, settings), out, threads=threads)


def mixture_bridge(
    settings: SettingsText,
    out: Annotated[Path, typer.Option("--out", help="The folder for tables, pictures and, last, bridge.json.")],
    state: Annotated[Path, typer.Option(help="Folder of the resume states.")] = Path(".featdiff/state"),
    threads: Annotated[int, typer.Option(min=1, help="With two, both networks are trained side by side.")] = 1,
) -> None:
    """Train a network on an exact mixture of images and compare it with the truth."""
    from featdiff.mixture.bridge import run_bridge

    run_bridge(settings_from(BridgeSettings, settings), out, state=state, threads=threads)


def mixture_page(
    study: Annotated[Path, typer.Option(help="The folder that 'featdiff mixture' wrote.")],
    figures: Annotated[Path, typer.Option(help="The zip of pictures (SVG) to write.")],
    out: Out,
    bridge: Bridge = None,
) -> None:
    """Draw the study of exact mixtures: one page, and its pictures."""
    from featdiff.reporting.mixture import write_page

    write_page(study, out, figures=figures, network=bridge)
