"""What several commands are given: settings, and files to read and to write."""

import json
import os
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from featdiff.errors import UserError
from featdiff.locks import only_writer
from featdiff.settings.base import Settings, parse

S = TypeVar("S", bound=Settings)

SettingsText = Annotated[
    str, typer.Option("--settings", help="Settings as JSON text (a row of params.yaml, resolved).")
]


def settings_from(kind: type[S], text: str) -> S:
    """Settings of this kind from JSON text; raises :class:`UserError` where they are wrong."""
    try:
        return parse(kind, json.loads(text), "--settings")
    except json.JSONDecodeError as error:
        named = Path(text).suffix in (".yaml", ".yml", ".json") or text.replace("-", "").replace("_", "").isalnum()
        fix = "for a row of a settings file: --params params.yaml --row NAME" if named else str(error)
        raise UserError(f"--settings takes settings as JSON text, and got {text[:60]!r}: {fix}") from None


def _alone(context: typer.Context, out: Path) -> Path:
    """Hold the file that a command writes until the command ends, and clear away what killed writers have left of it.

    The processes of one distributed training leave it to the command that launched them.
    """
    if "RANK" not in os.environ:
        from featdiff.artifacts import remove_leftovers

        if context.with_resource(only_writer(out, tell=lambda text: typer.echo(text, err=True))):
            remove_leftovers(out)
    return out


Out = Annotated[
    Path, typer.Option("--out", callback=_alone, help="The file to write; it appears complete or not at all.")
]
Data = Annotated[Path, typer.Option("--data", help="The data set's archive.")]
Model = Annotated[Path, typer.Option("--model", help="The checkpoint.")]
Table = Annotated[Path | None, typer.Option("--centroids", help="The checkpoint's centroids.")]
Bridge = Annotated[Path | None, typer.Option("--bridge", help="The folder that 'featdiff mixture-bridge' wrote.")]
