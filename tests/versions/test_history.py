"""Versions of an artifact, read from the commits of a small git repository with dvc.lock files as DVC writes them."""

import json
import subprocess

import pytest
import yaml

from featdiff.errors import UserError
from featdiff.versions import history, lock

SAMPLES = "results/samples/guided/samples.zip"


def lock_text(*, steps=4, images=640, data="d1", model="m1", samples="s1", code="c1"):
    stages = {
        "prepare": {
            "deps": [{"path": "featdiff/prepare.py", "md5": "p1"}, {"path": "photographs", "md5": f"raw-{data}.dir"}],
            "params": {"params.yaml": {"datasets.textures": {"seed": 0}}},
            "outs": [{"path": "results/data/dataset.zip", "md5": data}],
        },
        "train": {
            "deps": [{"path": "results/data/dataset.zip", "md5": data}],
            "params": {"params.yaml": {"trainings.preview": {"images": images}}},
            "outs": [{"path": "results/models/checkpoint.safetensors", "md5": model}],
        },
        "gather": {
            "deps": [
                {"path": "results/models/checkpoint.safetensors", "md5": model},
                {"path": "featdiff/samplers.py", "md5": code},
            ],
            "params": {"params.yaml": {"samplings.guided": {"sampler": {"steps": steps}}}},
            "outs": [{"path": SAMPLES, "md5": samples}],
        },
        "other": {
            "deps": [{"path": "featdiff/other.py", "md5": code}],
            "outs": [{"path": "results/other.json", "md5": code + samples}],
        },
    }
    return yaml.safe_dump({"schema": "2.0", "stages": stages})


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A function that commits a dvc.lock with a Frechet distance beside it, in a folder inside a git repository."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    root = tmp_path / "project"
    (root / "results").mkdir(parents=True)
    monkeypatch.chdir(root)

    def commit(text, frechet, message):
        (root / "dvc.lock").write_text(text)
        rows = {"frechet": frechet, "class_accuracy": 0.5}
        metrics = {"quality": {"guided": {"all": rows, "brick": rows}, "mixture": {"all": rows}}}
        (root / "results/metrics.json").write_text(json.dumps(metrics))
        subprocess.run(["git", "add", "--all"], check=True)
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, "commit", "--quiet", "--message", message], check=True)

    return commit


def test_each_version_says_what_differs_from_the_one_before_and_what_was_measured(repository):
    repository(lock_text(), 100.0, "first")
    repository(lock_text(steps=8, samples="s2"), 90.0, "more steps")
    repository(lock_text(steps=8, images=1280, model="m2", samples="s3"), 80.0, "longer training")
    newest, middle, first = history.history(SAMPLES)
    assert [v.message for v in (first, middle, newest)] == ["first", "more steps", "longer training"]
    assert [v.digest for v in (first, middle, newest)] == ["s1", "s2", "s3"]
    assert middle.settings == {"samplings.guided.sampler.steps": (4, 8)}
    assert newest.settings == {"trainings.preview.images": (640, 1280)}
    assert [v.metrics["guided"]["frechet"] for v in (first, middle, newest)] == [100.0, 90.0, 80.0]
    assert set(newest.metrics) == {"guided"}


def test_changed_code_and_changed_data_are_versions_and_named(repository):
    repository(lock_text(), 1.0, "first")
    repository(lock_text(code="c2"), 1.0, "same samples by other code")
    repository(lock_text(code="c2", data="d2", model="m2", samples="s2"), 1.0, "other photographs")
    data, code, first = history.history(SAMPLES)
    assert code.files == ("featdiff/samplers.py",)
    assert code.digest == first.digest
    assert code.code != first.code
    assert code.data == first.data
    assert set(data.files) == {"photographs", "results/data/dataset.zip"}
    assert data.data != code.data


def test_a_commit_that_changes_nothing_for_the_artifact_is_no_version(repository):
    repository(lock_text(), 1.0, "first")
    repository(lock_text(steps=8, samples="s2"), 1.0, "samples only")
    checkpoints = history.history("results/models/checkpoint.safetensors")
    assert [v.message for v in checkpoints] == ["first"]


def test_what_is_recorded_and_not_committed_comes_first(repository, tmp_path):
    repository(lock_text(), 1.0, "first")
    (tmp_path / "project/dvc.lock").write_text(lock_text(steps=9, samples="s2"))
    now, first = history.history(str(tmp_path / "project" / SAMPLES))
    assert (now.commit, now.message) == ("", history.NOW)
    assert now.settings == {"samplings.guided.sampler.steps": (4, 9)}
    text = history.as_text(SAMPLES, [now, first])
    assert "samplings.guided.sampler.steps: 4 -> 9" in text
    assert "guided: frechet 1, class_accuracy 0.5" in text
    assert json.loads(history.as_json(SAMPLES, [now, first]))["versions"][0]["digest"] == "s2"


def test_an_unknown_artifact_is_refused_with_the_names_of_those_known(repository):
    repository(lock_text(), 1.0, "first")
    with pytest.raises(UserError, match=r"results/nothing\.zip: no commit's dvc\.lock names it.*dataset\.zip"):
        history.history("results/nothing.zip")


def test_a_lock_with_conflict_marks_is_refused():
    with pytest.raises(UserError, match=r"dvc\.lock of a merge: not a dvc\.lock"):
        lock.parse("<<<<<<< HEAD\nstages: {}\n=======\n", "dvc.lock of a merge")


def test_settings_flatten_to_their_leaves_and_lists_stay_whole():
    values = {"a": {"b": 1, "c": [1, {"d": 2}]}, "e": {}, "f": None}
    assert dict(lock.flatten(values, "x")) == {"x.a.b": 1, "x.a.c": [1, {"d": 2}], "x.e": {}, "x.f": None}
