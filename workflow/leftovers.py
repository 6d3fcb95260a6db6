"""After the process that submits the jobs was lost (killed, logged out, rebooted): clear the way to start it again.

    python -m workflow.leftovers        # in the project's folder; then the same snakemake command as before

Its jobs run on in Slurm's queue, and a new process knows nothing of them: it would submit them a second time. So they are
cancelled, which makes a training save its state, and Snakemake's lock is taken away. Nothing that is finished is lost.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120.0  # seconds for cancelled jobs to end


def jobs(folder: Path) -> list[str]:
    """The ids of one's own jobs that Snakemake submitted from ``folder``, waiting or running."""
    rows = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%A|%k|%Z"], capture_output=True, text=True, check=True
    ).stdout
    found = [row.split("|", 2) for row in rows.splitlines()]
    return [number for number, comment, here in found if comment.startswith("rule_") and Path(here) == folder]


def coordinators(folder: Path) -> list[int]:
    """The Snakemake processes on this host that work in ``folder`` and are not themselves jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            inside = b"\0SLURM_JOB_ID=" in b"\0" + (process / "environ").read_bytes()
            snakemake = any(Path(os.fsdecode(word)).name == "snakemake" for word in words[:4])
            if snakemake and not inside and (process / "cwd").resolve() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def main() -> int:
    here = Path.cwd().resolve()
    if alive := coordinators(here):
        print(f"error: Snakemake still works here (process {alive[0]}): stop it first, with Ctrl-C", file=sys.stderr)
        return 2
    if left := jobs(here):
        print(f"cancelling {len(left)} jobs: {' '.join(left)}")
        subprocess.run(["scancel", *left], check=True)
        deadline = time.monotonic() + PATIENCE
        while jobs(here):
            if time.monotonic() > deadline:
                print("error: they do not end; see squeue --me, and try again later", file=sys.stderr)
                return 1
            time.sleep(0.5)
    subprocess.run([sys.executable, "-m", "snakemake", "--unlock"], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
