"""Copies of the project to run, break and change; and one small run of the whole graph that the slow tests share."""

import importlib.resources
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "Snakefile",
    "params.yaml",
    "dvc.yaml",
    "workflow",
    "featdiff",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
)
LOCAL = ("--workflow-profile", "workflow/profiles/local")


@dataclass(frozen=True)
class Project:
    """A folder with a copy of the project; commands run there with the copy's own package."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """This Python's programs first, the copy's package first, and a name for git."""
        git = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, **git, "PYTHONPATH": str(self.root), "PATH": programs}

    def run(self, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of this Python's environment; ``ok`` says that it must succeed."""
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        assert not ok or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def snakemake(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", *LOCAL, *arguments, ok=ok)

    def stale(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a run would do now."""
        return jobs(self.snakemake("--dry-run", *arguments).stdout)

    def dvc_status(self) -> dict[str, Any]:
        return json.loads(self.run("dvc", "status", "--json").stdout)

    def edit_params(self, change: Any) -> None:
        """Merge ``change`` into params.yaml, as an overlay would."""
        path = self.root / "params.yaml"
        path.write_text(yaml.safe_dump(merged(yaml.safe_load(path.read_text()), change), sort_keys=False))

    def commit(self, message: str) -> None:
        """Commit everything to git."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def copy(self, to: Path) -> "Project":
        """The same project elsewhere, files with their times."""
        shutil.copytree(self.root, to, symlinks=True)
        return Project(to)


def jobs(text: str) -> dict[str, int]:
    """The table "Job stats" of Snakemake's output, without its totals."""
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    rows = [line.split() for line in table.splitlines()]
    return {
        row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit() and row[0] not in ("all", "total")
    }


def merged(base: Any, change: Any) -> Any:
    """``base`` with the keys of ``change`` put over it, level by level."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}


def photographs_in_a_folder(project: Project) -> None:
    """Let the data set of packaged photographs come from a folder with the same ones, so that there are raw files."""
    for name in ("brick", "grass", "gravel"):
        photograph = importlib.resources.files("skimage.data") / f"{name}.png"
        target = project.root / "photographs" / name / f"{name}.png"
        target.parent.mkdir(parents=True)
        target.write_bytes(photograph.read_bytes())
    rows = yaml.safe_load((project.root / "params.yaml").read_text())
    rows["datasets"]["textures"]["source"] = {"kind": "folder", "path": "photographs"}
    (project.root / "params.yaml").write_text(yaml.safe_dump(rows, sort_keys=False))


def two_rows(project: Project) -> None:
    """Let the guided and the mixture's samples alone be drawn, by the tiny preset, too: each row costs four jobs."""
    for name in ("params.yaml", "workflow/presets/tiny.yaml"):
        rows = yaml.safe_load((project.root / name).read_text())
        rows["samplings"] = {row: rows["samplings"][row] for row in ("guided", "mixture")}
        (project.root / name).write_text(yaml.safe_dump(rows, sort_keys=False))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as it is in the working tree, without results."""
    root = tmp_path_factory.mktemp("project") / "clone"
    for part in PARTS:
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, target)
    project = Project(root)
    project.stale()  # what it reads of the code is kept in .featdiff, and copied from there
    shutil.rmtree(root / ".snakemake")
    return project


@pytest.fixture
def project(pristine: Project, tmp_path: Path) -> Project:
    """A copy of the project for one test."""
    return pristine.copy(tmp_path / "clone")


@pytest.fixture(scope="session")
def small(pristine: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with the tiny settings, two rows of them, as its own and its photographs in a folder; in git, nothing
    has run."""
    project = pristine.copy(tmp_path_factory.mktemp("small") / "clone")
    project.edit_params(yaml.safe_load((ROOT / "workflow/presets/tiny.yaml").read_text()))
    two_rows(project)
    project.edit_params({"samplings": {"mixture": {"shards": 1}}})
    photographs_in_a_folder(project)
    project.run("featdiff", "ledger", "write")
    project.run("git", "init", "--quiet")
    project.commit("start")
    return project


@pytest.fixture(scope="session")
def finished(small: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project after a whole run, whose words lie in ``said`` beside it: treat as read-only, or copy it.

    The first worker that asks for it runs it; each has a copy."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "run"
    with FileLock(f"{shared}.lock"):
        if not (shared / "said").exists():
            shutil.rmtree(shared, ignore_errors=True)
            done = small.copy(shared / "clone").snakemake()
            (shared / "said").write_text(done.stdout + done.stderr)
    own = tmp_path_factory.mktemp("finished") / "own"
    shutil.copytree(shared, own, symlinks=True)
    return Project(own / "clone")


@pytest.fixture(scope="session")
def recorded(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project with its versions in git and in the DVC store beside it: treat as read-only, or copy it."""
    project = finished.copy(tmp_path_factory.mktemp("recorded") / "clone")
    project.run("featdiff", "ledger", "record")
    project.commit("results")
    project.run("dvc", "push")
    return project
