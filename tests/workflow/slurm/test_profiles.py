"""What the cluster profiles and their two commands say, without a cluster."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from featdiff.locks import FOLDER, RUNS, Lock

ROOT = Path(__file__).resolve().parents[3]
CLUSTERS = {"slurm": "slurm_partition", "generic": "partition"}


def profile(name):
    return yaml.safe_load((ROOT / f"workflow/profiles/{name}/config.yaml").read_text())


def on_gpu(name):
    return {rule for rule, asked in profile(name)["set-resources"].items() if asked.get("gpu")}


COMPUTE = {"train", "centroids", "denoise", "distances", "sample-shard", "between", "between-measures", "embed"}


def test_every_rule_whose_command_runs_a_network_asks_for_a_gpu():
    text = "\n".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    commands = re.findall(r'^rule (\w+):.*?"featdiff ([\w-]+)', text, flags=re.M | re.S)
    assert {rule for rule, command in commands if command in COMPUTE} == on_gpu("gpu")


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_uses_a_gpu_for_the_same_rules_as_one_machine_with_a_gpu(name):
    assert on_gpu(name) == on_gpu("gpu")


@pytest.mark.parametrize("name", CLUSTERS)
def test_rules_that_share_a_job_share_its_partition(name):
    rows, key = profile(name), CLUSTERS[name]
    asked = {rule: {**rows["default-resources"], **rows["set-resources"].get(rule, {})} for rule in rows["groups"]}
    for group in set(rows["groups"].values()):
        assert len({asked[rule][key] for rule, its in rows["groups"].items() if its == group}) == 1, group


def test_rules_that_share_a_slurm_job_take_turns_as_they_really_do():
    rows = profile("slurm")
    assert all(rows["set-resources"][rule].get("turn") == 1 for rule in rows["groups"])
    assert rows["resources"] == {"turn": 1}
    assert rows["set-resource-scopes"] == {"turn": "local"}


def test_leftovers_touch_nothing_while_a_run_is_alive_in_the_folder(tmp_path):
    run = Lock(tmp_path / FOLDER / RUNS)
    assert run.take(shared=True)
    done = command("workflow.leftovers", cwd=tmp_path)
    run.release()
    assert done.returncode == 2
    assert "a run is alive" in done.stderr


def test_one_host_says_what_to_install_where_slurm_is_missing(tmp_path):
    done = command("tests.slurm.onehost", "start", str(tmp_path / "slurm"), cwd=tmp_path, path=str(tmp_path))
    assert done.returncode == 2
    assert "apt-get install slurmctld" in done.stderr
    assert "Traceback" not in done.stderr


def command(module, *arguments, cwd, path=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({"PATH": path} if path else {})}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
