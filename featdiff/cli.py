"""Feature-guided score diffusion: samples of trained models, versions of results, and the steps of the workflow."""

import sys
from typing import Annotated

import typer

from featdiff import __version__, extending
from featdiff.commands.data import fetch, prepare
from featdiff.commands.evaluation import between_measures, embed, evaluate, fetch_weights, measure, statistics
from featdiff.commands.features import centroids, denoise, distances
from featdiff.commands.mixture import mixture, mixture_bridge, mixture_page
from featdiff.commands.people import info, sample
from featdiff.commands.project import check, kinds, new, schema
from featdiff.commands.reporting import report
from featdiff.commands.rows import by_hand
from featdiff.commands.sampling import between, gather, levels, sample_shard
from featdiff.commands.tables import collect, repeats, sweep
from featdiff.commands.training import health, record_training, train
from featdiff.errors import UserError

PEOPLE = (new, sample, evaluate, statistics, info, check, kinds, schema)
STEPS = (
    *(fetch, prepare, levels, train, record_training, health, centroids, denoise, distances),
    *(sample_shard, gather, between, fetch_weights, embed, measure, between_measures),
    *(collect, sweep, repeats, report, mixture, mixture_bridge, mixture_page),
)
FOR_PEOPLE, VERSIONS, OF_THE_WORKFLOW = "For people", "Versions", "Steps of the workflow"
EXAMPLES = """For people: featdiff new photos.zip pets; featdiff sample --class grass -n 64 --out grass.zip

Versions: featdiff ledger status

Steps of the workflow: featdiff train --params params.yaml --row guided --data results/data/textures/dataset.zip --out
model.safetensors"""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__, epilog=EXAMPLES)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"featdiff {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say it.")] = False,
) -> None:
    pass


for command in PEOPLE:
    app.command(rich_help_panel=FOR_PEOPLE)(command)

_ALL_TO_THE_LEDGER = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command(add_help_option=False, context_settings=_ALL_TO_THE_LEDGER, rich_help_panel=VERSIONS)
def ledger(context: typer.Context) -> None:
    """Versions of results: keep DVC in step with Snakemake (run, record, adopt, status, history, verify)."""
    from featdiff.ledger import app as run

    run(context.args, prog_name="featdiff ledger")


for step in STEPS:
    app.command(rich_help_panel=OF_THE_WORKFLOW)(by_hand(step))


def main() -> None:
    """Run the command line; what a user can mend ends with one message and exit status 2."""
    try:
        extending.load()
        app()
    except UserError as error:
        sys.stderr.write(f"featdiff: error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
