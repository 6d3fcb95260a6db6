"""Both engines call the same stages stale, whatever was changed: a setting, a source, a rule, a raw image, a result.

A few changes of each kind here; all of them by ``pytest -m exhaustive`` or ``python benchmarks/agreement.py``.
"""

import pytest

from benchmarks.agreement import ask, changes, need_settled, summary

pytestmark = pytest.mark.slow
SOME = {
    "trainings.preview.learning_rate": "train-guided",
    "samplings.guided.sampler.kind": "gather-guided",
    "models.mixture.condition": "centroids-mixture",  # a stage that was not there
    "featdiff/evaluation/kernel.py": "evaluate-guided",
    "featdiff/ledger.py": None,
    "featdiff/training/loop.py commented": None,
    "workflow/rules/sample.smk": "gather-mixture",
    "photographs/brick/new-textures.png added": "prepare-textures",
    "results/models/guided/centroids.npz deleted": "centroids-guided",
}


@pytest.fixture(scope="module")
def settled(recorded, tmp_path_factory):
    project = recorded.copy(tmp_path_factory.mktemp("agreement") / "clone")
    need_settled(project.root)
    return project


def test_a_few_changes_of_each_kind_make_the_same_stages_stale_in_both_engines(settled):
    chosen = [change for change in changes(settled.root) if change.name in SOME]
    assert {change.name for change in chosen} == set(SOME)
    for change in chosen:
        answer = ask(settled.root, change)
        assert answer.agree, str(answer)
        first = SOME[change.name]
        assert (first in answer.snakemake) if first else not answer.snakemake, str(answer)
    assert settled.dvc_status() == {}


@pytest.mark.exhaustive
def test_every_change_makes_the_same_stages_stale_in_both_engines(settled):
    found = summary([ask(settled.root, change) for change in changes(settled.root)])
    assert found["disagree"] == []
    assert found["of"] > 200
