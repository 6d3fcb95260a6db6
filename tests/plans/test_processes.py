"""How many processes train a model is a resource: the rule launches them, and nothing is stale when their number
changes."""

import pytest

MODEL = "results/models/mixture/checkpoint.safetensors"


@pytest.mark.slow
def test_the_rule_trains_with_two_processes_and_their_number_makes_nothing_stale(small, tmp_path):
    project = small.copy(tmp_path / "clone")
    done = project.snakemake("--set-resources", "train:processes=2", "--printshellcmds", "--", MODEL)
    assert "--processes 2 --nodes 1" in done.stdout + done.stderr
    log = (project.root / "results/logs/train/mixture.log").read_text()
    assert "loss=" in log
    done = project.snakemake("--dry-run", "--", MODEL)
    assert "Nothing to be done" in done.stdout + done.stderr
