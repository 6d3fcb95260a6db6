"""What the words of a run mean: a row for each kind of thing that its settings choose, by its name for people."""

from collections.abc import Iterable

from featdiff.kinds.base import Table as Kinds
from featdiff.kinds.blocks import BLOCKS
from featdiff.kinds.corruptions import CORRUPTIONS
from featdiff.kinds.guidance import GUIDANCE
from featdiff.kinds.layouts import LAYOUTS
from featdiff.kinds.samplers import SAMPLERS
from featdiff.reporting.tables import Cell, Group, Row, Table
from featdiff.settings.project import Params


def table(settings: Params) -> Table:
    """A group for each table of kinds; measures are told below the table of measures."""
    models, samplings = settings.models.values(), settings.samplings.values()
    corruptions = [settings.corruptions[model.corruption] for model in models if model.corruption]
    groups = [
        _group("Layout of the images", LAYOUTS, (settings.datasets[model.dataset].layout.kind for model in models)),
        _group("Blocks of the network", BLOCKS, (settings.networks[model.network].block.kind for model in models)),
        _group("Corruption", CORRUPTIONS, (row.kind for row in corruptions)),
        _group("Guidance", GUIDANCE, (row.guidance.kind for row in samplings)),
        _group("Sampler", SAMPLERS, (row.sampler.kind for row in samplings)),
    ]
    caption = "The kinds of things that the settings of this run choose, and what they are."
    return Table("kinds", caption, ["What it is"], [group for group in groups if group.rows], first="Kind")


def _group(title: str, kinds: Kinds, chosen: Iterable[str]) -> Group:
    names = set(chosen)
    return Group(
        title,
        [Row(kinds.label(name), "", [Cell(kinds.line(name).replace("`", ""))]) for name in kinds if name in names],
    )
