"""The report's figures of soft diffusion: what they show is what the files hold."""

import re

import pandas as pd
import pytest
import yaml

from featdiff import artifacts
from featdiff.reporting import soft
from featdiff.sampling import corrupted
from featdiff.settings.base import parse
from featdiff.settings.corruption import LevelsSpec
from featdiff.settings.project import Params


@pytest.fixture(scope="module")
def files(tiny_dataset, tmp_path_factory):
    choice = {"candidates": 64, "nodes": 8, "images": 64, "projections": 16}
    found = {}
    for name, corruption in {"blur": {"kind": "blur", "width": {"high": 3.0}}, "mask": {"kind": "mask"}}.items():
        found[name] = tmp_path_factory.mktemp("levels") / f"{name}.npz"
        spec = LevelsSpec.model_validate({"corruption": corruption, "levels": choice})
        corrupted.extract(spec, tiny_dataset, found[name])
    return found


@pytest.fixture(scope="module")
def settings():
    with open("params.yaml", encoding="utf-8") as stream:
        values = yaml.safe_load(stream)
    with open("workflow/presets/soft.yaml", encoding="utf-8") as stream:
        for table, rows in yaml.safe_load(stream).items():
            values[table] = {**values.get(table, {}), **rows}
    return parse(Params, values, "soft")


def quality(settings):
    """A distance of 1000 over the steps for each soft sampling, and a spread left out as the tables do."""
    rows = [
        {
            "samples": name,
            "class": "all",
            "measure": "frechet",
            "value": 1000 / row.sampler.steps,
            "spread": float("nan"),
        }
        for name, row in settings.samplings.items()
        if hasattr(row.sampler, "steps")
    ]
    return pd.DataFrame(rows)


def test_the_hops_of_chosen_levels_are_the_most_even(files):
    for path in files.values():
        arrays, _ = artifacts.read_arrays(path, "levels")
        largest = dict(zip(arrays["spacings"].tolist(), arrays["hops"].max(1), strict=True))
        assert largest["chosen"] <= arrays["eps"] * 1.0001
        assert largest["chosen"] == min(largest.values())
        assert arrays["strengths"].shape == (4, 8) and (arrays["strengths"][:, 0] < arrays["strengths"][:, -1]).all()


def test_each_corruption_has_its_levels_and_each_sampler_its_line(files, settings):
    figures = soft.figures(settings, files, quality(settings), "Lite0 Frechet distance")
    assert [f.name for f in figures] == ["levels-blur", "levels-mask", "evaluations"]
    text = figures[-1].panels[0].markup
    for label in ("soft-blur, momentum, chosen", "soft-blur, naive, chosen", "soft-noise, momentum, logarithmic"):
        assert label in text
    assert "guided" not in text and "soft-blur-label" not in text
    assert "blur width (pixels)" in figures[0].panels[0].markup
    assert "through 64 candidates" in figures[0].caption


def test_without_measured_samples_there_is_no_line_and_the_same_files_draw_the_same(files, settings):
    none = quality(settings).iloc[:0]
    one, two = (soft.figures(settings, files, none, "distance") for _ in range(2))
    assert [f.name for f in one] == ["levels-blur", "levels-mask"]
    assert [p.markup for f in one for p in f.panels] == [p.markup for f in two for p in f.panels]
    assert not re.search(r"nan", one[0].panels[1].markup.split("<g")[2])


def test_the_page_has_a_section_of_soft_diffusion_where_there_are_levels(files, run, write, tmp_path):
    page = write(run, tmp_path / "report.html", levels=files).read_text()
    assert '<section id="sec-soft"><h2>Soft diffusion</h2>' in page and 'id="levels-mask"' in page
    assert "sec-soft" not in write(run, tmp_path / "plain.html").read_text()
