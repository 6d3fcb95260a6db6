"""The network at the paper's width: from its evaluations to docs/tables/paper.json, and on to docs/results/gpu.md.

python docs/paper.py                                     # the page anew from the table
python docs/paper.py --made WORDS NAME=evaluation.json ...    # the table from evaluations of the preset "paper"
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TABLE, PAGE = HERE / "tables" / "paper.json", HERE / "results" / "gpu.md"
BEGIN, END = "<!-- paper: begin -->", "<!-- paper: end -->"
MEASURES = {"class_accuracy": "class accuracy", "frechet": "Lite0 Frechet distance", "precision": "precision"}
MEASURES |= {"recall": "recall", "vendi": "Vendi"}


def means(path: Path) -> dict[str, dict[str, float]]:
    """Mean, least and most over the classes of one evaluation."""
    rows = [row for row in json.loads(path.read_text())["rows"] if row["class"] != "all"]
    values = {name: [row["value"] for row in rows if row["measure"] == name] for name in MEASURES}
    return {
        name: {"mean": statistics.mean(v), "least": min(v), "most": max(v), "classes": len(v)}
        for name, v in values.items()
    }


def markdown(table: dict[str, Any]) -> str:
    """The rows as a person reads them."""
    lines = ["| | classes | " + " | ".join(MEASURES.values()) + " |", "|---|---:" + "|---:" * len(MEASURES) + "|"]
    for name, row in table["means over classes"].items():
        shown = [f"{row[m]['mean']:.0f}" if m == "frechet" else f"{row[m]['mean']:.2f}" for m in MEASURES]
        lines.append(f"| {name} | {row['class_accuracy']['classes']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def page(text: str, table: dict[str, Any]) -> str:
    """The page with the table between its marks."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{markdown(table)}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", nargs="*", metavar="NAME=FILE")
    parser.add_argument("--made", help="on what, how long, by which code")
    options = parser.parse_args()
    table = json.loads(TABLE.read_text())
    if options.evaluations:
        if not options.made:
            parser.error("say with --made on what the network was trained, how long, and by which code")
        files = dict(entry.split("=", 1) for entry in options.evaluations)
        table |= {"made": options.made, "means over classes": {name: means(Path(file)) for name, file in files.items()}}
        TABLE.write_text(json.dumps(table, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
