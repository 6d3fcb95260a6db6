"""One real Slurm for all tests of this folder, and copies of the project that run on it."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.slurm.onehost import Missing, OneHost, processes_of

HERE = Path(__file__).parent
ONE_THREAD = {"set-threads": {"train": 1}}  # as without Slurm: bits depend on the number of threads
SCENARIOS = ("tests/workflow/slurm/test_scenarios.py", "tests/workflow/slurm/test_pipeline.py")
PATIENCE = 1500.0  # seconds; minutes on an idle machine, but it may be a busy one


@dataclass(frozen=True)
class OnCluster:
    """A copy of the project, and the cluster that its jobs go to."""

    project: Any
    cluster: OneHost
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.project.root

    @property
    def environment(self) -> dict[str, str]:
        """The project's programs, the cluster's srun before all others, and the journal of every featdiff command."""
        own = self.project.environment
        return {
            **self.cluster.environment,
            **own,
            "PATH": f"{self.cluster.root}/bin:{own['PATH']}",
            "PYTHONPATH": f"{self.root}:{HERE / 'watched'}",
            "FEATDIFF_JOURNAL": str(self.root / "journal"),
            "OMP_NUM_THREADS": "1",
        }

    def edit_profile(self, change: dict[str, Any], *, name: str = "slurm") -> None:
        """Merge ``change`` into a profile, as a user would edit it."""
        path = self.root / f"workflow/profiles/{name}/config.yaml"
        rows = yaml.safe_load(path.read_text())
        for key, value in change.items():
            rows[key] = {**rows[key], **value} if isinstance(value, dict) else value
        path.write_text(yaml.safe_dump(rows, sort_keys=False, width=1000))

    # --- a run ----------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, profile: str = "slurm") -> subprocess.Popen[bytes]:
        """Start Snakemake, the process that submits the jobs and watches them."""
        command = [sys.executable, str(HERE / "impatient.py"), "--workflow-profile", f"workflow/profiles/{profile}"]
        with open(self.root / "coordinator.log", "ab") as log:
            run = subprocess.Popen(
                [*command, *arguments],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(run)
        return run

    def finish(self, run: subprocess.Popen[bytes]) -> None:
        """Wait until Snakemake ends, and see that it is content."""
        assert run.wait(PATIENCE) == 0, self.said()

    def stop(self) -> None:
        """Kill what may still run here: the cluster ends the jobs themselves."""
        for run in self.started:
            run.kill()

    def said(self) -> str:
        return (self.root / "coordinator.log").read_text()

    # --- what happens meanwhile -------------------------------------------------------------------------------------

    def jobs(self) -> list[dict[str, str]]:
        """The Slurm jobs of this project, oldest first."""
        return [job for job in self.cluster.jobs() if job["WorkDir"] == str(self.root)]

    def hold_training(self) -> None:
        """Let the next training stop as if it hung, when two of its states are on disk."""
        (self.root / "hold").touch()

    def held(self) -> dict[str, str]:
        """Wait until the training hangs; the Slurm job that it runs in."""
        self.wait(lambda: not (self.root / "hold").exists())
        found: list[dict[str, str]] = []

        def hanging() -> bool:
            found[:] = [job for job in self.jobs() if any(_stopped(pid) for pid in processes_of(job["JobId"]))]
            return bool(found)

        self.wait(hanging)
        return found[0]

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until ``ready``, as long as Snakemake lives."""
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > deadline or self.started[-1].poll() is not None:
                raise TimeoutError(f"waited in vain:\n{self.said()}")
            time.sleep(0.2)

    def written(self, path: str) -> int:
        """How many times a featdiff command has put the file ``path`` in its place."""
        lines = (self.root / "journal").read_text().splitlines()
        return sum(json.loads(line)["wrote"] == path for line in lines)


def _stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


@pytest.fixture(scope="session")
def on_cluster(cluster: OneHost) -> Callable[[Any], OnCluster]:
    """Turns a copy of the project into one that runs on the cluster."""
    return lambda project: OnCluster(project, cluster)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneHost]:
    """A one-host Slurm with a GPU node for each story, so that none touches another's."""
    cluster = OneHost(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start(cpu=2, gpu=10, node_timeout=4)
    except Missing as why:
        pytest.skip(str(why))
    yield cluster
    cluster.stop()
    assert not cluster.left(), "the cluster is gone, processes of its jobs are not"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for the table of docs/how-to/cluster.md."""
    ended = {
        outcome: [r for r in terminalreporter.stats.get(outcome, []) if getattr(r, "nodeid", "").startswith(SCENARIOS)]
        for outcome in ("passed", "failed", "error")
    }
    total = sum(map(len, ended.values()))
    if total:
        program = shutil.which("slurmctld", path="/usr/sbin:/usr/bin") or "slurmctld"
        slurm = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stdout.strip()
        terminalreporter.write_line(f"Slurm scenarios: {len(ended['passed'])} of {total} ({slurm})")
