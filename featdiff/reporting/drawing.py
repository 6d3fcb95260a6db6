"""What all figures share: colours, fonts, and how matplotlib's figures and arrays of pixels become parts of a page.

Curves become SVG inside the page. Its colours are CSS variables (``var(--guided)``), so one drawing serves light and
dark pages; its text stays text. Grids of images become PNG data URIs. The same input gives the same bytes.
"""

import base64
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from PIL import Image

# Stand-ins that matplotlib writes and the page replaces by CSS variables (report.css has their values, light and dark).
INK, FAINT = "#010203", "#010204"
GUIDED, MIXTURE, REAL = "#010205", "#010206", "#010207"
LINES = ("#010208", "#010209", "#01020a", "#01020b", "#01020c", "#01020d")
VARIABLES = {
    **{INK: "ink", FAINT: "faint", GUIDED: "guided", MIXTURE: "mixture", REAL: "real"},
    **{colour: f"line{i}" for i, colour in enumerate(LINES)},
}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 12,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titlecolor": INK,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 11.5,
    "legend.handlelength": 2.6,
}
WIDTH, HEIGHT = 440, 310  # a panel, in CSS pixels before it is scaled to its column


@dataclass(frozen=True)
class Panel:
    """One picture of a figure: its markup and the words for who cannot see it."""

    markup: Markup
    title: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure of the page: panels side by side where there is room, and a caption that says what is seen."""

    name: str
    panels: Sequence[Panel]
    caption: Markup
    key: Sequence[tuple[str, str]] = field(default=())  # colour variable and meaning
    narrow: bool = False  # small panels, three in a row
    films: bool = False  # panels one below the other


@contextmanager
def panel(name: str, alt: str, parts: list[Panel], *, width: int = WIDTH, height: int = HEIGHT) -> Iterator[Axes]:
    """Draw on the axes that are yielded; the panel is then appended to ``parts``."""
    style: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(style):
        canvas = Canvas(figsize=(width / 72, height / 72), layout="constrained")
        axes = canvas.add_subplot()
        yield axes
        parts.append(Panel(svg(canvas, name, alt)))


def svg(canvas: Canvas, name: str, alt: str) -> Markup:
    """A figure as SVG to stand inside a page, its identifiers made unique by ``name``."""
    stream = io.StringIO()
    none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has its own fonts
        canvas.savefig(stream, format="svg", transparent=True, metadata=none)
    text = re.sub(r"\A.*?(?=<svg)", "", stream.getvalue(), flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    if size is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    head = f'<svg role="img" aria-label="{escape(alt)}" style="max-width:{float(size[1]):.0f}px" {size[0]}>'
    return Markup(re.sub(r"\A<svg.*?>", lambda _: head, text, count=1, flags=re.DOTALL).strip())


def log_axis(axis: Any, ticks: Sequence[float] | None = None) -> None:
    """Plain numbers at the ticks of a logarithmic axis (``axes.xaxis`` or ``axes.yaxis``)."""
    if ticks is not None:
        axis.set_ticks(list(ticks))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def png_uri(pixels: np.ndarray) -> str:
    """Pixels (H, W, C) uint8 with 1, 3 or 4 channels as a data URI."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def picture(pixels: np.ndarray, alt: str, *, scale: int) -> Markup:
    """Pixels (H, W, C) uint8 as an image of the page, enlarged a whole number of times without smoothing.

    A click, or the space bar, shows it as large as the screen, and another takes it back: a box to tick, no script.
    """
    height, width = (scale * n for n in pixels.shape[:2])
    template = (
        '<label class="zoom"><input type="checkbox" aria-label="Enlarge: {alt}">'
        '<img class="pixels" src="{uri}" width="{width}" height="{height}" alt="{alt}"></label>'
    )
    return Markup(template).format(uri=png_uri(pixels), width=width, height=height, alt=alt)


def short(name: str, length: int = 18) -> str:
    """A class name that fits into a figure."""
    return name if len(name) <= length else name[: length - 1] + "…"
