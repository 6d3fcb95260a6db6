"""A contest: several contenders do the same work in turns, each in a process of its own.

They take turns, round by round and in another order each round, so that what else the machine does meets all alike.
What counts is a ratio of medians over the rounds; its spread is that of the ratios within a round.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Contender:
    """Who takes part: a name for the table, the Python that runs it, its module and function, its share of the
    settings."""

    name: str
    python: Path
    module: str
    work: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """What a contender did: times of its rounds, items of a round, what it says of itself; or why it could not."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    items: float = 0.0
    peak: int = 0
    start: float = 0.0  # seconds from the start of its process to the end of its first round, which is not counted
    about: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None

    def rate(self, clock: str = "seconds") -> float:
        """Items a second at the median round."""
        return self.items / statistics.median(getattr(self, clock))


class Worker:
    """The process of a contender, spoken to in lines of JSON."""

    def __init__(self, contender: Contender, settings: Mapping[str, Any], log: IO[str]):
        threads = str(settings["threads"])
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        ours = contender.module == "featdiff_"
        environment = os.environ | dict.fromkeys(names, threads) | {"HF_HUB_OFFLINE": "1"}
        if settings.get("device", "cpu") == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        shared = contender.python == Path(sys.executable)  # an environment of its own has packages of its own
        paths = [str(HERE.parents[1])] * ours + [os.environ.get("PYTHONPATH", "")] * shared
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.contender = contender
        self.process = subprocess.Popen(
            [contender.python, HERE / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        chosen = {**settings, **contender.settings, "peers": not ours}
        self.say({"do": "prepare", "module": contender.module, "work": contender.work, "settings": chosen})

    def say(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The answer, which has a key ``error`` where something went wrong."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"its process ended ({self.process.wait()})"}

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def hold(
    contenders: Sequence[Contender], settings: Mapping[str, Any], *, rounds: int, log: IO[str]
) -> dict[str, Result]:
    """Let the contenders take turns, ``rounds`` times; one that cannot be prepared, or fails, is left out with the
    reason."""
    results = {contender.name: Result() for contender in contenders}
    workers = [Worker(contender, settings, log) for contender in contenders]
    try:
        able = []
        for worker in workers:
            said = worker.hear()
            result = results[worker.contender.name]
            result.about, result.failed = said.get("about", {}), said.get("error")
            result.start = said.get("start", 0.0)
            if result.failed is None:
                able.append(worker)
        for k in range(rounds):
            first = k % max(1, len(able))
            for worker in [*able[first:], *able[:first]]:
                worker.say({"do": "run"})
                said = worker.hear()
                result = results[worker.contender.name]
                if "error" in said:
                    result.failed = said["error"]
                    able.remove(worker)
                    continue
                result.seconds.append(said["seconds"])
                result.processor.append(said["processor"])
                result.items = said["items"]
        for worker in able:
            worker.say({"do": "memory"})
            results[worker.contender.name].peak = worker.hear()["peak"]
    finally:
        for worker in workers:
            worker.stop()
    return results


@dataclass(frozen=True)
class Ratio:
    """How many times as fast: median, and the quartiles of the ratios within a round."""

    value: float
    low: float
    high: float


def ratio(ours: Result, other: Result, *, clock: str = "seconds", counting: float = 1.0) -> Ratio:
    """Our rate over the other's; ``counting`` is how many items of the other's one of ours counts for."""
    a, b = getattr(ours, clock), getattr(other, clock)
    scale = counting * ours.items / other.items
    pairs = [scale * theirs / mine for mine, theirs in zip(a, b, strict=True)]
    low, _, high = statistics.quantiles(pairs, n=4) if len(pairs) > 1 else pairs * 3
    return Ratio(scale * statistics.median(b) / statistics.median(a), low, high)
