"""What holds, in one table: the numbers that the other programs here left in docs/tables, for docs/results/faults.md.

python benchmarks/summary.py

agreement.json   python benchmarks/agreement.py --out docs/tables/agreement.json
faults.json      python benchmarks/faults.py --exhaustive
slurm.json       python benchmarks/faults.py --slurm
no-op.json       python benchmarks/orchestration.py no-op --out docs/tables
share.json       python benchmarks/orchestration.py share --wall SECONDS --out docs/tables
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, TABLES = ROOT / "docs/results/faults.md", ROOT / "docs/tables"
BEGIN, END = "<!-- summary: begin -->", "<!-- summary: end -->"


def values(name: str) -> dict[str, Any]:
    path = TABLES / f"{name}.json"
    if not path.is_file():
        raise SystemExit(
            f"docs/tables/{name}.json is missing: {name} has not been measured; the top of this file says how"
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def rows() -> Iterator[tuple[str, str, str]]:
    """What, measured, wanted."""
    agreement, faults, slurm = values("agreement"), values("faults"), values("slurm")
    yield (
        "changes after which Snakemake and DVC call the same stages stale",
        f"{agreement['agree']} of {agreement['of']}",
        "all",
    )
    yield "faults survived", f"{faults['held']} of {faults['of']}", "all"
    yield "scenarios on a real Slurm", f"{slurm['held']} of {slurm['of']}", "all"
    for row in values("no-op")["rows"]:
        yield (
            f"a run with nothing to do, {row['jobs']} jobs, over a bare Snakemake of as many",
            f"{row['ratio']:.2f} times ({row['cpu']:.1f} s of processor time against {row['bare_cpu']:.1f} s)",
            "1.3 times",
        )
    share = values("share")
    yield (
        f"share of orchestration in the default run ({share['jobs']} jobs, {share['wall'] / 60:.0f} min)",
        f"{share['share']:.1%}",
        "at most 10%",
    )


def table() -> str:
    lines = ["| | Measured | Wanted |", "|---|---:|---:|"]
    return "\n".join([*lines, *(f"| {what} | {found} | {wanted} |" for what, found, wanted in rows())]) + "\n"


def main() -> None:
    text = table()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
