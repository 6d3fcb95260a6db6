"""For people: samples of a trained model, and what a file is."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.errors import UserError


def sample(
    out: Annotated[Path, typer.Option(help="A new folder, or a file .zip (PNGs), .npz (arr_0) or .png (one grid).")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[PHOTO]...", help="More photos, after --like.")] = None,
    model: Annotated[
        str, typer.Option(help="A results folder, a checkpoint, an exported folder, or owner/name of the hub.")
    ] = "results",
    of: Annotated[str | None, typer.Option(metavar="NAME", help="Which model of a results folder.")] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="The class to draw.")] = None,
    like: Annotated[list[Path] | None, typer.Option(metavar="PHOTO", help="Draw what looks like these photos.")] = None,
    between: Annotated[
        tuple[str, str, float] | None, typer.Option(metavar="CLASS CLASS SHARE", help="Draw between two classes.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many images.")] = 16,
    sampler: Annotated[str | None, typer.Option(help="'featdiff kinds' lists them; default: the run's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Levels that it stops at.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same images.")] = None,
    strength: Annotated[float, typer.Option(help="Beyond 1: further away from the mean of all classes.")] = 1.0,
    batch: Annotated[int | None, typer.Option(min=1, help="Images in one network call.")] = None,
) -> None:
    """Draw images of a class, of what example photos show, or between two classes.

    Example: featdiff sample --class grass -n 64 --out grass.zip
    """
    from featdiff.api.images import may_save
    from featdiff.api.loading import load

    photos = [*(like or []), *(more or [])] if like else []
    if more and not like:
        raise UserError(f"{more[0]}: photos follow --like: featdiff sample --like {more[0]} --out FILE")
    if sum(map(bool, (class_name, photos, between))) > 1:
        raise UserError("name one of --class, --like and --between")
    may_save(out)
    found = load(model, model=of)
    what = found.centroid(photos, name=photos[0].stem) if photos else class_name
    if between:
        what = found.between(*between)
    images = found.sample(what, n, sampler=sampler, steps=steps, seed=seed, strength=strength, batch=batch)
    images.save(out)
    typer.echo(f"{out}: {images!r}")


def info(file: Annotated[Path, typer.Argument(help="A file that featdiff wrote.")]) -> None:
    """Say what a file is, whether it is whole, and what made it.

    Example: featdiff info results/models/guided/checkpoint.safetensors
    """
    from featdiff.api.info import describe

    typer.echo(describe(file), nl=False)
