"""The check of a GPU, tried without one: steps tell what they find, and what was cut off keeps what was done."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "benchmarks" / "gpu"


@pytest.fixture
def check(monkeypatch):
    """The command as a module."""
    monkeypatch.syspath_prepend(str(CHECK))
    for name in ("page", "steps"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("gpu_check", CHECK / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(CHECK), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_steps_write_what_they_find_into_the_page_and_leave_its_other_text(tmp_path):
    page = "# Title\n\nBefore.\n\n<!-- measured: begin -->\nold\n<!-- measured: end -->\n\nAfter.\n"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "gpu.md").write_text(page)
    done = call("--device", "cpu", "--small", "--only", "agreement", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "tables" / "gpu.json").read_text())["steps"]["agreement"]
    assert found["ended"] == "done" and found["noise_same_integers"] and found["losses_again"] == 0
    assert found["gradient_device_float64"] == found["losses_cpu"] == 0 and 0 < found["gradient_cpu_float32"] < 1e-4
    assert {found[f"trajectory_{kind}"] for kind in ("ddpm", "heun", "momentum", "soft-ddim")} == {0}
    text = (tmp_path / "results" / "gpu.md").read_text()
    assert "Before." in text and "After." in text and "old" not in text and "gradient cpu float32" in text


def test_a_step_that_is_cut_off_keeps_what_it_told_and_none_of_its_processes_lives_on(check, tmp_path, monkeypatch):
    script = tmp_path / "step.py"
    script.write_text(
        "import json, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"print({check.steps.TOLD!r} + json.dumps(dict(sampled=True, child=child.pid)), flush=True)\n"
        "print('other words', flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(check, "__file__", str(script))
    found = check.run("training", SimpleNamespace(device="cpu", small=True, data=None), 3.0)
    assert found["sampled"] and found["ended"] == "cut off after 3 s"
    end = time.monotonic() + 10
    while alive(found["child"]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(found["child"])


def test_each_step_is_written_as_it_ends_and_leaves_its_time_to_the_next(check, tmp_path, monkeypatch):
    limits, path = {}, tmp_path / "tables" / "gpu.json"

    def done(step, options, limit):
        limits[step] = limit
        if step == "paper":
            assert json.loads(path.read_text())["steps"]["speed"]["ended"] == "done"
        return {"ended": "done", "seconds": 0.1}

    def begin(*arguments):
        monkeypatch.setattr(sys, "argv", ["x", "--device", "cpu", "--small", "--out", str(tmp_path), *arguments])
        check.main()
        return json.loads(path.read_text())["steps"]

    monkeypatch.setattr(check, "run", done)
    monkeypatch.setattr(check, "facts", lambda device: {"device": "none", "code": "one"})
    assert list(begin("--minutes", "8", "--only", "paper", "speed")) == ["speed", "paper"]
    assert limits["paper"] == pytest.approx(480, abs=1)
    assert limits["speed"] == pytest.approx(480 * 150 / (150 + 110), abs=1)
    steps = begin("--minutes", "0.05", "--only", "training")
    assert steps["training"]["ended"].startswith("not begun") and list(steps) == ["training", "speed", "paper"]
    monkeypatch.setattr(check, "facts", lambda device: {"device": "none", "code": "another"})
    assert list(begin("--only", "resume")) == ["resume"]  # what other code found is not kept beside it


def test_a_failed_step_tells_its_reason(check, monkeypatch, capsys):
    def fails(scale):
        raise ValueError("no such thing")

    monkeypatch.setitem(check.steps.STEPS, "training", fails)
    with pytest.raises(ValueError):
        check.carry_out(SimpleNamespace(step="training", device="cpu", small=True, data=None, limit=1.0))
    assert capsys.readouterr().out == 'found: {"reason": "ValueError: no such thing"}\n'


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("tests/noise/test_philox.py::test_words[a b] PASSED            [  4%]\n", "passed"),
        ("[gw4] [ 30%] FAILED tests/noise/test_philox.py::test_words[a b] \n", "failed"),
        ("tests/noise/test_philox.py::test_words[a b] SKIPPED (no GPU)  [ 10%]\n", "skipped"),
    ],
)
def test_outcomes_of_tests_are_read_with_and_without_several_workers(check, line, outcome):
    assert check.steps.outcome_of(line) == (outcome, "tests/noise/test_philox.py::test_words[a b]")
    assert check.steps.outcome_of("tests/noise/test_philox.py::test_words[a b] \n") is None


def test_without_a_gpu_it_says_so_and_toy_sizes_never_replace_the_measured_table():
    refused = call("--only", "tests")
    assert refused.returncode == 2 and "torch sees no GPU here" in refused.stderr
    refused = call("--device", "cpu", "--small")
    assert refused.returncode == 2 and "name another folder with --out" in refused.stderr


def test_the_page_shows_the_committed_tables(check, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    paper = importlib.import_module("paper")
    text = (ROOT / "docs" / "results" / "gpu.md").read_text()
    assert paper.page(text, json.loads(paper.TABLE.read_text())) == text
    assert check.page.table(json.loads((ROOT / "docs" / "tables" / "gpu.json").read_text())) in text
