"""The parts of figures against closed forms: maps keep distances, layouts keep order, grids keep pixels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featdiff.errors import UserError
from featdiff.reporting import embedding, graph, grids, tables
from featdiff.reporting.graph import RuleGraph


def distances(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_map_of_points_in_a_plane_keeps_all_distances():
    random = np.random.default_rng(0)
    plane = random.normal(size=(6, 2)) @ np.linalg.qr(random.normal(size=(9, 2)))[0].T + 5
    flat, share = embedding.classical_mds(plane)
    np.testing.assert_allclose(distances(flat), distances(plane), atol=1e-12)
    assert share == pytest.approx(1)


def test_share_of_variance_of_a_regular_simplex_is_known():
    _, share = embedding.classical_mds(np.eye(5))
    assert share == pytest.approx(2 / 4)


def test_maps_of_a_turned_configuration_lie_alike():
    random = np.random.default_rng(1)
    points = random.normal(size=(4, 3))
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    first, second = (flat for flat, _ in embedding.maps(np.stack([points, points @ turn], axis=1), [0, 1]))
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_pair_distances_are_in_the_order_of_pairs():
    values = np.zeros((3, 2, 4))
    values[1, :, 0], values[2, :, 1] = 3, 4
    np.testing.assert_array_equal(embedding.pair_distances(values), [[3, 3], [4, 4], [5, 5]])


def test_two_equal_classes_have_a_map():
    flat, share = embedding.classical_mds(np.ones((2, 3)))
    assert (flat == 0).all()
    assert share == 1


@given(n=st.integers(1, 40), side=st.integers(1, 400), channels=st.sampled_from([1, 3]))
def test_grid_fits_and_keeps_every_image(n, side, channels):
    images = np.random.default_rng(0).integers(0, 256, (min(n, 6), side, side, channels), np.uint8)
    sheet, scale = grids.grid(images)
    assert scale >= 1
    assert scale * sheet.shape[1] <= max(grids.SIDE, side)
    assert (sheet[..., 3] == 255).sum() == len(images) * side * side
    np.testing.assert_array_equal(sheet[:side, :side, :channels], images[0])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6))
def test_thumbnails_do_not_cover_each_other(places):
    half = 0.3
    moved = embedding.apart(np.array(places, float), half)
    apart = np.abs(moved[:, None] - moved[None]) > 2 * half
    assert (apart.any(-1) | np.eye(len(moved), dtype=bool)).all()


def test_shown_labels_are_all_or_spread_over_all():
    assert grids.shown_labels(3) == [0, 1, 2]
    many = grids.shown_labels(187)
    assert (many[0], many[-1], len(many)) == (0, 186, grids.SHOWN_CLASSES)


def test_edges_that_follow_from_others_are_left_out():
    found = RuleGraph(("a", "b", "c", "d"), (("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")))
    assert graph.reduced(found) == [("a", "b"), ("b", "c"), ("c", "d")]


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda e: e[0] < e[1])))
def test_every_arrow_points_down_and_boxes_do_not_overlap(edges):
    rules = tuple(f"r{i}" for i in range(8))
    found = RuleGraph(rules, tuple((f"r{a}", f"r{b}") for a, b in sorted(edges)))
    depth = graph.layers(found)
    assert all(depth[a] < depth[b] for a, b in found.edges)
    chains = [graph._chain(a, b, depth) for a, b in graph.reduced(found)]
    place = graph._places(found, depth, chains)
    for a in rules:
        for b in rules:
            assert a == b or depth[a] != depth[b] or abs(place[a][0] - place[b][0]) > graph.BOX_X
    assert min(x for x, _ in place.values()) >= graph.BOX_X / 2


def test_graph_of_the_workflow_is_drawn():
    found = graph.read(Path(__file__).parents[2] / "workflow" / "rulegraph.json")
    assert {"prepare", "train", "sample", "report"} <= set(found.rules)
    drawn = graph.draw(found)
    assert all(f">{rule}</text>" in drawn for rule in found.rules)


def test_circle_of_rules_is_refused():
    with pytest.raises(UserError, match=r"circle: \['a', 'b'\]"):
        graph.layers(RuleGraph(("a", "b"), (("a", "b"), ("b", "a"))))


def test_graph_with_unknown_rule_or_wrong_text_is_refused(tmp_path):
    path = tmp_path / "graph.json"
    path.write_text('{"rules": ["a"], "edges": [["a", "b"]]}')
    with pytest.raises(UserError, match=r"edges name \['b'\]"):
        graph.read(path)
    path.write_text("digraph {}")
    with pytest.raises(UserError, match="not a rule graph"):
        graph.read(path)


@pytest.mark.parametrize(("value", "text"), [(-0.0001, "0.00"), (-1.5, "−1.50"), (2, "2.00")])
def test_numbers_have_true_minus_signs_and_no_negative_zero(value, text):
    assert tables.number(value, 2) == text


def test_a_table_of_one_level_has_a_map_and_no_curve():
    values = np.array([[[0.0, 0.0]], [[3.0, 0.0]], [[0.0, 4.0]]])
    thumbnails = {0: np.zeros((8, 8, 1), np.uint8)}
    figure = embedding.embedding(values, np.array([1e-3]), ["a", "b", "c"], thumbnails)
    assert len(figure.panels) == 1
    assert "clean partners" in figure.caption
