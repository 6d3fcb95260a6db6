"""Speed measured beside what a user would pick instead: one command, one table.

    make bench        or: python benchmarks/speed [--only training sampling ...] [--device cuda] [--rounds 1.0] [--out
    docs]

The first time it sets up the peers' environment, then holds the contests of ``lines.py`` one after another (about five
minutes on two free cores) and writes docs/tables/bench.json and docs/results/bench.md. ``--rounds 3`` takes three times
as many rounds. ``--only`` leaves what the table has of other contests as it is.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import environment
import pictures
import table
import torch
from contest import hold
from environment import ROOT
from lines import all_contests
from pipeline import overhead

NAMED = ("torch", "denoising-diffusion-pytorch", "smalldiffusion", "k-diffusion", "diffusers", "clean-fid", "prdc")
NAMED += ("vendi-score", "torchvision", "numpy", "scipy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="contests whose names begin so, as training or Frechet")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of each contender")
    parser.add_argument("--rounds", type=float, default=1.0, help="times the usual number of rounds")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    failed = environment.prepare()
    report = _before(options.out) if options.only else {}
    contests = report.get("contests", {})
    rows = {name: [r for r in report.get("rows", []) if r["contest"] == name] for name in contests}
    with tempfile.TemporaryDirectory() as folder:
        photographs = pictures.write(Path(folder, "photographs"), 240, 256, "jpg")
        small = pictures.write(Path(folder, "small"), 1536, 64, "png")
        for contest in all_contests(
            environment.python(), photographs, small, photos=240, images=1536, device=options.device
        ):
            if options.only and not contest.name.startswith(tuple(options.only)):
                continue
            start = time.perf_counter()
            print(f"{contest.name}: {len(contest.contenders)} contenders ...", file=sys.stderr, flush=True)
            settings = {**contest.settings, "seed": 0, "threads": options.threads, "device": options.device}
            with (Path(folder) / "log.txt").open("w+") as log:
                results = hold(
                    contest.contenders, settings, rounds=max(2, round(contest.rounds * options.rounds)), log=log
                )
            rows[contest.name] = table.rows_of(contest, results)
            minutes = (time.perf_counter() - start) / 60
            contests[contest.name] = {
                "about": contest.about,
                "minutes": minutes,
                "contenders": table.contenders_of(contest, results),
            }
            for row in rows[contest.name]:
                print(f"  {row['line']} / {row['other']}: {_short(row)}", file=sys.stderr, flush=True)
            print(f"  {60 * minutes:.0f} s", file=sys.stderr, flush=True)
    report = {
        "command": _command(options),
        "minutes": sum(held.get("minutes", 0) for held in contests.values()),
        "machine": {**table.machine(), "device": _device(options.device)},
        "python": platform.python_version(),
        "threads": options.threads,
        "versions": {"torch (ours)": version("torch"), **_named(environment.versions())},
        "not installed": failed,
        "rows": [row for some in rows.values() for row in some],
        "contests": contests,
        "pipeline": overhead(ROOT) or report.get("pipeline"),
    }
    table.write(report, options.out)
    print(f"{options.out / 'results' / 'bench.md'} and {options.out / 'tables' / 'bench.json'} are written")


def _device(kind: str) -> str:
    return torch.cuda.get_device_name() if kind == "cuda" else "CPU"


def _before(out: Path) -> dict[str, Any]:
    path = out / "tables" / "bench.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _command(options: argparse.Namespace) -> str:
    """What to type to make the whole table again."""
    chosen = ["--device cuda"] * (options.device == "cuda")
    chosen += [f"--threads {options.threads}"] * (options.threads != 1) + [f"--rounds {options.rounds:g}"] * (
        options.rounds != 1
    )
    return " ".join(["python benchmarks/speed", *chosen]) if chosen else "make bench"


def _named(versions: dict[str, str]) -> dict[str, str]:
    return {
        f"{name} (peers')" if name in ("torch", "numpy", "scipy") else name: versions[name]
        for name in NAMED
        if name in versions
    }


def _short(row: dict[str, Any]) -> str:
    return f"cannot take part: {row['cannot']}" if "cannot" in row else f"{row[row['clock']]['ratio']:.2f}"


if __name__ == "__main__":
    main()
