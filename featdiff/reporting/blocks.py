"""The report's table of the blocks of trained networks: which are dead, which still learn, what their targets tell."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from featdiff.reporting import templates
from featdiff.reporting.tables import Cell, Group, Row, Table

NOTES = (
    "Dead: share of the block's channels that are zero at every position of every image looked at, at every noise "
    "level; and from the level with the least to the level with the most.",
    "Gradient: norm of the training loss's gradient with respect to the block, at the end.",
    "Target: dB of PSNR lost where this block alone is told another class, at the level where that costs most.",
)


class Looked(NamedTuple):
    """A network: its colour variable, what the page calls it, and what :func:`featdiff.training.health.look` found."""

    colour: str
    title: str
    found: Mapping[str, Any]


def table(looks: Sequence[Looked]) -> Markup:
    """The warnings of all networks, then one table of their blocks; nothing where no network was looked at."""
    if not looks:
        return Markup()
    warnings = [f"{look.title}: {warning}." for look in looks for warning in look.found["warnings"]]
    columns = ("channels", "dead at all levels", "dead at a level", "gradient", "target, dB")
    groups = [Group(look.title, _rows(look)) for look in looks]
    blocks = Table("blocks", "The blocks of the trained networks", columns, groups, NOTES, first="block")
    return templates.render("body.html", parts=[*warnings, blocks])


def _rows(look: Looked) -> list[Row]:
    found, rows = look.found, []
    for block, channels in found["channels"].items():
        shares, worth = found["dead"][block].values(), found["worth"].get(block, {})
        level, most = max(worth.items(), key=lambda item: item[1], default=("", 0.0))
        cells = [
            Cell(str(channels)),
            Cell(f"{found['dead_always'][block]:.0%}"),
            Cell(f"{min(shares):.0%} to {max(shares):.0%}"),
            Cell(f"{found['gradient'][block]:.2g}"),
            Cell(f"{most:.2f}", f"at {level}") if worth else Cell("–"),
        ]
        rows.append(Row(block, look.colour, cells))
    return rows
