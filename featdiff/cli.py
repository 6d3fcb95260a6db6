"""Feature-guided score diffusion: the steps of the workflow, one command each, and what tells of them."""

import sys

import typer

from featdiff import extending
from featdiff.commands.data import fetch, prepare
from featdiff.commands.evaluation import between_measures, embed, evaluate, fetch_weights, measure, statistics
from featdiff.commands.features import centroids, denoise, distances
from featdiff.commands.mixture import mixture, mixture_bridge, mixture_page
from featdiff.commands.project import check, kinds, schema
from featdiff.commands.reporting import report
from featdiff.commands.sampling import between, gather, levels, sample_shard
from featdiff.commands.tables import collect, repeats, sweep
from featdiff.commands.training import train
from featdiff.errors import UserError

PROJECT = (check, kinds, schema)
IMAGES = (evaluate, statistics)
STEPS = (
    *(fetch, prepare, levels, train, centroids, denoise, distances),
    *(sample_shard, gather, between, fetch_weights, embed, measure, between_measures),
    *(collect, sweep, repeats, report, mixture, mixture_bridge, mixture_page),
)

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
for command in PROJECT:
    app.command(rich_help_panel="Your project")(command)
for measuring in IMAGES:
    app.command(rich_help_panel="Any images")(measuring)
for step in STEPS:
    app.command(rich_help_panel="Steps of the workflow (settings travel as JSON text, exactly as tracked)")(step)

_ALL_TO_THE_LEDGER = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command(add_help_option=False, context_settings=_ALL_TO_THE_LEDGER, rich_help_panel="Versions")
def ledger(context: typer.Context) -> None:
    """Versions of results: keep DVC in step with Snakemake (run, record, adopt, status, history, verify)."""
    from featdiff.ledger import app as run

    run(context.args, prog_name="featdiff ledger")


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
