"""The ledger: Snakemake runs, DVC keeps the versions, and the two never tell different stories.

The Snakefile is the only graph. ``dvc.yaml`` is generated from it (``write``), one stage a job, so that ``dvc status``,
``dvc repro``, ``dvc exp`` and ``dvc metrics diff`` work; a test checks that it has not drifted (``check``). ``run``
runs Snakemake, and ``record`` commits to DVC exactly the stages that are up to date by Snakemake's judgement, so
nothing false is written down. After ``dvc pull`` or ``dvc checkout``, ``adopt`` tells Snakemake that the files DVC
brought are the current ones. ``status``, ``history`` and ``verify`` only look.

The commands; what they do is in ``featdiff/versions``, the only part of the package that needs Snakemake and DVC.
"""

from typing import Annotated

import typer

from featdiff.errors import UserError
from featdiff.versions import accepted, dvcfile, graph, meant, recording, running, standing
from featdiff.versions import history as versions
from featdiff.versions import verify as checking

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Versions of results: keep DVC in step with Snakemake.",
)

Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def write() -> None:
    """Generate dvc.yaml and the rule graph from the Snakefile."""
    graph.need_root()
    typer.echo(f"{dvcfile.DVC_FILE}: {len(dvcfile.write_generated().stages)} stages")


@app.command()
def check() -> None:
    """Say whether dvc.yaml and the rule graph are what the Snakefile says."""
    dvcfile.need_no_drift(graph.read_graph())
    typer.echo(f"{dvcfile.DVC_FILE} is what the Snakefile says")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    profile: Annotated[str, typer.Option(help="One of workflow/profiles, or the path of another.")] = "local",
) -> None:
    """Run the pipeline, then record what is whole. More arguments go to Snakemake: featdiff ledger run -- --cores 4"""
    graph.need_root()
    given = running.arguments(running.profile_path(profile), context.args)
    elsewhere = running.why_not_recorded(given)
    if not elsewhere and dvcfile.drifted(graph.read_graph()):
        dvcfile.write_generated()
        typer.echo(f"{dvcfile.DVC_FILE} was not what the Snakefile says, and was written again")
    status = running.run_snakemake(given)
    if elsewhere:
        typer.echo(f"nothing is recorded: {elsewhere}")
        raise typer.Exit(status)
    try:
        whole = _record()
    except UserError as error:
        if not status:
            raise
        typer.echo(f"nothing is recorded: {error}", err=True)
    raise typer.Exit(status or (0 if whole else 2))


@app.command()
def record() -> None:
    """After a run: commit to DVC the stages that are up to date, and no other."""
    if not _record():
        raise typer.Exit(2)


@app.command()
def adopt() -> None:
    """After dvc pull or dvc checkout: tell Snakemake that these files are the current ones."""
    recording.adopt()
    typer.echo("adopted: nothing to be done")


@app.command()
def status(as_json: Json = False) -> None:
    """What is stale and why, in the words of both engines."""
    found = graph.read_graph()
    told = meant.words(found)
    dvcfile.refresh(found)
    rows = standing.standings(found, standing.dvc_changes())
    if as_json:
        typer.echo(standing.as_json(rows))
        return
    typer.echo(standing.as_table(rows))
    for line in (*told, *standing.advice(rows)):
        typer.echo(line)
    if files := dvcfile.drifted(found):
        typer.echo(f"{' and '.join(map(str, files))}: not what the Snakefile says; run 'featdiff ledger write'")


@app.command()
def history(
    artifact: Annotated[str, typer.Argument(help="A file that a stage makes: results/samples/guided/samples.zip")],
    as_json: Json = False,
) -> None:
    """The versions of an artifact over the commits: what differs, digests of data and code, measures beside it."""
    graph.need_root()
    found = versions.history(artifact)
    typer.echo(versions.as_json(artifact, found) if as_json else versions.as_text(artifact, found))
    for word in [] if as_json else accepted.read():
        typer.echo(f"accepted: code {word.code[:7]} of {word.stage} counts as {word.counts_as[:7]}: {word.why}")


@app.command()
def accept(
    stage: Annotated[str, typer.Argument(help="A stage, or a kind of stage: train-guided, train, evaluate ...")],
    why: Annotated[str, typer.Option(help="Why the change of code has no effect on its results.")],
) -> None:
    """Your word that a change of code has no effect on a stage's results: they stay, in both engines and in every
    clone."""
    found = graph.read_graph()
    typer.echo(meant.accept(found, stage, why))
    dvcfile.refresh(graph.read_graph())


@app.command()
def verify() -> None:
    """Re-hash every artifact against its own manifest, its inputs and dvc.lock."""
    verdicts = checking.verify()
    for verdict in verdicts:
        typer.echo(str(verdict))
    if wrong := [verdict.path for verdict in verdicts if verdict.wrong]:
        raise UserError(f"{len(wrong)} of {len(verdicts)} artifacts are not what they should be: {', '.join(wrong)}")
    typer.echo(f"{len(verdicts)} artifacts are what they say they are")


def _record() -> bool:
    """Record and tell; whether all that could be recorded was fit to be."""
    done = recording.record()
    typer.echo(f"recorded {len(done.done)} of {done.total} stages" + (f": {', '.join(done.done)}" if done.done else ""))
    for name, reasons in done.refused.items():
        typer.echo(f"not recorded, {name}: {'; '.join(reasons)}")
    if done.stale:
        typer.echo(f"not recorded, because Snakemake would run them again: {', '.join(done.stale)}")
    elif done.done:
        typer.echo("now: git add dvc.yaml dvc.lock results && git commit, then dvc push")
    return not done.refused
