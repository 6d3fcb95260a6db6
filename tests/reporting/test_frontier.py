"""Confidence-diversity curves: which samplings are a family, and their numbers, against synthetic quality tables."""

import numpy as np
import pandas as pd
import pytest
from lxml import html

from featdiff.reporting import frontier, templates
from featdiff.settings.base import parse
from featdiff.settings.sampling import Sampling

STRENGTHS = {"feature": (1.0, 2.0, 4.0), "classifier-free": (1.0, 3.0)}


def sampling(kind: str, strength: float | None = None, **changed) -> Sampling:
    told = {"kind": kind} | ({} if strength is None else {"strength": strength}) | changed.pop("guidance", {})
    values = {"model": kind, "guidance": told, "sampler": {"kind": "ddpm", "steps": 4}, "images": 8, **changed}
    return parse(Sampling, values, "test")


def samplings() -> dict[str, Sampling]:
    rows = {f"{kind}-{s:g}": sampling(kind, s) for kind, strengths in STRENGTHS.items() for s in strengths}
    rows["plain"] = sampling("none")
    rows["limited"] = sampling("feature", 4.0, guidance={"interval": [0.2, 2.0]})
    rows["feature-4-again"] = sampling("feature", 4.0, shards=3)
    return rows


def quality() -> pd.DataFrame:
    """Two classes, 'a' and 'b'; accuracy rises and recall falls with the strength."""
    rows = []
    strengths = {name: row.guidance.strength for name, row in samplings().items() if row.guidance.kind != "none"}
    for name, strength in {**strengths, "real-d": 0.0, "plain": 0.0}.items():
        for label, shift in (("a", 0.0), ("b", 0.02), ("all", 5.0)):
            if name != "plain":
                rows.append([name, label, "class_accuracy", 0.8 + strength / 50 + shift, None, 100])
            rows.append([name, label, "recall", 0.6 - strength / 20 + shift, 0.03, 100])
            rows.append([name, label, "vendi", 9 - strength + shift, 0.4, 100])
        rows.append([name, "all", "network_evaluations", 40 if strength < 3 else 80, None, 100])
    return pd.DataFrame(rows, columns=["samples", "class", "measure", "value", "spread", "count"])


def test_families_differ_in_strength_alone():
    found = {family.title: family.members for family in frontier.families(samplings())}
    assert found == {
        "feature guidance": {1.0: "feature-1", 2.0: "feature-2", 4.0: "feature-4"},
        "classifier-free guidance": {1.0: "classifier-free-1", 3.0: "classifier-free-3"},
        "feature guidance at σ 0.2 to 2": {4.0: "limited"},
    }


def test_families_of_one_kind_are_told_apart_by_what_differs():
    rows = {
        "one": sampling("feature", 1.0),
        "two": sampling("feature", 1.0, model="other"),
        "three": sampling("feature", 1.0, sampler={"kind": "heun", "steps": 8}),
        "auto": sampling("autoguidance", 2.0, guidance={"weak": "small"}, model="big"),
    }
    titles = [family.title for family in frontier.families(rows)]
    assert len(set(titles)) == 4 and "autoguidance of big by small" in titles
    assert any("heun" in title for title in titles) and any("model other" in title for title in titles)


def test_means_over_classes_and_their_errors_are_known():
    table = frontier.frontier(quality(), frontier.families(samplings()))
    row = table[table["samples"] == "feature-2"].set_index("measure")
    assert row.loc["class_accuracy", "value"] == pytest.approx(0.85)
    variances = [p * (1 - p) / 100 for p in (0.84, 0.86)]
    assert row.loc["class_accuracy", "spread"] == pytest.approx(np.sqrt(sum(variances)) / 2)
    assert row.loc["recall", "value"] == pytest.approx(0.51)
    assert row.loc["recall", "spread"] == pytest.approx(0.03 / np.sqrt(2))
    assert row.loc["network_evaluations", "value"] == 40
    assert list(table.columns) == frontier.COLUMNS and not table.duplicated(["samples", "measure"]).any()


def test_curves_have_a_line_a_family_with_its_strengths_and_the_real_images():
    table = frontier.frontier(quality(), frontier.families(samplings()))
    figure = frontier.curves(table, frontier.real_images(quality(), "real-d"))
    assert figure is not None and len(figure.panels) == 2
    words = html.fromstring(str(figure.panels[0].markup)).xpath("//*[local-name()='text']/text()")
    for label in ("feature guidance", "classifier-free guidance", "feature guidance at σ 0.2 to 2", "real test images"):
        assert words.count(label) == 1
    assert words.count("4") == 2 and words.count("3") == 1  # the strengths beside their marks
    numbers = html.fromstring(templates.render("body.html", parts=[frontier.numbers(table, "FD")]))
    assert numbers.xpath("//th[@scope='rowgroup']//text()") == [f.title for f in frontier.families(samplings())]
    assert numbers.xpath("//tbody[2]//th[@scope='row']/text()") == ["1", "3"]


def test_without_two_strengths_of_one_family_there_is_no_figure():
    rows = {name: row for name, row in samplings().items() if name in ("feature-1", "classifier-free-3", "plain")}
    table = frontier.frontier(quality(), frontier.families(rows))
    assert frontier.curves(table, frontier.real_images(quality(), "real-d")) is None
    nothing = frontier.frontier(quality(), [])
    assert frontier.curves(nothing, frontier.real_images(quality(), "real-d")) is None


def test_missing_measures_and_sets_are_left_out():
    some = quality()
    some = some[(some["measure"] != "vendi") & (some["samples"] != "feature-2")]
    table = frontier.frontier(some, frontier.families(samplings()))
    figure = frontier.curves(table, frontier.real_images(some, "real-e"))
    assert figure is not None and len(figure.panels) == 1
    assert "feature-2" not in set(table["samples"])
