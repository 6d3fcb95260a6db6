"""Threads against jobs: two trainings side by side at one thread each, or one at two threads, on the same two cores?

    python benchmarks/threads.py [--rounds 9] [--cores 2]

Images/s of all jobs together, by the clock, because what matters is when the work is done; in turns, round by round.
One thread alone, the other cores idle, stands beside them: what a job loses to its neighbour.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "speed"))

SETTINGS = {"seed": 0, "channels": 1, "size": 24, "images": 1024, "batch": 16, "precision": "bf16", "levels": 24}
STEPS = 40


def job(orders: Connection, condition: str, threads: int) -> None:
    """Train as many steps as each order says; two are run before the first."""
    import torch
    from contenders import featdiff_

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # progress bars, for as long as the job lives
    torch.set_num_threads(threads)
    work = featdiff_.training({**SETTINGS, "condition": condition})
    work.run()
    orders.send(work.items)
    while steps := orders.recv():
        for _ in range(steps):
            work.run()
        orders.send(None)


class Team:
    """Jobs that start together; a round ends when the last of them is done."""

    def __init__(self, condition: str, jobs: int, threads: int):
        context = multiprocessing.get_context("spawn")
        pairs = [context.Pipe() for _ in range(jobs)]
        self.ends = [ours for ours, _ in pairs]
        self.jobs = [context.Process(target=job, args=(theirs, condition, threads), daemon=True) for _, theirs in pairs]
        for started in self.jobs:
            started.start()
        self.items = sum(end.recv() for end in self.ends)

    def rate(self) -> float:
        """Images a second of all jobs together in one round."""
        start = time.perf_counter()
        for end in self.ends:
            end.send(STEPS)
        for end in self.ends:
            end.recv()
        return self.items * STEPS / (time.perf_counter() - start)

    def end(self) -> None:
        """Send the jobs home."""
        for end, started in zip(self.ends, self.jobs, strict=True):
            end.send(0)
            started.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.cores < 2 or chosen.rounds < 1:
        parser.error("two jobs side by side need --cores of 2 or more, and --rounds of 1 or more")
    for condition in ("none", "feature"):
        teams = {
            "jobs of one thread": Team(condition, chosen.cores, 1),
            "one job of all threads": Team(condition, 1, chosen.cores),
            "one job of one thread, the rest idle": Team(condition, 1, 1),
        }
        rates: dict[str, list[float]] = {name: [] for name in teams}
        for _ in range(chosen.rounds):
            for name, team in teams.items():
                rates[name].append(team.rate())
        for team in teams.values():
            team.end()
        jobs, one, alone = rates.values()
        found = {
            "condition": condition,
            "images/s": {name: round(statistics.median(values)) for name, values in rates.items()},
            "jobs over threads": _ratio(jobs, one),
            "two threads over one": _ratio(one, alone),
        }
        print(json.dumps(found, indent=1))


def _ratio(above: list[float], below: list[float]) -> list[float]:
    """Quartiles of the rounds' ratios, the median in the middle."""
    return [round(q, 2) for q in statistics.quantiles([a / b for a, b in zip(above, below, strict=True)], n=4)]


if __name__ == "__main__":
    main()
