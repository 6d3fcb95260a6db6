"""The table of the page: what was found, step by step, between two marks of docs/results/gpu.md."""

import json
import os
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(report: dict[str, Any], out: Path) -> None:
    """Write the report and put its table into the page, if there is one."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    replace(out / "tables" / "gpu.json", json.dumps(report, indent=1) + "\n")
    path = out / "results" / "gpu.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else f"# On a GPU\n\n{BEGIN}\n{END}\n"
    start, end = before.index(BEGIN) + len(BEGIN), before.index(END)
    replace(path, before[:start] + "\n" + table(report) + "\n" + before[end:])


def replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def table(report: dict[str, Any]) -> str:
    """Markdown: the machine, then a row for each thing found."""
    machine = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    lines = [f"`{report['command']}`: {machine}.", "", "| step | found | value |", "|---|---|---:|"]
    for step, found in report["steps"].items():
        took = f"{shown(found['seconds'])} s" if found.get("seconds") else ""
        lines.append(f"| **{step}** | {found['ended']} | {took} |")
        rest = {key: value for key, value in found.items() if key not in ("ended", "seconds")}
        lines += [f"| | {key.replace('_', ' ')} | {shown(value)} |" for key, value in rest.items()]
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {shown(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
