"""Steps of the workflow: training."""

from pathlib import Path
from typing import Annotated

import typer

from featdiff.commands.options import Data, Model, Out, SettingsText, settings_from
from featdiff.settings.training import TrainSpec


def train(
    settings: SettingsText,
    data: Data,
    out: Out,
    state: Annotated[Path, typer.Option(help="Folder of the resume states.")] = Path(".featdiff/state"),
    processes: Annotated[int, typer.Option(min=1, help="Processes that share each batch, one a GPU.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines of this Slurm job to spread them over.")] = 1,
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Images between two resume states, instead of the settings'.")
    ] = None,
    progress: Annotated[
        Path | None, typer.Option(help="Folder for what there is to see of it: curves, previews, numbers.")
    ] = None,
    previews: Annotated[
        int | None, typer.Option(min=0, help="Looks at samples on the way, instead of the settings'.")
    ] = None,
) -> None:
    """Train a network by denoising alone; killed and started again, it goes on where it was."""
    from featdiff.devices import compiling
    from featdiff.devices.devices import keep_freed_memory
    from featdiff.training.launch import end_with_launcher, launch

    if processes > 1 or nodes > 1:
        same = ["--settings", settings, "--data", str(data), "--out", str(out), "--state", str(state)]
        for option, value in {"save-every": save_every, "progress": progress, "previews": previews}.items():
            same += [] if value is None else [f"--{option}", str(value)]
        launch(["train", *same], processes=processes, nodes=nodes)

    from featdiff.training.loop import train as run
    from featdiff.watching.watcher import Watcher

    end_with_launcher()
    keep_freed_memory()
    compiling.keep_in(compiling.FOLDER)
    spec = settings_from(TrainSpec, settings)
    given = {"save_every": save_every, "previews": previews}
    kept = {name: value for name, value in given.items() if value is not None}
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=kept)})
    run(spec, data, out, state=state, watcher=None if progress is None else Watcher(progress))


def health(data: Data, model: Model, out: Out) -> None:
    """Look at a trained network, block by block: dead channels, gradients, what each target is worth."""
    from featdiff.training.health import read, write

    write(data, model, out)
    for warning in read(out)["warnings"]:
        typer.echo(f"{model}: {warning}", err=True)


def record_training(
    model: Model,
    folder: Annotated[Path, typer.Option(help="What 'featdiff train --progress' wrote.")],
    out: Out,
) -> None:
    """Put together what a training showed of itself: numbers and previews, for the report and for other clones."""
    from featdiff.training.record import write

    write(folder, model, out)
