"""Templates of the pages: one environment, one frame (``frame.html``), one style sheet."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup


@cache
def style() -> str:
    """The style sheet of every page."""
    return (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


def render(template: str, **values: Any) -> Markup:
    """Fill a template; whatever is not :class:`Markup` is escaped, and a value that is missing is an error."""
    return Markup(_environment().get_template(template).render(style=Markup(style()), **values))


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("featdiff.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
