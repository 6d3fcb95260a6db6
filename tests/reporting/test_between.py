"""The part of the report about images between classes: what it shows is what the files hold."""

import numpy as np
import pandas as pd
import pytest

from featdiff import artifacts
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.reporting import between
from featdiff.settings.sampling import Between, BetweenSpec, Sampling

SHARES = (-0.5, 0.0, 1.0)
NAMES = ("<b>brick", 'gräss "&')


@pytest.fixture
def files(tmp_path):
    line = Between(sampling="s", first=NAMES[0], second=NAMES[1], shares=SHARES, images=2)
    row = {"model": "m", "guidance": {"kind": "feature"}, "sampler": {"kind": "ddpm"}, "images": 2}
    spec = BetweenSpec(between=line, sampling=Sampling.model_validate(row))
    index = [(f"{k}/{n}.png", "between", k, f"{a:g}", a, n) for k, a in enumerate(SHARES) for n in range(2)]
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 5, 5, 1), np.uint8) * 40
    table = pd.DataFrame(index, columns=[*archive.COLUMNS, "share", "index"])
    archive.write(tmp_path / "images.zip", images, table, artifacts.manifest("between", spec))
    rows = [
        {"images": "samples", "share": a, "class": name, "frechet": 100.0 + 10 * i + a, "spread": 1.5}
        for a in SHARES
        for i, name in enumerate(NAMES)
    ]
    rows += [
        {"images": real, "share": None, "class": name, "frechet": 61.5 if real == name else 400.0, "spread": 2.0}
        for real in NAMES
        for name in NAMES
    ]
    rows = [{**row, "probability": 0.25, "taken": 0.2, "count": 24} for row in rows]
    payload = {
        "first": NAMES[0],
        "second": NAMES[1],
        "distance": "Lite0 Frechet distance",
        "protocol": "p",
        "rows": rows,
    }
    made = artifacts.manifest("between-measures", {}, {"images": tmp_path / "images.zip"})
    artifacts.write_json(tmp_path / "measures.json", payload, made)
    return tmp_path / "images.zip", tmp_path / "measures.json"


def test_the_strip_has_a_row_a_noise_and_a_column_a_share(files):
    images = archive.read(files[0], "between").images.reshape(3, 2, 5, 5, 1)
    found = between.sheet(images)
    assert found.shape == (11, 17, 4)
    assert found[0, 0, 0] == 0 and found[6, 0, 0] == 40 and found[0, 6, 0] == 80 and found[6, 12, 0] == 200
    assert found[5, 0, 3] == found[0, 5, 3] == 0


def test_the_numbers_are_those_of_the_file_and_names_do_not_break_the_page(files):
    body = str(between.section(*files).body)
    assert "<b>" not in body and "&lt;b&gt;brick" in body
    assert "−0.50" in body and "99.5" in body and "61.5" in body and "0.250" in body
    assert body.count("<svg") == 2 and "Protocol: p." in body


def test_measures_of_other_images_are_refused(files, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    images = archive.read(files[0], "between")
    archive.write(other / "images.zip", images.images[::-1].copy(), images.index, images.made.unsealed())
    with pytest.raises(UserError, match="measures of other images"):
        between.section(other / "images.zip", files[1])
