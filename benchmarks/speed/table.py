"""From results to rows, and from rows to docs/tables/bench.json and the page docs/results/bench.md."""

import json
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from contest import Ratio, Result, ratio
from lines import PEAK, Contest, Line

SHARES = ("share of the peak", "gpu")  # contests with a table of their own
PEERS = ("denoising-diffusion-pytorch", "smalldiffusion", "k-diffusion", "diffusers")  # columns of the first table

PAGE = """# Speed beside peers

**{claim}**

{how}

Ratios are of medians over runs in turns, each contender in a process of its own, so other work on the machine meets all alike.
They are of processor time; data loading is by the clock. Above 1 is in our favour, unless a line says time or memory.

{peers}

{rows}

{networks}

{shares}{pipeline}## Protocol

Peers are installed from `benchmarks/requirements-peers.txt`. Same images, batch, precision, AdamW; {threads} thread(s).
A peer's network has as many parameters as ours to within 5%, in the cheapest shape its library offers (no attention, if possible).
Its step is loss, backward pass and update; ours is the whole training loop.

{machine}

{device}

[Speed](speed.md) says what falls short and why.
"""


def rows_of(contest: Contest, results: dict[str, Result]) -> list[dict[str, Any]]:
    """The rows of a contest; a contender that could not take part has a row that says why."""
    rows = []
    for line in contest.lines:
        names = line.others or [c.name for c in contest.contenders if c.module != "featdiff_"]
        able = [name for name in names if results[name].failed is None]
        mine = results[line.ours]
        if mine.failed is not None:
            raise SystemExit(f"{line.ours} failed: {mine.failed}")
        found = {name: _compared(line, contest.clock, mine, results[name]) for name in able}
        hardest = (
            (max if line.slower or line.memory else min)(
                able,
                key=lambda n: (
                    found[n]["by clock"]["ratio"]
                    if contest.clock == "seconds"
                    else found[n]["by processor time"]["ratio"]
                ),
            )
            if able
            else None
        )
        for name in names:
            row = {"line": line.name, "contest": contest.name, "ours": line.ours, "other": name}
            if name not in able:
                rows.append({**row, "cannot": results[name].failed})
                continue
            row |= found[name] | {
                "hardest": name == hardest,
                "target": line.target,
                "at most": line.slower or line.memory,
            }
            row |= {"clock": "by clock" if contest.clock == "seconds" else "by processor time"}
            rows.append(row)
    return rows


def _compared(line: Line, clock: str, mine: Result, other: Result) -> dict[str, Any]:
    if line.memory:
        share = mine.peak / other.peak
        value = {"ratio": share, "low": share, "high": share}
        return {"by clock": value, "by processor time": value, "rounds": 1}
    both = {
        words: _turned(ratio(mine, other, clock=kind, counting=line.counting), line.slower)
        for words, kind in (("by clock", "seconds"), ("by processor time", "processor"))
    }
    return {**both, "rounds": len(mine.seconds)}


def _turned(found: Ratio, slower: bool) -> dict[str, float]:
    if slower:
        found = Ratio(1 / found.value, 1 / found.high, 1 / found.low)
    return {"ratio": found.value, "low": found.low, "high": found.high}


def contenders_of(contest: Contest, results: dict[str, Result]) -> dict[str, Any]:
    """What each contender said of itself, with its median times."""
    return {
        name: {
            "seconds": statistics.median(r.seconds) if r.seconds else None,
            "processor seconds": statistics.median(r.processor) if r.processor else None,
            "items": r.items,
            "peak bytes": r.peak,
            **{k: v for k, v in r.about.items() if isinstance(v, int | float)},
            **({"cannot": r.failed} if r.failed else {}),
        }
        for name, r in results.items()
    }


def machine() -> dict[str, Any]:
    """The machine in words: processor model, cores, memory, how busy it was."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    found = {name.strip(): value.strip() for name, value in lines.items()}
    flags = set(found.get("flags", "").split())
    return {
        "processor": found.get("model name", platform.processor()),
        "bf16 in hardware": bool(flags & {"amx_bf16", "avx512_bf16"}),
        "cores": os.cpu_count(),
        "memory GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": round(os.getloadavg()[1], 1),
        "system": platform.system(),
    }


def markdown(report: dict[str, Any]) -> str:
    """The page of a report."""
    about = report["machine"]
    bf16 = "with" if about["bf16 in hardware"] else "without"
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    words = (
        "| Machine | Versions |\n|---|---|\n"
        f"| {about['cores']} cores of an {about['processor']} {bf16} bf16 in hardware, {about['memory GiB']} GiB; "
        f"a load of {about['load']} while measuring | Python {report['python']}; {versions} |"
    )
    rows = [row for row in report["rows"] if not row["contest"].startswith(SHARES)]
    return PAGE.format(
        claim=_claim(rows),
        how=(
            f"`{report['command']}` made this page and [bench.json](../tables/bench.json), with all quartiles, in "
            f"{report['minutes']:.0f} minutes."
        ),
        machine=words,
        device=_device(about.get("device", "CPU")),
        peers=_beside_peers(rows),
        rows=_others(rows),
        threads=report["threads"],
        networks=_networks(report),
        shares=_shares(report),
        pipeline=_pipeline(report.get("pipeline")),
    )


def _claim(rows: list[dict[str, Any]]) -> str:
    """How many of the lines that were asked for something are met."""
    met = [_met(row) for row in rows if row["target"] is not None and row.get("hardest")]
    return f"{sum(met)} of the {len(met)} ratios that were asked for are met."


def _met(row: dict[str, Any]) -> bool:
    value = row[row["clock"]]["ratio"]
    return bool(value <= row["target"] if row["at most"] else value >= row["target"])


def _asked(row: dict[str, Any]) -> str:
    """What was asked for, and whether it is met; of the hardest peer alone."""
    if row["target"] is None or not row["hardest"]:
        return ""
    return f"{'≤' if row['at most'] else '≥'} {row['target']}: {'met' if _met(row) else '**falls short**'}"


def _beside_peers(rows: list[dict[str, Any]]) -> str:
    """The lines that libraries of training and sampling take part in: a column a library."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        peer, _, workers = row["other"].partition(", ")
        if peer in PEERS:
            found.setdefault(f"{row['line']}{workers and ', ' + workers}", {})[peer] = row
    lines = [f"| | {' | '.join(PEERS)} | asked for |", "|---" + "|---:" * len(PEERS) + "|---|"]
    for name, of in found.items():
        cells = [_cell(of.get(peer)) for peer in PEERS]
        asked = next((_asked(row) for row in of.values() if "cannot" not in row and _asked(row)), "")
        lines.append(f"| {name} | {' | '.join(cells)} | {asked} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or "cannot" in row:
        return "cannot take part" if row else ""
    return f"{row[row['clock']]['ratio']:.2f}"


def _others(rows: list[dict[str, Any]]) -> str:
    """The other lines, a row for each."""
    lines = ["| | beside | ratio | quartiles | asked for |", "|---|---|---:|---:|---|"]
    for row in (row for row in rows if row["other"].partition(", ")[0] not in PEERS):
        if "cannot" in row:
            lines.append(f"| {row['line']} | {row['other']} | | | cannot take part: {row['cannot'][:80]} |")
            continue
        value = row[row["clock"]]
        spread = "" if row["rounds"] == 1 else f"{value['low']:.2f} to {value['high']:.2f}"
        lines.append(f"| {row['line']} | {row['other']} | {value['ratio']:.2f} | {spread} | {_asked(row)} |")
    return "\n".join(lines)


def _device(name: str) -> str:
    if name != "CPU":
        return f"Networks were trained and sampled on one {name}, by the clock."
    return (
        "**No GPU was measured**: there was none. With one, `make bench` measures training and sampling there, and lines "
        "called gpu at a size that fills it."
    )


def _shares(report: dict[str, Any]) -> str:
    """The table of shares of the matrix peak."""
    lines = [
        f"**Share of the matrix peak.** Operations of products and convolutions a second, over those of {PEAK} of the "
        f"same precision on the same {report['threads']} thread(s).",
        "",
        "| Work | Precision | Images/s | Billion operations/s | Share | Quartiles | Peak memory above the start, MB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    rows = [row for row in report["rows"] if row["contest"].startswith(SHARES) and "cannot" not in row]
    for row in rows:
        contenders, precision = report["contests"][row["contest"]]["contenders"], row["contest"].split(", ")[-1]
        one, value = contenders[row["ours"]], row[row["clock"]]
        spent = one["seconds" if row["clock"] == "by clock" else "processor seconds"]
        lines.append(
            f"| {row['line']} | {precision} | {one['images'] / spent:.0f} | {one['operations'] / spent / 1e9:,.0f} | "
            f"{value['ratio']:.3f} | {value['low']:.3f} to {value['high']:.3f} | {one['peak bytes'] / 2**20:.0f} |"
        )
    return "\n".join([*lines, "", ""]) if rows else ""


def _pipeline(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    return (
        f"**The pipeline over its rules.** The default run took {found['ratio']:.3f} times as long as the time in which "
        f"one of its {found['jobs']} jobs ran (`python benchmarks/orchestration.py share`).\n\n"
    )


def _networks(report: dict[str, Any]) -> str:
    held = report["contests"].get("training in bf16")
    if held is None:
        return ""
    lines = [
        "| Training in bf16 | Parameters | Million multiplications an image | Images/s of a core | Peak memory above "
        "the start, MB |"
    ]
    lines += ["|---|---:|---:|---:|---:|"]
    for name, c in held["contenders"].items():
        if "cannot" not in c:
            rate = c["items"] / c["processor seconds"]
            numbers = (
                f"{c['parameters']:,} | {c['multiplications'] / 1e6:.0f} | {rate:.0f} | {c['peak bytes'] / 2**20:.0f}"
            )
            lines.append(f"| {name} | {numbers} |")
    return "\n".join(lines)


def write(report: dict[str, Any], folder: Path) -> None:
    """Write tables/bench.json and results/bench.md below ``folder``."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "tables" / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "results").mkdir(parents=True, exist_ok=True)
    (folder / "results" / "bench.md").write_text(markdown(report))
