"""The folder of a study is read as it was written, or refused."""

import numpy as np
import pytest

from featdiff.errors import UserError
from featdiff.mixture import folder
from featdiff.settings.mixture import Bridge

TABLES = {"one": "a,b\n1,x\n", "two": "c\n0.25\n"}


@pytest.fixture
def written(tmp_path):
    folder.write(tmp_path, "study", "kind", Bridge(), summary={"n": 3}, arrays={"x": np.arange(4)}, tables=TABLES)
    return tmp_path


def read(where):
    return folder.read(where, "study", "kind", tuple(TABLES), command="featdiff study")


def test_what_was_written_is_read(written):
    found = read(written)
    assert found.summary == {"n": 3} and found.arrays["x"].tolist() == [0, 1, 2, 3]
    assert found.tables["one"].to_dict("list") == {"a": [1], "b": ["x"]} and found.tables["two"]["c"].tolist() == [0.25]


def test_a_table_that_was_changed_or_taken_away_is_refused_by_name(written):
    (written / "one.csv").write_text("a,b\n2,x\n")
    with pytest.raises(UserError, match=r"one\.csv: damaged .*not what study\.json says"):
        read(written)
    (written / "one.csv").unlink()
    with pytest.raises(UserError, match=r"one\.csv: no such file.*run 'featdiff study' again"):
        read(written)
