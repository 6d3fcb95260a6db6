"""A device belongs to one process at a time, and to nobody as soon as that process is gone."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import torch

from featdiff.devices import claims, devices
from featdiff.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CLAIMANT = """
import sys, time
from featdiff.devices.claims import claim
names, count = sys.argv[1].split(","), int(sys.argv[2])
print(*claim(names, count), flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract Unix sockets are Linux's")


@pytest.fixture
def names():
    """Three devices that no other test knows."""
    return [f"{uuid.uuid4()}-{number}" for number in range(3)]


@pytest.fixture
def claimant(names):
    """Starts processes that claim and then sleep; ends them."""
    started = []

    def start(count: int = 1) -> subprocess.Popen:
        call = [sys.executable, "-c", CLAIMANT, ",".join(names), str(count)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def released(monkeypatch):
    """What this process claims in a test is free again after it."""
    monkeypatch.setattr(claims, "_held", [])
    yield
    for held in claims._held:
        held.close()
    devices.pick_device.cache_clear()


def claimed(process: subprocess.Popen) -> list[int]:
    return [int(index) for index in process.stdout.readline().split()]


def test_as_many_processes_as_devices_get_one_each(claimant):
    processes = [claimant() for _ in range(3)]
    assert sorted(index for process in processes for index in claimed(process)) == [0, 1, 2]


def test_one_too_many_waits_says_so_and_gets_the_device_of_the_one_that_is_killed(claimant):
    both, single = claimant(2), claimant()
    taken, last = claimed(both), claimed(single)
    assert sorted(taken + last) == [0, 1, 2]
    late = claimant()
    assert late.stderr.readline() == "featdiff: waiting for 1 free GPU(s) of 3\n"
    single.send_signal(signal.SIGKILL)
    assert claimed(late) == last


def test_several_are_claimed_together_or_not_at_all(claimant, names, released):
    assert claims.claim(names, 2) == [0, 1]
    greedy = claimant(2)
    assert "waiting for 2" in greedy.stderr.readline()
    modest = claimant()
    assert claimed(modest) == [2]


def test_a_program_that_the_claimant_started_does_not_hold_the_device_longer_than_it(names, released):
    child = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    code = CLAIMANT.replace("time.sleep(600)", child)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-c", code, ",".join(names), "3"]
    pid = None
    try:
        done = subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, text=True)
        assert claimed(done) == [0, 1, 2]
        pid = int(done.stdout.readline())
        assert done.wait(60) == 0
        assert Path(f"/proc/{pid}").exists()
        assert claims.claim(names, 3) == [0, 1, 2]
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)


def test_more_devices_than_there_are_is_an_error_that_says_the_fix(names):
    with pytest.raises(UserError, match=r"4 processes ask for a GPU each, and this machine shows 3: lower 'processes'"):
        claims.claim(names, 4)


def test_a_command_takes_a_device_that_no_other_has_and_keeps_to_it(claimant, names, released, pretend):
    taken = claimed(claimant())
    current = pretend(names)
    device = devices.pick_device()
    assert device.type == "cuda"
    assert device.index not in taken
    assert devices.pick_device() == device
    assert current == [device.index]


def test_a_single_visible_gpu_is_used_without_a_claim(claimant, names, released, pretend):
    claimed(claimant(3))
    current = pretend(names[:1])
    assert devices.pick_device() == torch.device("cuda", 0)
    assert current == [0]


def test_a_process_of_a_distributed_run_has_the_device_of_its_rank(names, released, pretend, monkeypatch):
    pretend(names)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert devices.pick_device() == torch.device("cuda", 2)
    assert claims._held == []


def test_the_launcher_narrows_what_is_visible_to_what_it_claimed(claimant, names, released, pretend, monkeypatch):
    assert claimed(claimant()) == [0]
    pretend(names)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-b,7")
    assert devices.claim_visible(2) == "GPU-b,7"


def test_without_a_gpu_there_is_nothing_to_claim(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    devices.pick_device.cache_clear()
    assert devices.pick_device() == torch.device("cpu")
    assert devices.claim_visible(2) is None
