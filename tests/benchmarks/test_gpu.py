"""The check of a GPU, tried without one: steps tell what they find, and what was cut off keeps what was done."""

import importlib.util
import json
import subprocess
import sys
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


def test_steps_write_what_they_find_into_the_page_and_leave_its_other_text(tmp_path):
    page = "# Title\n\nBefore.\n\n<!-- measured: begin -->\nold\n<!-- measured: end -->\n\nAfter.\n"
    (tmp_path / "gpu.md").write_text(page)
    done = call("--device", "cpu", "--small", "--only", "agreement", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "tables" / "gpu.json").read_text())["steps"]["agreement"]
    assert found["ended"] == "done" and found["noise_same_integers"] and found["losses_again"] == 0
    assert found["gradient_device_float64"] == 0 and 0 < found["gradient_cpu_float32"] < 1e-4
    assert {found[f"trajectory_{kind}"] for kind in ("ddpm", "heun", "momentum", "soft-ddim")} == {0}
    text = (tmp_path / "gpu.md").read_text()
    assert "Before." in text and "After." in text and "old" not in text and "gradient cpu float32" in text


def test_a_step_that_is_cut_off_keeps_what_it_told_and_the_next_ones_are_named(check, tmp_path, monkeypatch):
    def slow(command, *, stdout, timeout, **rest):
        stdout.write(check.steps.TOLD + json.dumps({"sampled": True}) + "\nother words\n")
        stdout.flush()
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(check, "facts", lambda device: {"device": "none"})
    monkeypatch.setattr(check, "subprocess", SimpleNamespace(run=slow, TimeoutExpired=subprocess.TimeoutExpired))
    arguments = ["x", "--device", "cpu", "--small", "--only", "training", "tests", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--minutes", "0.1"])
    ticks = iter([0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0])
    monkeypatch.setattr(check, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    check.main()
    steps = json.loads((tmp_path / "tables" / "gpu.json").read_text())["steps"]
    assert steps["training"]["sampled"] and steps["training"]["ended"] == "cut off after 6 s"
    assert steps["tests"]["ended"] == "not begun: the minutes were used up"


def test_without_a_gpu_it_says_so_and_toy_sizes_never_replace_the_measured_table():
    refused = call("--only", "tests")
    assert refused.returncode == 1 and "torch sees no GPU here" in refused.stderr
    refused = call("--device", "cpu", "--small")
    assert refused.returncode == 1 and "name another folder with --out" in refused.stderr


def test_the_page_shows_the_committed_tables(check, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    paper = importlib.import_module("paper")
    text = (ROOT / "docs" / "gpu.md").read_text()
    assert paper.page(text, json.loads(paper.TABLE.read_text())) == text
    assert check.page.table(json.loads((ROOT / "docs" / "tables" / "gpu.json").read_text())) in text
