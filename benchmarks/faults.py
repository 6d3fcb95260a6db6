"""Run the suite of faults and write its table into docs/faults.md.

    python benchmarks/faults.py [--exhaustive] [--junit FILE]

The rows are the tests marked ``fault`` (tests/faults). A row holds when all its tests pass; one that was skipped says so.
``--exhaustive`` adds the thirty kills; ``--junit`` reads the report of a run of pytest (``--junit-xml``) instead of running it.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/faults.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def run_suite(report: Path, *, exhaustive: bool) -> None:
    """Run tests/faults; a failed test is a row of the table, not an error here."""
    every = ["-m", "exhaustive or not exhaustive"] if exhaustive else []
    subprocess.run(
        [sys.executable, "-m", "pytest", "tests/faults", *every, f"--junit-xml={report}"], cwd=ROOT, check=False
    )


def rows(report: Path) -> dict[tuple[str, str], dict[str, list[str]]]:
    """For each fault and outcome: the names of its test functions by how they ended."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        properties = {p.get("name"): p.get("value") or "" for p in case.iter("property")}
        if "fault" not in properties:
            continue
        bad = case.find("failure") is not None or case.find("error") is not None
        end = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
        row = found.setdefault(
            (properties["fault"], properties["outcome"]), {"passed": [], "skipped": [], "failed": []}
        )
        row[end].append(f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '').partition('[')[0]}")
    return found


def table(found: dict[tuple[str, str], dict[str, list[str]]]) -> str:
    lines = ["| What happens | What you see | Cases | Test |", "|---|---|---:|---|"]
    survived = 0
    for (fault, outcome), ends in found.items():
        names = sorted({name for part in ends.values() for name in part})
        number = sum(map(len, ends.values()))
        survived += not ends["failed"] and bool(ends["passed"])
        cases = f"{len(ends['passed'])} of {number}" + (
            " (skipped here)" if not ends["passed"] and ends["skipped"] else ""
        )
        tests = ", ".join(f"`{name}`" for name in names)
        lines.append("| " + " | ".join(escaped(cell) for cell in (fault, outcome, cases)) + f" | {tests} |")
    return f"**{survived} of {len(found)} faults survived.**\n\n" + "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    return re.sub(r"([|<>`$])", r"\\\1", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exhaustive", action="store_true", help="with the thirty kills")
    parser.add_argument("--junit", type=Path, help="a report of pytest to read instead of running it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = arguments.junit or Path(folder) / "report.xml"
        if not arguments.junit:
            run_suite(report, exhaustive=arguments.exhaustive)
        text = table(rows(report))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(text.partition("\n")[0])


if __name__ == "__main__":
    main()
