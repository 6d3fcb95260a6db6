"""How far the trainings of a run are, said in the terminal between Snakemake's own lines: a whole line now and then.

A training writes where it is into a file (:mod:`featdiff.training.progress`), on whatever machine it runs.
"""

import contextlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from featdiff.training import progress

LOOK = 1.0  # seconds between two looks
EVERY = {True: 10.0, False: 60.0}  # seconds between two lines of a training: on a terminal, in a file


class Trainings:
    """What was told of each training below a folder, and what is new."""

    def __init__(self, folder: Path, tell: Callable[[str], None], *, every: float, jobs: Callable[[], str]):
        self.folder, self.tell, self.every, self.jobs = folder, tell, every, jobs
        self.seen = {name: status.get("time") for name, status in self._all().items()}  # of earlier runs
        self.told: dict[str, float] = {}
        self.said: dict[str, list[str]] = {}

    def _all(self) -> dict[str, dict[str, Any]]:
        return {p.parent.name: progress.read_json(p) for p in sorted(self.folder.glob(f"*/{progress.NOW}"))}

    def look(self, now: float) -> None:
        """Tell of each training that has moved on since it was last told of, if it is time."""
        for name, status in self._all().items():
            if not status or status.get("time") == self.seen.get(name):
                continue
            words = [] if self.said.get(name) == status.get("said") else status.get("said", [])
            self.said[name] = status.get("said", [])
            for word in words:
                self.tell(f"{name}: {word}")
            if status.get("finished") or now - self.told.get(name, -self.every) >= self.every:
                self.seen[name], self.told[name] = status.get("time"), now
                if status.get("finished") or "loss" in status:
                    self.tell(f"{self.jobs()}training {name}: {progress.line(status)}")


def show(folder: str, workflow: Any) -> None:
    """Tell of the trainings of this run, on a thread that ends with it."""
    import time

    stream = sys.stderr
    trainings = Trainings(
        Path(folder),
        lambda text: _write(stream, text),
        every=EVERY[stream.isatty()],
        jobs=lambda: _jobs(workflow),
    )

    def watch() -> None:
        while True:
            time.sleep(LOOK)
            trainings.look(time.monotonic())

    threading.Thread(target=watch, name="trainings", daemon=True).start()


def _write(stream: Any, text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        stream.write(text + "\n")  # in one go: other threads write lines, too
        stream.flush()


def _jobs(workflow: Any) -> str:
    """How many jobs of how many are done, where Snakemake says so."""
    with contextlib.suppress(AttributeError, TypeError):
        return f"[{workflow.scheduler.finished_jobs} of {len(workflow.dag)} jobs] "
    return ""
