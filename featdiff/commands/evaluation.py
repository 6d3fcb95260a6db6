"""Steps of the workflow: features of an extractor, and measures made of them. For people: the same of any images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from featdiff.commands.options import Data, Out, SettingsText, settings_from
from featdiff.errors import UserError
from featdiff.settings.evaluation import Evaluation


def embed(settings: SettingsText, images: Annotated[Path, typer.Option(help="An image archive.")], out: Out) -> None:
    """Compute an extractor's features of the images of an archive, once, and keep them."""
    from featdiff import artifacts
    from featdiff.devices.devices import pick_device
    from featdiff.evaluation.embedding import embed as run

    run(settings_from(Evaluation, settings), images, artifacts.kind_of(images), out, device=pick_device())


def fetch_weights(out: Out) -> None:
    """Fetch the weights of FID, clean-fid's Inception (96 MB), checked by SHA-256."""
    from featdiff.data.downloads import download
    from featdiff.settings.evaluation import INCEPTION_SHA256, INCEPTION_URL

    download(INCEPTION_URL, INCEPTION_SHA256, out)


def measure(
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

    evaluate_to(settings_from(Evaluation, settings), name, data, data_features, samples, samples_features, out)


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

    measure_to(settings_from(Evaluation, settings), images, data, data_features, out, device=pick_device())


Extractor = Annotated[
    Literal["lite0", "inception", "dinov2"],
    typer.Option(help="Features: Lite0, whose weights are installed; Inception for FID; DINOv2."),
]
Weights = Annotated[
    Path | None, typer.Option(help="The extractor's weights; without, where FEATDIFF_INCEPTION or a fetch put them.")
]
Keep = Annotated[Path, typer.Option(help="Folder where features are kept by content.")]
KEEP = Path(".featdiff/features")


def evaluate(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES... REAL", help="Sets of images; the last are the real ones.")
    ],
    extractor: Extractor = "lite0",
    weights: Weights = None,
    params: Annotated[
        Path | None, typer.Option(help="Settings whose 'evaluation' holds; without, the defaults for any images.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--images", min=2, help="Images of each set; without, as many as the smallest has.")
    ] = None,
    out: Annotated[
        list[Path] | None, typer.Option(help="A file to write: .json, .csv or .md; may be given several times.")
    ] = None,
    keep: Keep = KEEP,
) -> None:
    """Measure any images against real ones: folders, zips, npz of ADM's form, archives of featdiff.

    Several sets stand side by side. Against a data set of the pipeline the measures are those of its report.
    """
    from featdiff.devices.devices import pick_device
    from featdiff.evaluation.any_images import evaluate as run
    from featdiff.evaluation.result import check_suffixes
    from featdiff.settings.project import load

    if len(images) < 2:
        raise UserError("give the images to measure and, last, the real ones: featdiff evaluate IMAGES REAL")
    check_suffixes(out or [])
    settings = load(params).evaluation if params else None
    found = run(
        images[:-1],
        images[-1],
        extractor=extractor,
        weights=weights,
        settings=settings,
        count=count,
        keep=keep,
        device=pick_device(),
    )
    found.write(out or [])
    typer.echo(found.markdown())


def statistics(
    images: Annotated[Path, typer.Argument(help="A set of images.")],
    out: Out,
    extractor: Extractor = "lite0",
    weights: Weights = None,
    keep: Keep = KEEP,
) -> None:
    """Write mean and covariance of the features of images, as clean-fid and EDM read them: an npz of mu and sigma."""
    from featdiff.devices.devices import pick_device
    from featdiff.evaluation.any_images import extractor_of
    from featdiff.evaluation.extractors import protocol
    from featdiff.evaluation.kept import Keeper
    from featdiff.evaluation.sets import image_set
    from featdiff.evaluation.statistics import write

    if out.suffix != ".npz":
        raise UserError(f"{out}: statistics are an .npz; name the file so")
    chosen = extractor_of(extractor, weights)
    found = Keeper(chosen, folder=keep, device=pick_device()).embed(image_set(images))
    write(out, found.features, protocol(chosen))
