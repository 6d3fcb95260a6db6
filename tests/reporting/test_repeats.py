"""The part of the report about repeated trainings: its numbers are the table's, its curves have bars over trainings."""

import pandas as pd
import pytest
from lxml import html

from featdiff.errors import UserError
from featdiff.evaluation.repeats import CLASSES, over_trainings
from featdiff.reporting import repeats
from featdiff.settings.base import parse
from featdiff.settings.project import Params

TRAININGS = (0.5, 0.6, 0.7)  # mean .6, deviation .1


@pytest.fixture
def settings(run):
    values = run.settings.model_dump(mode="json")
    strong = {**values["samplings"]["guided"], "guidance": {"kind": "feature", "strength": 2.0}}
    values["samplings"]["strong"] = strong
    values["repeats"] = {"seeds": [1, 2], "rows": ["guided", "strong", "mixture"]}
    return parse(Params, values, "test")


@pytest.fixture
def table(tmp_path):
    rows = []
    for value in TRAININGS:
        for name in ("guided", "strong", "mixture"):
            row = {"part": "quality", "name": name, "class": CLASSES}
            rows += [{**row, "measure": m, "value": value} for m in ("class_accuracy", "recall", "vendi", "frechet")]
        for sigma in (0.1, 1.0):
            row = {"part": "denoising", "name": "guided", "class": CLASSES, "sigma": sigma}
            rows.append({**row, "measure": "psnr_right", "value": 30 + value})
        rows.append({"part": "distances", "name": "guided", "measure": "A", "value": value})
    over_trainings(pd.DataFrame(rows)).to_csv(tmp_path / "repeats.csv", index=False)
    return tmp_path / "repeats.csv"


def test_the_section_has_curves_and_tables_with_spreads_over_trainings(run, settings, table):
    found = repeats.section(settings, table, run.quality)
    page = html.fromstring(f"<div>{found.body}</div>")
    assert page.xpath("//table/@id") == ["repeats-quality", "repeats-psnr", "repeats-distances"]
    assert page.xpath("//table[@id='repeats-quality']//tbody//th/text()") == ["guided", "strong", "mixture"]
    cells = [
        " ".join(cell.text_content().split()) for cell in page.xpath("//table[@id='repeats-quality']//tbody/tr[1]/td")
    ]
    assert cells == ["3", "0.6 ± 0.1", "0.60 ± 0.10", "0.6 ± 0.1", "0.600 ± 0.100"]
    assert "30.60 ± 0.10" in " ".join(page.xpath("//table[@id='repeats-psnr']")[0].text_content().split())
    assert len(page.xpath("//figure[@id='repeats-frontier']//div[@class='panel']")) == 2
    assert "deviations over trainings with other seeds" in page.xpath("//figcaption")[0].text_content()


def test_the_page_without_the_copies_is_that_of_the_rows_with_one_section_more(run, settings, table, write, tmp_path):
    section = repeats.section(settings, table, run.quality)
    page = write(run, tmp_path / "page.html", settings=settings, sections=[section]).read_text()
    assert "guided-seed-1" not in page and "How far trainings differ" in page


def test_another_table_is_refused(run, settings):
    with pytest.raises(UserError, match="not a table of repeats, it has no columns"):
        repeats.section(settings, run.quality, run.quality)
