"""A finished run to damage, a small disk to fill, and the rows of the table of faults.

``@pytest.mark.fault("what happens", "what the user sees")`` makes a test a row of docs/results/faults.md
(benchmarks/faults.py).
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from featdiff import artifacts
from featdiff.settings.project import Params, load
from tests.workflow.conftest import Project, finished, pristine, small

__all__ = ["finished", "pristine", "small"]

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
def unstarted(small: Project) -> Project:
    """The project with the tiny settings, two rows of them; nothing has run."""
    return small


@pytest.fixture(scope="session")
def undisturbed(finished: Project) -> Project:
    """The project after a whole run that nothing disturbed: treat as read-only, or copy it."""
    return finished


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
