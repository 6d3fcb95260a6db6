"""The rule graph: read from JSON and drawn as layers from top to bottom (after Sugiyama, Tagawa and Toda 1981).

    {"rules": ["prepare", "train"], "edges": [["prepare", "train"]]}

A rule stands below all rules it waits for. Arrows that follow from others are left out; an arrow that passes layers
bends around what stands there; within a layer rules are ordered to lie below what they read.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup

from featdiff.errors import UserError

STEP_X, STEP_Y, BOX_X, BOX_Y, MARGIN = 118, 62, 100, 32, 10
SWEEPS = 8

Node = str | tuple[str, str, int]  # a rule, or a bend of the arrow (from, to) in a layer


@dataclass(frozen=True)
class RuleGraph:
    """Rules and edges (from, to): ``to`` reads what ``from`` makes."""

    rules: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


def read(path: Path) -> RuleGraph:
    """Read a rule graph and refuse one with unknown rules or circles."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        graph = RuleGraph(tuple(map(str, values["rules"])), tuple((str(a), str(b)) for a, b in values["edges"]))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it holds the rule graph as JSON") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path}: not a rule graph {{"rules": [...], "edges": [[from, to], ...]}}: {error}') from None
    unknown = sorted({name for edge in graph.edges for name in edge} - set(graph.rules))
    if unknown:
        raise UserError(f"{path}: edges name {unknown}, which are not among its rules")
    layers(graph, path)
    return graph


def layers(graph: RuleGraph, where: Path | str = "rule graph") -> dict[str, int]:
    """The layer of each rule: the length of the longest path that leads to it."""
    depth: dict[str, int] = {}
    while len(depth) < len(graph.rules):
        ready = [r for r in graph.rules if r not in depth and all(a in depth for a, b in graph.edges if b == r)]
        if not ready:
            raise UserError(f"{where}: rules wait for each other in a circle: {sorted(set(graph.rules) - set(depth))}")
        for rule in ready:
            depth[rule] = max((depth[a] + 1 for a, b in graph.edges if b == rule), default=0)
    return depth


def reduced(graph: RuleGraph) -> list[tuple[str, str]]:
    """The edges that do not follow from others."""
    after: dict[str, set[str]] = {rule: set() for rule in graph.rules}
    for rule in sorted(graph.rules, key=layers(graph).__getitem__, reverse=True):
        for _, b in (edge for edge in graph.edges if edge[0] == rule):
            after[rule] |= {b} | after[b]
    followers = {rule: {b for a, b in graph.edges if a == rule} for rule in graph.rules}
    edges = list(dict.fromkeys(graph.edges))
    return [(a, b) for a, b in edges if not any(b in after[c] for c in followers[a] - {b})]


def draw(graph: RuleGraph) -> Markup:
    """The graph as SVG to stand inside a page."""
    depth = layers(graph)
    chains = [_chain(a, b, depth) for a, b in reduced(graph)]
    place = _places(graph, depth, chains)
    width = max(x for x, _ in place.values()) + BOX_X / 2 + MARGIN
    height = max(y for _, y in place.values()) + BOX_Y / 2 + MARGIN
    arrows = [_arrow([place[node] for node in chain]) for chain in chains]
    boxes = [_box(rule, *place[rule]) for rule in graph.rules]
    label = "Rule graph: " + "; ".join(f"{a} before {b}" for a, b in reduced(graph))
    head = Markup(
        '<svg class="graph" role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}" style="max-width:{:.0f}px">'
    ).format(label, width, height, width)
    tip = Markup(
        '<defs><marker id="arrow-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
    )
    return Markup("").join([head, tip, *arrows, *boxes, Markup("</svg>")])


def _chain(a: str, b: str, depth: dict[str, int]) -> list[Node]:
    return [a, *((a, b, layer) for layer in range(depth[a] + 1, depth[b])), b]


def _places(graph: RuleGraph, depth: dict[str, int], chains: list[list[Node]]) -> dict[Node, tuple[float, float]]:
    """The middle of each node; the order in a layer follows the means of the neighbours above and below, in turns."""
    rows: list[list[Node]] = [[] for _ in range(max(depth.values()) + 1)]
    for rule in graph.rules:
        rows[depth[rule]].append(rule)
    for chain in chains:
        for node in chain[1:-1]:
            rows[int(node[2])].append(node)
    pairs = [pair for chain in chains for pair in pairwise(chain)]
    x: dict[Node, float] = {node: i - len(row) / 2 for row in rows for i, node in enumerate(row)}
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wish = {
                node: _mean([x[a if b == node else b] for a, b in pairs if node in (a, b)], x[node]) for node in row
            }
            row.sort(key=wish.__getitem__)
            _spread(row, wish, x)
    left = min(x.values())
    middle = {node: MARGIN + BOX_X / 2 + (x[node] - left) * STEP_X for row in rows for node in row}
    return {n: (middle[n], MARGIN + BOX_Y / 2 + i * STEP_Y) for i, row in enumerate(rows) for n in row}


def _spread(row: list[Node], wish: dict[Node, float], x: dict[Node, float]) -> None:
    """Put an ordered row near its wishes, one step apart at least, its middle where the wishes' is."""
    last = float("-inf")
    for node in row:
        x[node] = last = max(wish[node], last + 1)
    shift = sum(wish[node] - x[node] for node in row) / max(1, len(row))
    for node in row:
        x[node] += shift


def _mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _arrow(points: list[tuple[float, float]]) -> Markup:
    (x, y), *rest = points
    path = [f"M{x:.1f} {y + BOX_Y / 2:.1f}"]
    y += BOX_Y / 2
    for i, (to_x, to_y) in enumerate(rest):
        end = to_y - BOX_Y / 2 if i == len(rest) - 1 else to_y
        path.append(f"C{x:.1f} {(y + end) / 2:.1f} {to_x:.1f} {(y + end) / 2:.1f} {to_x:.1f} {end:.1f}")
        x, y = to_x, end
    return Markup('<path class="edge" marker-end="url(#arrow-tip)" d="{}"/>').format(" ".join(path))


def _box(rule: str, x: float, y: float) -> Markup:
    return Markup(
        '<g><rect x="{:.1f}" y="{:.1f}" width="{}" height="{}" rx="6"/><text x="{:.1f}" y="{:.1f}">{}</text></g>'
    ).format(x - BOX_X / 2, y - BOX_Y / 2, BOX_X, BOX_Y, x, y + 4.5, rule)
