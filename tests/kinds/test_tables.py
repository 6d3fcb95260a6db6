"""Each kind of thing stands in one table, with a name, a label and a line; the docs list them; settings know no
others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from featdiff import extending
from featdiff.evaluation.measure import evaluate
from featdiff.kinds.measures import MEASURES
from featdiff.settings.project import schema

THINGS = [(table, name) for table in extending.TABLES for name in table]
PAGE = Path(__file__).parents[2] / "docs/reference/kinds.md"


@pytest.mark.parametrize(("table", "name"), THINGS, ids=[f"{table.what}-{name}" for table, name in THINGS])
def test_each_has_a_name_a_label_a_line_of_its_own_and_what_its_base_asks_for(table, name):
    thing = table[name]
    assert thing.called() == name and thing.label and vars(thing)["__doc__"]
    assert table.line(name).endswith(".") and "\n" not in table.line(name)
    for asked, value in vars(table.base).items():
        if callable(value) and not asked.startswith("_") and "raise NotImplementedError" in _source(value):
            assert getattr(thing, asked) is not value, f"{name} has no {asked}"


def _source(function) -> str:
    import inspect

    return inspect.getsource(function)


def test_labels_are_told_apart_within_a_table():
    for table in extending.TABLES:
        labels = [table.label(name) for name in table]
        assert len(set(labels)) == len(labels)


def test_the_page_lists_them_all_as_the_command_prints_them():
    assert PAGE.read_text(encoding="utf-8").endswith(extending.listing()), "run python docs/reference.py"


def test_the_schema_has_every_kind_that_settings_choose():
    text = json.dumps(json.loads(schema())["$defs"])
    for table, name in THINGS:
        if table is not MEASURES:
            assert f'"const": {json.dumps(name)}' in text


def test_settings_and_tables_are_read_without_torch():
    code = (
        "import sys, featdiff.extending, featdiff.settings.project; assert not {'torch', "
        "'scipy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_an_evaluation_writes_are_measures_of_the_table(tiny_dataset):
    import numpy as np

    from featdiff.data import archive
    from featdiff.evaluation.embedding import Features
    from featdiff.evaluation.selection import embedded_rows
    from featdiff.settings.evaluation import Evaluation

    settings = Evaluation(images=12, neighbours=3, kid_subsets=2, kid_subset_size=8, classifier_images=16)
    data = archive.read(tiny_dataset, "dataset")
    rows = embedded_rows(settings, data.index)
    values = np.random.default_rng(0).normal(size=(len(rows), 8)).astype(np.float32)
    found = {row["measure"] for row in evaluate(settings, data, Features(values, rows))}
    assert found == set(MEASURES) - {"class_share", "network_evaluations"}  # of samples
