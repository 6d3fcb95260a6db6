"""A wheel built from the clone, installed by itself: commands and API work outside the repository, and so does a new
project."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from featdiff import project
from featdiff.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Run a command in a folder of its own, where featdiff is what the wheel installed."""
    folder = tmp_path_factory.mktemp("outside")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = folder / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(ROOT)], check=True)
    site = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), *map(str, wheels.iterdir())], check=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONPATH": str(site)}

    def run(*command: str, cwd: Path) -> str:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run.site = site
    run.folder = folder
    return run


def test_the_installed_package_is_not_the_clones_and_starts_a_project_that_plans_the_whole_graph(outside):
    work = outside.folder / "work"
    work.mkdir()
    code = "import featdiff, featdiff.project as p; p.write('mine'); print(featdiff.__file__)"
    assert str(outside.site) in outside(sys.executable, "-c", code, cwd=work)
    assert "all settings are valid" in outside(sys.executable, "-m", "featdiff.cli", "check", cwd=work / "mine")
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    tiny = ["--workflow-profile", "workflow/profiles/tiny"]
    plan = outside(snakemake, *tiny, "--dry-run", "--quiet", "rules", cwd=work / "mine")
    assert "report" in plan and "train" in plan


def test_a_project_is_not_written_over_another(tmp_path):
    (tmp_path / "params.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"there is a params.yaml already; nothing was written"):
        project.write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["params.yaml"]


def test_in_a_clone_the_files_are_those_at_its_root():
    assert project.files() == ROOT
