"""What a GPU does with this package: is it right, is it exact, how fast is it; in eight minutes, the most important
first.

    make gpu-check
    python benchmarks/gpu [--minutes 8] [--only agreement speed] [--data DATASET.zip] [--peers] [--out docs]

The second form needs no snakemake, no dvc and no package index (docs/tutorials/gpu.md lists what it imports). Each
step is a process with a time limit: its share of the minutes, and what earlier steps left over. What a step has found
is written at once to docs/tables/gpu.json and docs/results/gpu.md, so a run that is cut off keeps what was done; a
step that was cut off or could not run says so with its reason. ``--only`` keeps the other steps of the same machine
and code. ``--peers`` sets up the peers' environment first, as ``make bench`` does; else those take part that this
Python can import.
``--device cpu --small`` tries the steps at toy size on a machine without a GPU, into a folder that ``--out`` names.
"""

import argparse
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import page
import steps

ROOT = Path(__file__).resolve().parents[2]
SHARES = {  # of the minutes, in seconds of eight, in the order of worth
    "training": 35,
    "tests": 70,
    "agreement": 75,
    "resume": 40,
    "speed": 150,
    "paper": 110,
}


def run(step: str, options: argparse.Namespace, limit: float) -> dict[str, Any]:
    """A step in a process of its own: all that it told before its end or its limit, and how it ended."""
    command = [sys.executable, __file__, "--step", step, "--device", options.device, "--limit", str(limit)]
    command += ["--small"] * options.small + (["--data", str(options.data.resolve())] if options.data else [])
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # featdiff need not be installed
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=told, cwd=ROOT, env=variables, start_new_session=True)
        try:
            how = "done" if process.wait(max(limit, 1)) == 0 else "failed"
        except subprocess.TimeoutExpired:
            how = f"cut off after {limit:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what the step started, too: it would slow the next ones down
            process.wait()
        told.seek(0)
        lines = [line for line in told.read().splitlines() if line.startswith(steps.TOLD)]
    found: dict[str, Any] = {}
    for line in lines:
        found.update(json.loads(line.removeprefix(steps.TOLD)))
    return {"ended": how, "seconds": round(time.perf_counter() - start, 1), **found}


def carry_out(options: argparse.Namespace) -> None:
    """One step, in this process; a failure is told as what was found is."""
    try:
        steps.STEPS[options.step](steps.Scale(options.device, options.small, options.data, options.limit))
    except Exception as error:
        steps.tell(reason=f"{type(error).__name__}: {error}"[:300])
        raise


def facts(device: str) -> dict[str, Any]:
    """The machine, the code and the versions."""
    import torch

    found = {
        "date": date.today().isoformat(),
        "code": output("git", "describe", "--always", "--dirty") or f"sources {sources()[:12]}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": "CPU",
    }
    if device == "cuda":
        drivers = output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").splitlines()
        found |= {
            "device": torch.cuda.get_device_name(),
            "memory_GiB": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
            "driver": drivers[0] if drivers else "unknown",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def output(*command: str) -> str:
    """What a command prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def sources() -> str:
    """SHA-256 over the package's files, which names the code where there is no git."""
    files = sorted((ROOT / "featdiff").rglob("*.py"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()


def before(machine: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What an earlier run found in the other steps, on the same machine with the same code."""
    path = options.out / "tables" / "gpu.json"
    found = json.loads(path.read_text()) if path.exists() else {"machine": {}, "steps": {}}
    same = {**found["machine"], "date": ""} == {**machine, "date": ""}
    return {name: step for name, step in found["steps"].items() if name not in options.only} if same else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="for all steps together")
    parser.add_argument("--only", nargs="+", choices=SHARES, default=list(SHARES), help="these steps alone")
    parser.add_argument("--data", type=Path, help="a prepared data set for the training at the paper's width")
    parser.add_argument("--peers", action="store_true", help="set up the peers' environment first (a download)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="toy sizes, to try the steps")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--step", choices=SHARES, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        carry_out(options)
        return
    refuse(options)
    if options.peers:
        import environment  # of benchmarks/speed

        environment.prepare()
    command = " ".join(["python benchmarks/gpu", *sys.argv[1:]])
    machine = facts(options.device)
    report: dict[str, Any] = {"command": command, "machine": machine, "steps": before(machine, options)}
    end = time.perf_counter() + 60 * options.minutes
    chosen = [step for step in SHARES if step in options.only]
    for k, step in enumerate(chosen):
        left = end - time.perf_counter()
        print(f"{step} ...", file=sys.stderr, flush=True)
        if left < 5:
            found = {"ended": "not begun: the minutes were used up"}
        else:
            found = run(step, options, left * SHARES[step] / sum(SHARES[later] for later in chosen[k:]))
        print(f"  {found['ended']}", file=sys.stderr, flush=True)
        report["steps"][step] = found
        report["steps"] = {name: report["steps"][name] for name in SHARES if name in report["steps"]}
        page.write(report, options.out)
    print(f"{options.out / 'tables' / 'gpu.json'} and {options.out / 'results' / 'gpu.md'} are written")


def refuse(options: argparse.Namespace) -> None:
    """End with one line where there is no GPU, or where a try would replace what was measured."""
    import torch

    why = ""
    if options.device == "cuda" and not torch.cuda.is_available():
        why = "torch sees no GPU here; to try the steps without one: --device cpu --small --out FOLDER"
    elif options.small and options.out.resolve() == ROOT / "docs":
        why = "toy sizes would replace the measured table: name another folder with --out"
    if why:
        print(f"error: {why}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that its step ends with it
    main()
