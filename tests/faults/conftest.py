"""A finished run to damage, a small disk to fill, and the rows of the table of faults.

``@pytest.mark.fault("what happens", "what the user sees")`` makes a test a row of docs/results/faults.md
(benchmarks/faults.py).
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from featdiff import artifacts
from featdiff.settings.project import Params, load

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("copies_of_the_project", ROOT / "tests/workflow/conftest.py")
assert _spec and _spec.loader
_copies = sys.modules.setdefault(_spec.name, importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(_copies)
Project, PARTS = _copies.Project, _copies.PARTS
IGNORED = {"logs", "benchmarks"}  # of results/: they hold times


def pytest_itemcollected(item: pytest.Item) -> None:
    """Write the row of the table of faults down in the JUnit report, also of a test that never begins."""
    if mark := item.get_closest_marker("fault"):
        item.user_properties += [("fault", mark.args[0]), ("outcome", mark.args[1])]


def outputs(project: Any) -> dict[str, str]:
    """SHA-256 of every result by its path, logs and times left out."""
    results = project.root / "results"
    files = (path for path in sorted(results.rglob("*")) if path.is_file())
    names = {path: path.relative_to(results) for path in files}
    return {
        name.as_posix(): artifacts.sha256_file(path) for path, name in names.items() if name.parts[0] not in IGNORED
    }


@pytest.fixture(scope="session")
def results_of() -> Callable[[Any], dict[str, str]]:
    """SHA-256 of every result of a project by its path."""
    return outputs


@pytest.fixture(scope="session")
def unstarted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The project with the tiny settings as its own, two rows of them in one piece each; nothing has run."""
    project = Project(tmp_path_factory.mktemp("unstarted") / "clone")
    for part in PARTS:
        source, target = ROOT / part, project.root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, target)
    project.edit_params(yaml.safe_load((ROOT / "workflow/presets/tiny.yaml").read_text()))
    project.edit_params({"samplings": {"guided": {"shards": 1}, "mixture": {"shards": 1}}})
    _copies.two_rows(project)
    return project


@pytest.fixture(scope="session")
def undisturbed(unstarted: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The project after a whole run that nothing disturbed: treat as read-only, or copy it."""
    project = unstarted.copy(tmp_path_factory.mktemp("undisturbed") / "clone")
    project.snakemake()
    return project


@pytest.fixture(scope="session")
def rows(unstarted: Any) -> Params:
    """The settings of these projects."""
    return load(unstarted.root / "params.yaml")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting a small disk takes root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
