"""Locks end with the process that holds them, whatever its end; what it left is cleared by the next."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from featdiff import cli, locks

ROOT = Path(__file__).resolve().parents[2]
HOLD = (
    "import sys; sys.path.insert(0, sys.argv[2]); from featdiff.locks import Lock; "
    "lock = Lock(sys.argv[1]); lock.take(); lock.sign(); print('held', flush=True); "
    "sys.stdin.read()"
)


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock ``path``."""
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert held.stdout is not None and held.stdout.readline() == "held\n"
    return held


def test_a_lock_ends_with_kill_9_and_names_its_last_holder(tmp_path):
    other = holder(tmp_path / "lock")
    mine = locks.Lock(tmp_path / "lock")
    assert not mine.take()
    assert not mine.take(shared=True)
    assert mine.holder() == locks.Holder(os.uname().nodename, other.pid)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert mine.wait(seconds=10)
    assert mine.holder() is not None, "its last holder is known still"


def test_shared_locks_leave_room_for_each_other_and_keep_an_exclusive_one_out(tmp_path):
    first, second, third = (locks.Lock(tmp_path / "lock") for _ in range(3))
    assert first.take(shared=True)
    assert second.take(shared=True)
    assert not third.take()
    first.release()
    second.release()
    assert third.take()


def test_where_there_can_be_no_lock_nobody_is_kept_out(tmp_path):
    (tmp_path / "file").write_text("")
    with locks.only_writer(tmp_path / "out", root=tmp_path / "file", tell=print) as alone:
        assert not alone
    assert locks.run_is_alive(tmp_path / "file") is None


def test_whether_a_run_is_alive_is_known(tmp_path):
    assert locks.run_is_alive(tmp_path) is False
    other = holder(tmp_path / locks.RUNS)
    assert locks.run_is_alive(tmp_path) is True
    other.kill()
    other.wait()
    assert locks.run_is_alive(tmp_path) is False


@pytest.mark.fault(
    "a command that outlived its workflow still writes the file",
    "the second waits, says for which process, and then writes",
)
def test_a_second_writer_of_a_file_waits_for_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    with locks.only_writer(out, tell=print):
        lock = next(locks.FOLDER.glob("out-*"))
    other = holder(lock)
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        other.kill()

    start = time.monotonic()
    with locks.only_writer(out, tell=tell) as alone:
        assert alone
    assert time.monotonic() - start < 60
    other.wait()
    assert len(said) == 1 and f"process {other.pid}" in said[0] and "waiting" in said[0]


@pytest.mark.fault("a command was killed in the middle of writing", "nothing: the next one clears its part away")
def test_a_command_clears_away_what_a_killed_writer_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dataset.zip.abc123.part").write_text("half")
    (tmp_path / ".other.zip.abc123.part").write_text("somebody else's")
    CliRunner().invoke(cli.app, ["prepare", "--settings", "{}", "--out", "dataset.zip"])
    assert [p.name for p in tmp_path.glob(".*.part")] == [".other.zip.abc123.part"]
