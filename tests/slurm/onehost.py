"""A real Slurm on one host, to try the profiles and to test them: several node names, pretend GPUs, no database.

    python -m tests.slurm.onehost start FOLDER     # munged, slurmctld and a slurmd for each node; then: . FOLDER/env.sh
    python -m tests.slurm.onehost stop FOLDER

On Debian and Ubuntu: ``apt-get install --no-install-recommends slurmctld slurmd slurm-client munge``. Everything
listens on the loopback, all files lie in FOLDER, and stopping leaves no process behind. Memory, cores and GPUs are
counted when jobs are placed; without cgroups nothing stops a job that uses more than it asked for.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
PATIENCE = 60.0  # seconds for the daemons to come up, on a busy machine

CONF = """
ClusterName=onehost
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# a credential's life is also how long a requeued job waits before it starts again
AuthInfo=socket={root}/munge/socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/pid/slurmctld
SlurmdPidFile={root}/pid/%n
SlurmctldLogFile={root}/log/slurmctld
SlurmdLogFile={root}/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
# finished jobs stay visible to squeue and scontrol for as long
MinJobAge=86400
# from SIGTERM to SIGKILL; how long a silent node is believed to live
KillWait=10
SlurmdTimeout={node_timeout}
ReturnToService=2
# a job of the partition urgent sends one of the partition gpu back into the queue
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=32000{gpu}\n"
PARTITIONS = """
PartitionName=cpu Nodes={cpu} MaxTime=1440 Default=YES
PartitionName=gpu Nodes={gpu} MaxTime=1440 PreemptMode=REQUEUE
PartitionName=urgent Nodes={gpu} MaxTime=1440 PriorityTier=2
"""


class Missing(RuntimeError):
    """Slurm is not installed."""


@dataclass(frozen=True)
class OneHost:
    """The cluster whose files lie in ``root``."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use this cluster: where its configuration lies, and our ``srun`` before the
        host's."""
        path = f"{self.root}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
        return {**os.environ, "SLURM_CONF": str(self.root / "slurm.conf"), "PATH": path}

    def call(self, *command: str) -> str:
        """Run a Slurm command and return what it prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    # --- start and stop -----------------------------------------------------------------------------------------

    def start(self, *, cpu: int = 2, gpu: int = 2, node_timeout: int = 10) -> None:
        """Write the configuration and start all daemons, with so many nodes of each kind; returns when all are idle.

        ``node_timeout`` is how many seconds a silent node is believed to live. Raises :class:`Missing` or RuntimeError.
        """
        self._check_programs()
        nodes = {f"{kind}{n + 1}": kind for kind, count in (("cpu", cpu), ("gpu", gpu)) for n in range(count)}
        self._write(nodes, node_timeout)
        try:
            self._daemon("munged", "--force", *(f"--{key}={self.root}/munge/{name}" for key, name in MUNGE.items()))
            self._daemon("slurmctld", "-c")
            for name in nodes:
                self._daemon("slurmd", "-c", "-N", name)
            self._wait_until_idle(set(nodes))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Cancel all jobs and end every daemon, and what a lost node's jobs left running; politely first."""
        with contextlib.suppress(RuntimeError):
            self.call("scancel", "--full", f"--user={getpass.getuser()}")
            self._wait(lambda: not self.call("squeue", "--noheader"), 15)
        pids = [pid for file in (self.root / "pid").glob("*") if (pid := self._pid(file.name))] + self.left()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if self._wait(lambda: not any(map(_alive, pids)), 10):
                return

    def kill_node(self, name: str) -> None:
        """What a power cut does: the node's daemon and everything it runs are gone at once."""
        daemon = self._pid(name)
        if daemon is None:
            raise RuntimeError(f"node {name} is not running")
        jobs = self.call("squeue", "--noheader", f"--nodelist={name}", "--format=%A").split()
        os.kill(daemon, signal.SIGKILL)
        for pid in [pid for job in jobs for pid in processes_of(job)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def jobs(self) -> list[dict[str, str]]:
        """Every job since the start, oldest first, as Slurm describes it: JobId, JobState, Comment, Partition, TRES
        ..."""
        lines = self.call("scontrol", "show", "jobs", "--oneliner").splitlines()
        rows = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines if "JobId=" in line]
        return sorted(rows, key=lambda row: int(row["JobId"]))

    def left(self) -> list[int]:
        """Processes that jobs of this cluster started, whether it still knows them or not."""
        ours = f"SLURM_CONF={self.root}/slurm.conf".encode()
        started = {pid: _environment(pid) for pid in _processes()}
        return [pid for pid, its in started.items() if ours in its and any(e.startswith(b"SLURM_JOB_ID=") for e in its)]

    # --- inside -------------------------------------------------------------------------------------------------

    def _check_programs(self) -> None:
        path = self.environment["PATH"]
        if missing := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
            raise Missing(
                f"no {', '.join(missing)} here; on Debian: apt-get install slurmctld slurmd slurm-client munge"
            )

    def _write(self, nodes: dict[str, str], node_timeout: int) -> None:
        """The configuration; ``nodes`` names the partition of each node."""
        for folder in ("munge", "state", "log", "pid", "bin", *(f"spool/{name}" for name in nodes)):
            (self.root / folder).mkdir(parents=True, exist_ok=True, mode=0o755)
        key = self.root / "munge/key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(64))
        host, (port, *ports) = socket.gethostname().partition(".")[0], _free_ports(1 + len(nodes))
        text = CONF.format(root=self.root, host=host, port=port, user=getpass.getuser(), node_timeout=node_timeout)
        for (name, kind), node_port in zip(nodes.items(), ports, strict=True):
            gpu = " Gres=gpu:pretend:1" if kind == "gpu" else ""
            text += NODE.format(name=name, host=host, port=node_port, gpu=gpu)
        of_kind = {kind: ",".join(n for n, its in nodes.items() if its == kind) for kind in nodes.values()}
        (self.root / "slurm.conf").write_text(text + PARTITIONS.format(**of_kind))
        gpus = (
            f"NodeName={name} Name=gpu Type=pretend File=/dev/null\n" for name, its in nodes.items() if its == "gpu"
        )
        (self.root / "gres.conf").write_text("".join(gpus))
        self._write_environment()

    def _write_environment(self) -> None:
        """``env.sh``, and an ``srun`` that knows the configuration: Snakemake's plugin drops SLURM_CONF before it calls
        srun."""
        wrapper, conf = self.root / "bin/srun", self.root / "slurm.conf"
        srun = shutil.which(
            "srun", path=f"/usr/bin:/usr/local/bin:{os.environ['PATH']}"
        )  # not another of these wrappers
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF="{conf}" exec {srun} "$@"\n')
        wrapper.chmod(0o755)
        (self.root / "env.sh").write_text(f'export SLURM_CONF="{conf}" PATH="{self.root}/bin:$PATH"\n')

    def _daemon(self, *command: str) -> None:
        """Start a program that goes into the background by itself."""
        with open(self.root / "log/start", "ab") as log:
            done = subprocess.run(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            )
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(command)} does not start: {(self.root / 'log/start').read_text().strip()[-500:]}"
            )

    def _wait_until_idle(self, names: set[str]) -> None:
        def idle() -> bool:
            with contextlib.suppress(RuntimeError):
                rows = self.call("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
                return names <= {row.split()[0] for row in rows if row.endswith(" idle")}
            return False

        if not self._wait(idle, PATIENCE):
            logs = "\n".join(f"{p.name}: {p.read_text()[-500:]}" for p in sorted((self.root / "log").iterdir()))
            raise RuntimeError(f"the nodes do not come up within {PATIENCE:.0f} s:\n{logs}")

    def _wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if ready():
                return True
            time.sleep(0.1)
        return False

    def _pid(self, name: str) -> int | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.root / "pid" / name).read_text())
            return pid if _alive(pid) else None
        return None


MUNGE = {
    "key-file": "key",
    "socket": "socket",
    "pid-file": "../pid/munged",
    "log-file": "../log/munged",
    "seed-file": "seed",
}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _processes() -> list[int]:
    """Every process of this host."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*")]


def _read(pid: int, name: str) -> bytes:
    """A file of a process, empty where it has ended or is not ours to look at."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _environment(pid: int) -> list[bytes]:
    """What a process was started with."""
    return _read(pid, "environ").split(b"\0")


def processes_of(job: str) -> list[int]:
    """The processes of a Slurm job on this host: the steps' keepers first, then what they started."""
    keepers, workers = [], []
    for pid in _processes():
        if _read(pid, "cmdline").startswith(f"slurmstepd: [{job}.".encode()):
            keepers.append(pid)
        elif f"SLURM_JOB_ID={job}".encode() in _environment(pid):
            workers.append(pid)
    return keepers + workers


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in ("start", "stop"):
        print("usage: python -m tests.slurm.onehost start|stop FOLDER", file=sys.stderr)
        return 2
    cluster = OneHost(Path(arguments[1]).resolve())
    if arguments[0] == "stop":
        cluster.stop()
        return 0
    try:
        cluster.start()
    except RuntimeError as why:
        print(f"error: {why}", file=sys.stderr)
        return 2
    print(cluster.call("sinfo"), end="")
    print(f"Use it with: . {cluster.root}/env.sh")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
