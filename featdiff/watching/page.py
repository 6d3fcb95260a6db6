"""The page of a training that can be opened while it runs: ``results/logs/train/NAME.html``. It renews itself.

Written by hand and not by matplotlib, which would take longer than a preview. Its pictures lie in the folder beside it.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from featdiff.training import progress as files
from featdiff.training.progress import Record

WIDTH, HEIGHT, LEFT, BOTTOM = 440, 220, 58, 24  # of a chart, and the room for its numbers
RENEWED = 10  # seconds
COLOURS = ("#3b82c4", "#c4703b", "#2f9e77", "#a05cc0", "#8a8a2a")
KNOWN = {"step", "images", "seconds"}
LOGARITHMIC = {"loss"}
TITLES = {"psnr": "PSNR of test images in dB, at noise levels", "images_per_second": "images a second"}
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 1000px; padding: 1rem; font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin: 0 0 .3rem; }
progress { width: 100%; height: 1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.2rem; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: currentColor; }
.film { display: flex; gap: .8rem; overflow-x: auto; padding-bottom: .6rem; }
.film figure { margin: 0; flex: none; } .film img { image-rendering: pixelated; display: block; }
figcaption, .said { font-size: .85rem; opacity: .8; }
"""


def write(folder: Path, records: Sequence[Record], status: Mapping[str, Any]) -> None:
    """Write the page of the training in ``folder`` beside it."""
    files.write_text(folder.with_suffix(".html"), text(folder, records, status))


def text(folder: Path, records: Sequence[Record], status: Mapping[str, Any]) -> str:
    """The page."""
    run = files.read_json(folder / files.RUN)
    name, over = escape(str(run.get("name", folder.name))), bool(status.get("finished"))
    said = "".join(f'<p class="said">{escape(words)}</p>' for words in status.get("said", []))
    renew = "" if over else f'<meta http-equiv="refresh" content="{RENEWED}">'
    done = int(status.get("images", 0)), int(run.get("images", 1))
    charts = "".join(chart(title, lines, log=log) for title, lines, log in _charts(records))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">{renew}
<link rel="icon" href="data:,"><title>Training {name}</title><style>{STYLE}</style></head>
<body><h1>Training {name}</h1>
<p>{escape(files.line(status))}</p><progress max="{done[1]}" value="{done[0]}"></progress>{said}
<h2>Samples by the averaged weights</h2>{_film(folder, run)}
<div class="charts">{charts}</div>
<p class="said">The numbers: {name}/stats.jsonl</p></body></html>
"""


def _charts(records: Sequence[Record]) -> list[tuple[str, dict[str, list[tuple[float, float]]], bool]]:
    """Title, curves by name, and whether the axis is logarithmic: a chart for what stands before a slash."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in records:
        for name, value in record.items():
            if name not in KNOWN and math.isfinite(value):
                title, _, curve = name.partition("/")
                found.setdefault(title, {}).setdefault(curve, []).append((record["images"], value))
    return [(TITLES.get(name, name.replace("_", " ")), curves, name in LOGARITHMIC) for name, curves in found.items()]


def chart(title: str, curves: Mapping[str, Sequence[tuple[float, float]]], *, log: bool) -> str:
    """Curves over the training images seen, as SVG."""
    points = [point for curve in curves.values() for point in curve]
    log = log and all(y > 0 for _, y in points)
    if not points:
        return ""

    def scaled(y: float) -> float:
        return math.log10(y) if log else y

    low, high = min(scaled(y) for _, y in points), max(scaled(y) for _, y in points)
    last, span = max(x for x, _ in points) or 1.0, (high - low) or 1.0
    drawn, key = [], []
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [
            f"{LEFT + (WIDTH - LEFT - 8) * x / last:.1f},{8 + (HEIGHT - BOTTOM - 8) * (high - scaled(y)) / span:.1f}"
            for x, y in curve
        ]
        marks = "".join(
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2.5" fill="{colour}"/>'
            for p in (places if len(places) < 40 else [])
        )
        drawn.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" stroke-width="1.6"/>{marks}')
        if name:
            key.append(f' <span style="color:{colour}">{escape(name)}</span>')
    ends = [10**value if log else value for value in (high, low)]
    axis = f'<path d="M{LEFT} 8V{HEIGHT - BOTTOM}H{WIDTH}" fill="none" stroke="currentColor" opacity=".4"/>'
    numbers = (
        f'<text x="{LEFT - 4}" y="18" text-anchor="end">{_number(ends[0])}</text>'
        f'<text x="{LEFT - 4}" y="{HEIGHT - BOTTOM}" text-anchor="end">{_number(ends[1])}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">0</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 6}" text-anchor="end">{last:,.0f} images</text>'
    )
    head = f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return f"<section><h2>{escape(title)}{','.join(key)}</h2>{head}{axis}{''.join(drawn)}{numbers}</svg></section>"


def _number(value: float) -> str:
    return f"{value:.3g}" if 0.01 <= abs(value) < 1e4 else f"{value:.2g}"


def _film(folder: Path, run: Mapping[str, Any]) -> str:
    """The previews, the newest first; they lie beside the page."""
    rows = max(1, len(run.get("rows", [])))
    height = rows * int(run.get("size", 32)) * max(1, 64 // int(run.get("size", 32) or 32))
    frames = [
        f'<figure><img src="{escape(folder.name)}/{files.PREVIEWS}/{path.name}" height="{height}" '
        f'alt="after {seen} images"><figcaption>{seen:,} images</figcaption></figure>'
        for seen, path in reversed(files.previews(folder).items())
    ]
    names = ", ".join(escape(str(name)) for name in run.get("rows", []))
    return (
        f'<div class="film">{"".join(frames)}</div><p class="said">Rows: {names}</p>' if frames else "<p>None yet.</p>"
    )
