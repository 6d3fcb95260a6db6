"""Steps by hand: ``--params params.yaml --row NAME`` in place of ``--settings JSON``."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from featdiff.errors import UserError
from featdiff.settings.project import Params, load

Row = Callable[[Params, str], Any]
TABLES: dict[str, tuple[str, Row]] = {  # steps whose settings are a row: the table, and the row with all it points to
    "prepare": ("datasets", lambda params, row: params.datasets[row]),
    "train": ("models", lambda params, row: params.train_spec(row)),
    "levels": ("corruptions", lambda params, row: params.levels_spec(row)),
    "sample_shard": ("samplings", lambda params, row: params.samplings[row]),
    "between": ("between", lambda params, row: params.between_spec(row)),
}
SECTIONS: dict[str, Callable[[Params], Any]] = {  # steps whose settings are a section, or all
    "centroids": lambda params: params.centroids,
    "denoise": lambda params: params.denoising,
    "distances": lambda params: params.distances,
    "embed": lambda params: params.evaluation,
    "measure": lambda params: params.evaluation,
    "between_measures": lambda params: params.evaluation,
    "sweep": lambda params: params,
    "repeats": lambda params: params,
    "report": lambda params: params,
    "mixture": lambda params: params.mixture and params.mixture.model_copy(update={"bridge": None}),
    "mixture_bridge": lambda params: params.mixture and params.mixture.bridge,
}


def settings_text(step: str, settings: str | None, params: Path | None, row: str | None) -> str:
    """The settings of a step as JSON text, however they were given."""
    if (settings is None) == (params is None):
        raise UserError("give the settings once: --params params.yaml (and --row NAME), or --settings JSON")
    if settings is not None:
        return settings
    found = load(params or "params.yaml")
    if step in SECTIONS:
        if row is not None:
            raise UserError(f"--row {row}: the settings of this step are no row of a table; leave it out")
        if (section := SECTIONS[step](found)) is None:
            raise UserError(f"{params}: has no section for this step: add one")
        return str(section.model_dump_json())
    table, resolved = TABLES[step]
    rows = getattr(found, table)
    if row is None or row not in rows:
        raise UserError(
            f"{params}: --row names {'nothing' if row is None else repr(row)}; rows of {table}: "
            f"{', '.join(sorted(rows)) or '(none)'}"
        )
    return str(resolved(found, row).model_dump_json())


def by_hand(step: Callable[..., None]) -> Callable[..., None]:
    """The step with the options ``--params`` and ``--row`` beside ``--settings``; one without settings as it is."""
    signature = inspect.signature(step)
    if "settings" not in signature.parameters:
        return step
    added: dict[str, tuple[Any, Any]] = {
        "settings": (
            Annotated[str | None, typer.Option(help="Settings as JSON text, as tracked.")],
            None,
        ),
        "params": (Annotated[Path | None, typer.Option(help="Settings from this file, in place of --settings.")], None),
        "row": (Annotated[str | None, typer.Option(help="The row of its table, for a step that has one.")], None),
    }

    def run(**given: Any) -> None:
        params, row = given.pop("params"), given.pop("row")
        step(**given | {"settings": settings_text(step.__name__, given["settings"], params, row)})

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [p.replace(kind=keyword) for name, p in signature.parameters.items() if name != "settings"]
    new = [inspect.Parameter(name, keyword, annotation=kind, default=value) for name, (kind, value) in added.items()]
    run.__signature__ = signature.replace(parameters=[*new, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*new, *own]}
    run.__name__, run.__doc__ = step.__name__, step.__doc__
    return run
