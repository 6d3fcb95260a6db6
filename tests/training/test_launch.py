"""What the launcher starts, and a run over two agents that meet as two nodes would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from featdiff.errors import UserError
from featdiff.training import launch

ROOT = Path(__file__).resolve().parents[2]
# Stands for srun: drops the options up to the program and runs it as often as --ntasks says, all at once.
SRUN = """#!/bin/sh
echo "$@" > "$SRUN_LOG"
for option; do
  case "$option" in
    --ntasks=*) count=${option#*=}; shift ;;
    --*) shift ;;
    *) break ;;
  esac
done
pids=
for _ in $(seq "$count"); do "$@" & pids="$pids $!"; done
status=0
for pid in $pids; do wait "$pid" || status=$?; done
exit $status
"""


def test_the_threads_of_the_job_are_shared_out_among_its_processes():
    shares = {("8", 4): "2", ("3", 2): "1", ("1", 4): "1", ("", 2): "1"}
    assert {k: launch.threads_each({"OMP_NUM_THREADS": k[0]}, k[1]) for k in shares} == shares
    assert launch.threads_each({}, 2) == "1"


def test_each_node_runs_one_agent_with_its_share_of_the_processes():
    environment = {"SLURM_JOB_ID": "17"}
    start = launch.srun(environment, 3)
    assert start[0] == "srun"
    assert {"--nodes=3", "--ntasks=3", "--ntasks-per-node=1", "--kill-on-bad-exit=1"} < set(start)
    meeting = launch.meeting(environment, 3, "first:4711")
    assert meeting == ["--nnodes=3", "--rdzv-backend=c10d", "--rdzv-id=17", "--rdzv-endpoint=first:4711"]
    assert launch.agent(["train", "--out", "a b"], 4)[-5:] == ["-m", "featdiff.cli", "train", "--out", "a b"]


def test_what_cannot_be_launched_says_why():
    with pytest.raises(UserError, match="5 processes can't be spread evenly over 2 nodes"):
        launch.launch(["train"], processes=5, nodes=2)
    with pytest.raises(UserError, match="this is no Slurm job"):
        launch.srun({}, 2)


@pytest.mark.slow
def test_two_agents_that_meet_as_two_nodes_train_what_one_process_trains(
    tiny_dataset, tiny_spec, tiny_checkpoint, tmp_path
):
    stand_in = tmp_path / "bin" / "srun"
    stand_in.parent.mkdir()
    stand_in.write_text(SRUN)
    stand_in.chmod(0o755)
    own = {"SLURM_JOB_ID": "17", "SRUN_LOG": str(tmp_path / "srun"), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    path = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    files = ["--data", tiny_dataset, "--out", tmp_path / "out.safetensors", "--state", tmp_path / "state"]
    command = ["train", "--settings", tiny_spec.model_dump_json(), *map(str, files), "--processes=2", "--nodes=2"]
    done = subprocess.run(
        [sys.executable, "-m", "featdiff.cli", *command],
        env={**os.environ, **own, **path},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--nodes=2" in (tmp_path / "srun").read_text()
    one, two = load_file(tiny_checkpoint), load_file(tmp_path / "out.safetensors")
    assert max(((one[n] - two[n]).abs().max() / one[n].abs().max().clamp_min(1e-6)).item() for n in one) < 1e-5
