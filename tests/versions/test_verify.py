"""Artifacts re-hashed: whole ones pass; a damaged, missing, exchanged or lying one is named with what is wrong."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from featdiff import artifacts
from featdiff.versions.verify import verify

DATA, TABLE, RATING = (
    "results/data/textures/dataset.zip",
    "results/models/guided/centroids.npz",
    "results/evaluation/guided.json",
)
RAW = "photographs/brick/brick.png"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Three artifacts, each made from the one before, the first from a folder; with dvc.yaml and dvc.lock."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()
    (tmp_path / RAW).parent.mkdir(parents=True)
    (tmp_path / RAW).write_bytes(b"a photograph")
    make_dataset({"brick/brick.png": RAW})
    made = artifacts.manifest("centroids", {}, {"dataset": DATA})
    artifacts.write_arrays(TABLE, {"values": np.arange(6.0)}, made)
    artifacts.write_json(
        RATING, {"rows": [1, 2]}, artifacts.manifest("evaluation", {}, {"data": DATA, "samples": TABLE})
    )
    stages = {
        "prepare": {"deps": ["photographs", "featdiff/x.py"], "outs": [{DATA: {"persist": True}}]},
        "centroids": {"deps": [DATA], "outs": [{TABLE: {"persist": True}}]},
        "evaluate": {"deps": [DATA, TABLE], "metrics": [{RATING: {"cache": False}}]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    record()
    return tmp_path


def make_dataset(inputs, members=None):
    made = artifacts.manifest("dataset", {}, inputs)
    artifacts.write_zip(DATA, members or {"index.csv": b"path\n"}, made)


def record():
    """Write dvc.lock as DVC would for the files that lie there."""
    outs = [{"path": path, "md5": hashlib.md5(Path(path).read_bytes()).hexdigest()} for path in (DATA, TABLE, RATING)]
    text = yaml.safe_dump({"stages": {f"stage{i}": {"outs": [out]} for i, out in enumerate(outs)}})
    Path("dvc.lock").write_text(text)


def wrong():
    return {verdict.path: " ".join(verdict.wrong) for verdict in verify() if verdict.wrong}


def test_whole_artifacts_pass_and_say_what_they_are(project):
    verdicts = verify()
    assert wrong() == {}
    assert [v.path for v in verdicts] == [DATA, TABLE, RATING]
    assert str(verdicts[2]) == f"ok     {RATING}  (evaluation, 2 inputs, as recorded)"


def test_a_single_flipped_bit_anywhere_is_found(project):
    content = bytearray((project / TABLE).read_bytes())
    for place in range(0, len(content), 97):
        content[place] ^= 1
        (project / TABLE).write_bytes(content)
        assert TABLE in wrong(), place
        content[place] ^= 1


def test_a_missing_file_is_named(project):
    (project / TABLE).unlink()
    assert "no such file" in wrong()[TABLE]


def test_a_manifest_that_names_other_inputs_than_those_beside_it_is_found_even_when_recorded(project):
    lie = artifacts.manifest("centroids", {}, {}).model_copy(update={"inputs": {"dataset": "0" * 64}})
    artifacts.write_arrays(TABLE, {"values": np.arange(6.0)}, lie)
    artifacts.write_json(
        RATING, {"rows": [1, 2]}, artifacts.manifest("evaluation", {}, {"data": DATA, "samples": TABLE})
    )
    record()
    assert set(wrong()) == {TABLE}
    assert "made from 'dataset' 000000000000..." in wrong()[TABLE]
    assert f"does not name its input {DATA}" in wrong()[TABLE]


def test_an_input_exchanged_for_another_whole_one_is_found_in_what_was_made_from_it(project):
    make_dataset({"brick/brick.png": RAW}, {"index.csv": b"path,label\n"})
    record()
    assert set(wrong()) == {TABLE, RATING}


def test_a_changed_raw_file_is_found(project):
    (project / RAW).write_bytes(b"another photograph")
    assert set(wrong()) == {DATA}
    assert "'brick/brick.png'" in wrong()[DATA]


def test_an_artifact_of_another_kind_under_this_name_is_found(project):
    made = artifacts.manifest("samples", {}, {"brick/brick.png": RAW})
    artifacts.write_zip(DATA, {"index.csv": b"path\n"}, made)
    assert "a dataset artifact was expected" in wrong()[DATA]


def test_a_newer_version_than_the_recorded_one_is_told(project):
    payload = json.loads((project / RATING).read_text())
    made = artifacts.Manifest.model_validate(payload.pop("manifest"))
    artifacts.write_json(RATING, {"rows": [3]}, made)
    assert wrong() == {
        RATING: "is not what dvc.lock records: 'featdiff ledger record' a new one, 'dvc checkout' the old one"
    }


def test_what_was_never_recorded_is_no_fault_but_said(project):
    (project / "dvc.lock").unlink()
    assert wrong() == {}
    assert all("not recorded" in verdict.what for verdict in verify())
