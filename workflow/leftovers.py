"""After the process that submits the jobs was lost (killed, logged out, rebooted): cancel the jobs that it left in
Slurm.

    python -m workflow.leftovers        # in the project's folder; then the same snakemake command as before

They run on, and a new process knows nothing of them: it submits each a second time. The second waits until the first
has written its file, and then has nothing to do; but it waits in an allocation of its own. Cancelled, a training saves
its state.
"""

import subprocess
import sys
import time
from pathlib import Path

from featdiff.locks import run_is_alive

PATIENCE = 120.0  # seconds for cancelled jobs to end


def jobs(folder: Path) -> list[str]:
    """The ids of one's own jobs that Snakemake submitted from ``folder``, waiting or running."""
    rows = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%A|%k|%Z"], capture_output=True, text=True, check=True
    ).stdout
    found = [row.split("|", 2) for row in rows.splitlines()]
    return [number for number, comment, here in found if comment.startswith("rule_") and Path(here) == folder]


def main() -> int:
    here = Path.cwd().resolve()
    if run_is_alive():
        print("error: a run is alive in this folder: stop it first, with Ctrl-C", file=sys.stderr)
        return 2
    left = jobs(here)
    if left:
        subprocess.run(["scancel", *left], check=True)
    deadline = time.monotonic() + PATIENCE
    while jobs(here):
        if time.monotonic() > deadline:
            print("error: they do not end; see squeue --me, and try again later", file=sys.stderr)
            return 1
        time.sleep(0.5)
    print(f"{len(left)} jobs cancelled; start Snakemake again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
