"""Images between two classes are measured against both: where they truly lie between, the numbers say so."""

import numpy as np
import pandas as pd
import pytest

from featdiff import artifacts
from featdiff.data import archive
from featdiff.errors import UserError
from featdiff.evaluation import between, embedding
from featdiff.evaluation.measure import evaluate
from featdiff.settings.sampling import Between, BetweenSpec, Sampling

SHARES = (0.0, 0.5, 1.0)


def drawn(folder, patches, second="grass"):
    """Patches of brick, half brick and half grass side by side, and grass, as if a model had drawn them."""
    brick, grass = patches("brick", "test", 26, seed=1), patches("grass", "test", 26, seed=1)
    half = np.where(np.arange(24)[None, None, :, None] < 12, brick, grass)
    images = np.concatenate([brick, half, grass])
    line = Between(sampling="s", first="brick", second=second, shares=SHARES, images=26)
    row = {"model": "m", "guidance": {"kind": "feature"}, "sampler": {"kind": "ddpm"}, "images": 26}
    spec = BetweenSpec(between=line, sampling=Sampling.model_validate(row))
    index = pd.DataFrame(
        [(f"{k}/{n}.png", "between", k, f"{a:g}", a, n) for k, a in enumerate(SHARES) for n in range(26)],
        columns=[*archive.COLUMNS, "share", "index"],
    )
    archive.write(folder / "images.zip", images, index, artifacts.manifest("between", spec))
    return folder / "images.zip"


@pytest.fixture(scope="module")
def rows(settings, folder, patches, tmp_path_factory):
    where = tmp_path_factory.mktemp("between")
    out = where / "measures.json"
    between.measure_to(settings, drawn(where, patches), folder / "dataset.zip", folder / "dataset.npz", out)
    found = artifacts.read_json(out, "between-measures")[0]
    assert (found["first"], found["second"], found["distance"]) == ("brick", "grass", "Lite0 Frechet distance")
    return {(row["images"], row["share"], row["class"]): row for row in found["rows"]}


def test_distance_and_probability_go_from_one_class_to_the_other(rows):
    to = {name: [rows["samples", a, name] for a in SHARES] for name in ("brick", "grass")}
    assert to["brick"][0]["frechet"] < to["brick"][1]["frechet"] < to["brick"][2]["frechet"]
    assert to["grass"][0]["frechet"] > to["grass"][1]["frechet"] > to["grass"][2]["frechet"]
    assert to["brick"][0]["probability"] > 0.9 and to["grass"][2]["probability"] > 0.9
    assert to["brick"][0]["taken"] > 0.9 and to["grass"][2]["taken"] > 0.9 and to["grass"][0]["taken"] < 0.1
    assert all(row["count"] == 24 and row["spread"] >= 0 for row in rows.values())


def test_real_test_images_stand_beside_and_are_near_their_own_class(rows):
    for name, other in (("brick", "grass"), ("grass", "brick")):
        assert rows[name, None, name]["frechet"] < rows[name, None, other]["frechet"]
        assert rows[name, None, name]["taken"] == 1


def test_the_distance_of_real_images_is_that_of_the_floor(rows, settings, folder):
    """Both draw 24 training images of the class; of the test images each draws 24 of its own."""
    data = archive.read(folder / "dataset.zip", "dataset")
    known = embedding.read(settings, folder / "dataset.npz", folder / "dataset.zip", "dataset")
    floor = {(r["class"], r["measure"]): r["value"] for r in evaluate(settings, data, known)}
    for name in ("brick", "grass"):
        assert rows[name, None, name]["frechet"] == pytest.approx(floor[name, "frechet"], rel=0.15)


def test_classes_of_another_data_set_are_refused(settings, folder, patches, tmp_path):
    images = drawn(tmp_path, patches, second="sand")
    with pytest.raises(UserError, match=r"has no class 'sand'; classes: brick, grass, gravel"):
        between.measure_to(settings, images, folder / "dataset.zip", folder / "dataset.npz", tmp_path / "out.json")
