"""Run the suite of faults: its table goes into docs/results/faults.md, the count survived into docs/tables/faults.json.

    python benchmarks/faults.py [--exhaustive] [--junit FILE]
    python benchmarks/faults.py --slurm [--junit FILE]

The rows are the tests marked ``fault`` (tests/faults). A row holds when all its tests pass; one that was skipped says
so. ``--exhaustive`` adds the thirty-three kills; ``--slurm`` runs the scenarios on a real Slurm instead, and writes
docs/tables/slurm.json; ``--junit`` reads the report of a run of pytest (``--junit-xml``) instead of running it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/results/faults.md"
FAULTS = ("tests/faults",)
SLURM = ("tests/workflow/slurm/test_scenarios.py", "tests/workflow/slurm/test_pipeline.py")
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def run_suite(tests: tuple[str, ...], report: Path, *, exhaustive: bool) -> None:
    """Run tests; a failed one is a row of the table, not an error here."""
    every = ["-m", "exhaustive or not exhaustive"] if exhaustive else []
    subprocess.run([sys.executable, "-m", "pytest", *tests, *every, f"--junit-xml={report}"], cwd=ROOT, check=False)


def ended(case: ElementTree.Element) -> str:
    bad = case.find("failure") is not None or case.find("error") is not None
    return "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"


def keep(name: str, held: int, of: int) -> None:
    """What ``benchmarks/summary.py`` reads."""
    path = ROOT / "docs/tables" / f"{name}.json"
    path.write_text(json.dumps({"held": held, "of": of}) + "\n", encoding="utf-8")
    print(f"{name}: {held} of {of}")


def rows(report: Path) -> dict[tuple[str, str], dict[str, list[str]]]:
    """For each fault and outcome: the names of its test functions by how they ended."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        properties = {p.get("name"): p.get("value") or "" for p in case.iter("property")}
        if "fault" not in properties:
            continue
        row = found.setdefault(
            (properties["fault"], properties["outcome"]), {"passed": [], "skipped": [], "failed": []}
        )
        row[ended(case)].append(
            f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '').partition('[')[0]}"
        )
    return found


def survived(ends: dict[str, list[str]]) -> bool:
    return not ends["failed"] and bool(ends["passed"])


def table(found: dict[tuple[str, str], dict[str, list[str]]]) -> str:
    lines = ["| What happens | What you see | Cases | Test |", "|---|---|---:|---|"]
    for (fault, outcome), ends in found.items():
        names = sorted({name for part in ends.values() for name in part})
        number = sum(map(len, ends.values()))
        cases = f"{len(ends['passed'])} of {number}" + (
            " (skipped here)" if not ends["passed"] and ends["skipped"] else ""
        )
        tests = ", ".join(f"`{name}`" for name in names)
        lines.append("| " + " | ".join(escaped(cell) for cell in (fault, outcome, cases)) + f" | {tests} |")
    number = sum(map(survived, found.values()))
    return f"**{number} of {len(found)} faults survived.**\n\n" + "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    return re.sub(r"([|<>`$])", r"\\\1", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exhaustive", action="store_true", help="with the thirty-three kills")
    parser.add_argument("--slurm", action="store_true", help="the scenarios on a real Slurm, not the faults")
    parser.add_argument("--junit", type=Path, help="a report of pytest to read instead of running it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = arguments.junit or Path(folder) / "report.xml"
        if not arguments.junit:
            run_suite(SLURM if arguments.slurm else FAULTS, report, exhaustive=arguments.exhaustive)
        if arguments.slurm:
            ends = [ended(case) for case in ElementTree.parse(report).iter("testcase")]
            keep("slurm", ends.count("passed"), len(ends))
            return
        found = rows(report)
    text = table(found)
    keep("faults", sum(map(survived, found.values())), len(found))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
