"""One command, several processes: ``featdiff train --processes N --nodes M`` starts itself N times through torchrun.

A process has one device; how many there are is a resource, like memory, and no result depends on it but by the order of
floating-point sums. On one machine the launcher claims the GPUs and becomes torchrun's agent. On several, inside a
Slurm allocation, it becomes ``srun`` with one agent a node; the agents meet at a port of the node that the launcher
runs on.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import NoReturn

from featdiff.devices import devices
from featdiff.errors import UserError

_PR_SET_PDEATHSIG = 1


def launch(command: list[str], *, processes: int, nodes: int) -> NoReturn:
    """Run ``featdiff COMMAND`` in ``processes`` processes on ``nodes`` machines, and exit as they do."""
    if processes % nodes:
        raise UserError(
            f"{processes} processes can't be spread evenly over {nodes} nodes: choose a multiple of {nodes}"
        )
    local = processes // nodes
    os.environ["OMP_NUM_THREADS"] = threads_each(os.environ, local)
    if nodes > 1:
        call = [*srun(os.environ, nodes), sys.executable, "-m", "torch.distributed.run"]
        call += [*meeting(os.environ, nodes, _endpoint()), *agent(command, local)]
        os.execvp(call[0], call)
    if (visible := devices.claim_visible(local)) is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    sys.exit(_agent(["--standalone", "--local-addr=127.0.0.1", *agent(command, local)]))


def agent(command: list[str], local: int) -> list[str]:
    """torchrun's arguments on each node: how many processes, and what they run. A failed run is not restarted here."""
    return [f"--nproc-per-node={local}", "--max-restarts=0", "-m", "featdiff.cli", *command]


def meeting(environment: Mapping[str, str], nodes: int, endpoint: str) -> list[str]:
    """torchrun's arguments about where the agents of ``nodes`` nodes meet."""
    return [
        f"--nnodes={nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={environment['SLURM_JOB_ID']}",
        f"--rdzv-endpoint={endpoint}",
    ]


def srun(environment: Mapping[str, str], nodes: int) -> list[str]:
    """The start of a command that runs once on each of ``nodes`` nodes of this Slurm job, and ends everywhere if one
    fails.

    Each agent may use all that the job has on its node; ``--overlap``, because a step that waits for it may hold that.
    """
    if "SLURM_JOB_ID" not in environment:
        raise UserError("--nodes asks for several machines, but this is no Slurm job; see docs/how-to/cluster.md")
    spread = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    return ["srun", *spread, "--overlap", "--cpu-bind=none", "--kill-on-bad-exit=1"]


def threads_each(environment: Mapping[str, str], local: int) -> str:
    """The threads of this job, ``OMP_NUM_THREADS``, shared out among its processes."""
    given = environment.get("OMP_NUM_THREADS", "")
    return str(max(1, int(given) // local)) if given.isdigit() else "1"


def end_with_launcher() -> None:
    """In a process that torchrun started: be told to stop when the agent dies, even by kill -9.

    Otherwise it would train on beside the next attempt, on a GPU that is no longer claimed.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def _agent(arguments: list[str]) -> int:
    """Be torchrun; the exit status of the process that failed first, as a shell would say it, or 0."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(arguments)
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except ChildFailedError as failed:
        status = failed.get_first_failure()[1].exitcode
        return 128 - status if status < 0 else status
    return 0


def _endpoint() -> str:
    """This machine's name and a free port of it."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{socket.gethostname()}:{probe.getsockname()[1]}"
