"""What a GPU does with this package: is it right, is it exact, how fast is it; in eight minutes, the most important
first.

    make gpu-check        or: python benchmarks/gpu [--minutes 8] [--only agreement speed] [--data DATASET.zip] [--out
    docs]

The second form needs no snakemake, no dvc and no package index (docs/gpu.md lists what it imports). Each step is a
process with a time limit of its own. What a step has found is written at once to docs/tables/gpu.json and docs/gpu.md,
so a run that is cut off keeps what was done; a step that was cut off or could not run says so with its reason.
``--device cpu --small`` tries the steps at toy size on a machine without a GPU, into a folder that ``--out`` names.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import page
import steps

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {  # seconds, in the order of worth
    "training": 60,
    "agreement": 110,
    "resume": 60,
    "speed": 150,
    "paper": 150,
    "tests": 140,
}


def run(step: str, options: argparse.Namespace, limit: float) -> dict[str, Any]:
    """A step in a process of its own: all that it told before its end or its limit, and how it ended."""
    command = [sys.executable, __file__, "--step", step, "--device", options.device]
    command += ["--small"] * options.small + (["--data", str(options.data)] if options.data else [])
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        try:
            ended = subprocess.run(command, stdout=told, timeout=max(limit, 1), cwd=ROOT, check=False).returncode
            how = "done" if ended == 0 else f"failed (exit status {ended}; its last words stand above)"
        except subprocess.TimeoutExpired:
            how = f"cut off after {limit:.0f} s"
        told.seek(0)
        lines = [line for line in told.read().splitlines() if line.startswith(steps.TOLD)]
    found: dict[str, Any] = {}
    for line in lines:
        found.update(json.loads(line.removeprefix(steps.TOLD)))
    return {"ended": how, "seconds": round(time.perf_counter() - start, 1), **found}


def facts(device: str) -> dict[str, Any]:
    """The machine and the versions, by what is installed."""
    import torch

    import featdiff

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = {
        "date": date.today().isoformat(),
        "code": commit.stdout.strip() or featdiff.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": "CPU",
    }
    if device == "cuda":
        driver = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
        )
        found |= {
            "device": torch.cuda.get_device_name(),
            "memory_GiB": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
            "driver": driver.stdout.splitlines()[0] if driver.stdout else "unknown",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="for all steps together")
    parser.add_argument("--only", nargs="+", choices=LIMITS, default=list(LIMITS), help="these steps alone")
    parser.add_argument("--data", type=Path, help="a prepared data set for the training at the paper's width")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="toy sizes, to try the steps")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--step", choices=LIMITS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        steps.STEPS[options.step](steps.Scale(options.device, options.small, options.data))
        return
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU here; to try the steps without one: --device cpu --small --out FOLDER")
    if options.small and options.out.resolve() == ROOT / "docs":
        sys.exit("error: toy sizes would replace the measured table: name another folder with --out")
    command = " ".join(["python benchmarks/gpu", *sys.argv[1:]])
    report: dict[str, Any] = {"command": command, "machine": facts(options.device), "steps": {}}
    end = time.perf_counter() + 60 * options.minutes
    for step in (name for name in LIMITS if name in options.only):
        left = end - time.perf_counter()
        print(f"{step} ...", file=sys.stderr, flush=True)
        if left < 5:
            report["steps"][step] = {"ended": "not begun: the minutes were used up"}
        else:
            report["steps"][step] = run(step, options, min(LIMITS[step], left))
        print(f"  {report['steps'][step]['ended']}", file=sys.stderr, flush=True)
        page.write(report, options.out)
    print(f"{options.out / 'tables' / 'gpu.json'} and {options.out / 'gpu.md'} are written")


if __name__ == "__main__":
    main()
