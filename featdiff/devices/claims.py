"""Claims: on a machine with several GPUs each job gets one of its own.

Slurm shows a job its own devices alone; Snakemake's local scheduler only counts them, so that all jobs would land on
the first. Here a process claims a device by binding a Unix socket to the device's name in Linux's abstract namespace.
Only one process of the machine can, whoever runs it; no file is left behind, and the kernel frees the name when the
process ends, however it ends.
"""

import errno
import os
import socket
import sys
import time
from collections.abc import Sequence

from featdiff.errors import UserError

_held: list[socket.socket] = []  # open as long as the process lives


def claim(devices: Sequence[str], count: int = 1) -> list[int]:
    """Claim ``count`` of the named devices for the life of this process, all or none; waits until so many are free.

    Returns their indices, in increasing order. Raises :class:`UserError` when there are fewer devices than that.
    """
    if count > len(devices):
        raise UserError(
            f"{count} processes ask for a GPU each, and this machine shows {len(devices)}: lower 'processes' in the "
            "profile, or look at CUDA_VISIBLE_DEVICES"
        )
    told = False
    while True:
        taken: dict[int, socket.socket] = {}
        for index, name in enumerate(devices):
            if len(taken) < count and (held := _bind(name)):
                taken[index] = held
        if len(taken) == count:
            _held.extend(taken.values())
            return list(taken)
        for held in taken.values():
            held.close()
        if not told:
            print(f"featdiff: waiting for {count} free GPU(s) of {len(devices)}", file=sys.stderr, flush=True)
            told = True
        time.sleep(0.5 + os.getpid() % 64 / 128)  # two that ask for several at once come apart


def _bind(name: str) -> socket.socket | None:
    """The claim on a device, or None where another process holds it."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)  # not inherited by programs that this process starts
    try:
        held.bind(f"\0featdiff/device/{name}")
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return held
