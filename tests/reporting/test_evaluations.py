"""Quality against cost: only samplings that differ in their sampler alone stand in one figure, at what they truly
cost."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from featdiff.kinds.samplers import SAMPLERS
from featdiff.reporting import evaluations
from featdiff.settings.base import parse
from featdiff.settings.project import Params

PRESET = yaml.safe_load(Path("workflow/presets/evaluations.yaml").read_text(encoding="utf-8"))["samplings"]
USED = {"ddpm"} | {row["sampler"]["kind"] for row in PRESET.values() if "sampler" in row}
LABELS = [kind.label for name, kind in SAMPLERS.items() if name in USED]


@pytest.fixture(scope="module")
def settings():
    with open("params.yaml", encoding="utf-8") as stream:
        values = yaml.safe_load(stream)
    with open("workflow/presets/evaluations.yaml", encoding="utf-8") as stream:
        values["samplings"] |= yaml.safe_load(stream)["samplings"]
    return parse(Params, values, "evaluations")


def table(settings, cost=lambda sampler: getattr(sampler, "steps", 33)):
    rows = []
    for name, row in settings.samplings.items():
        own = {"frechet": 1000 / cost(row.sampler), "recall": 0.5, "class_accuracy": 0.9}
        for c in ("brick", "grass"):
            rows += [(name, c, m, v + (c == "grass"), 4.0 if m == "frechet" else None, 100) for m, v in own.items()]
        rows.append((name, "all", "network_evaluations", cost(row.sampler), None, 100))
    return pd.DataFrame(rows, columns=["samples", "class", "measure", "value", "spread", "count"])


def test_every_sampling_of_the_preset_takes_part_and_other_strengths_and_models_do_not(settings):
    found = evaluations.points(table(settings), settings.samplings, "guided")
    assert len(found) == len(settings.samplings) - 2  # all but guided-strong and mixture
    assert [p.sampler for p in found] == sorted((p.sampler for p in found), key=list(SAMPLERS).index)
    ddpm = [p for p in found if p.sampler == "ddpm"]
    assert [p.evaluations for p in ddpm] == [5, 10, 25, 40, 100, 500]
    assert ddpm[0].values["frechet"] == pytest.approx((200.5, 8**0.5 * 2 / 2))


def test_the_figure_has_a_line_a_sampler_and_the_table_a_row_a_cost(settings):
    found = evaluations.points(table(settings), settings.samplings, "guided")
    drawn = evaluations.figure(found, {"frechet": (60.0, 1.0)}, "Lite0 Frechet distance")
    assert len(drawn.panels) == 3
    for words in (*LABELS, "real test images"):
        assert words in str(drawn.panels[0].markup)
    groups = evaluations.numbers(found, "Lite0 Frechet distance").groups
    assert [g.heading for g in groups] == LABELS
    assert [r.heading for r in groups[0].rows] == ["5", "10", "25", "40", "100", "500"]


def test_one_cost_a_sampler_is_no_figure(settings):
    found = evaluations.points(table(settings), {"guided": settings.samplings["guided"]}, "guided")
    assert len(found) == 1 and evaluations.figure(found, {}, "d") is None
