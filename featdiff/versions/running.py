"""Running the pipeline with any profile, and whether what it makes is what DVC keeps: ``results/`` of
``params.yaml``."""

import contextlib
import io
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from featdiff.errors import UserError

PROFILES = Path("workflow/profiles")


def profile_path(profile: str) -> Path:
    """The folder of a profile, given by its name in ``workflow/profiles`` or by its path."""
    for path in (PROFILES / profile, Path(profile)):
        if (path / "config.yaml").is_file():
            return path
    known = ", ".join(sorted(path.parent.name for path in PROFILES.glob("*/config.yaml")))
    raise UserError(f"--profile {profile}: no such profile (there are {known}), and no folder with a config.yaml")


def arguments(profile: Path, extra: Sequence[str]) -> list[str]:
    """Snakemake's arguments for a run. A ``--`` in front of targets stays where it is."""
    return ["--workflow-profile", str(profile), *extra]


def why_not_recorded(given: Sequence[str]) -> str | None:
    """Why a run with these arguments leaves nothing to record; ``None`` where it does. Snakemake reads its own
    arguments."""
    from snakemake.cli import parse_args
    from snakemake.exceptions import CliException

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args = parse_args(list(given))[1]
    except (SystemExit, CliException) as error:
        raise UserError(f"snakemake does not understand this: {said.getvalue().strip() or error}") from None
    if args.dryrun or args.touch:
        return f"a run with {'--dry-run' if args.dryrun else '--touch'} makes nothing"
    if args.directory and Path(args.directory).resolve() != Path.cwd():
        return f"its results lie in another folder, {args.directory}"
    if args.configfile or args.config:
        what = [*map(str, args.configfile or []), *map(str, args.config or [])]
        return (
            f"it ran with settings beside params.yaml ({', '.join(what)}), and DVC records results/ as params.yaml "
            "makes it; to keep such results, write the settings into params.yaml"
        )
    if args.snakefile and Path(args.snakefile).resolve() != Path("Snakefile").resolve():
        return f"it ran another workflow, {args.snakefile}"
    return None


def run_snakemake(given: Sequence[str]) -> int:
    """Run Snakemake, its words going straight to the terminal, and return its exit status.

    Interrupted from the keyboard, Snakemake hears it too and ends its jobs; a request to terminate is handed on to it.
    """
    process = subprocess.Popen([sys.executable, "-m", "snakemake", *given])
    with _handing_on(process):
        while True:
            try:
                status = process.wait()
                return 128 - status if status < 0 else status
            except KeyboardInterrupt:
                continue


@contextlib.contextmanager
def _handing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
