"""Locks on files: one writer at a time, and never a lock that a dead process has left.

A lock is the operating system's (``flock``) on a file that stays; the system gives it back when its holder ends,
however it ends. The file says who holds it, or held it last. Where the file system has no locks, nobody is kept out.
"""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FOLDER = Path(".featdiff/locks")  # from the project's root
RUNS = "runs"  # held, shared, by each run of the workflow
_POLL = 0.2  # seconds between two attempts


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock, or held it last."""

    host: str
    process: int

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class Unsupported(Exception):
    """This file system has no locks, or the file can't be written."""


class Lock:
    """A lock that this process may hold; it ends with :meth:`release` or with the process."""

    def __init__(self, path: Path | str):
        """Raises :class:`Unsupported` when there can't be a lock at ``path``."""
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[str] = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise Unsupported(str(error)) from None

    def holder(self) -> Holder | None:
        """Who holds it now or held it last; None where nobody ever has."""
        try:
            self._stream.seek(0)
            written = json.loads(self._stream.read())
            return Holder(str(written["host"]), int(written["process"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def take(self, *, shared: bool = False) -> bool:
        """Take it if nobody else has it; a shared one leaves room for others that are shared. Waits for nobody."""
        try:
            fcntl.flock(self._stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Unsupported(str(error)) from None
        return True

    def wait(self, *, shared: bool = False, seconds: float | None = None) -> bool:
        """Take it, and wait for it at most so long (None: as long as it takes)."""
        start = time.monotonic()
        while not self.take(shared=shared):
            if seconds is not None and time.monotonic() - start >= seconds:
                return False
            time.sleep(_POLL)
        return True

    def release(self) -> None:
        """Give it back."""
        self._stream.close()

    def sign(self) -> None:
        """Write this process down as the holder."""
        self._stream.truncate(0)
        self._stream.write(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
        self._stream.flush()


@contextmanager
def only_writer(path: Path | str, *, root: Path = FOLDER, tell: Callable[[str], None]) -> Iterator[bool]:
    """Write ``path`` alone: wait while another process does, as one that outlived its workflow.

    Yields whether this is certain; where the file system has no locks it is not, and both write: atomically, the same
    bits.
    """
    try:
        lock = Lock(root / f"{Path(path).name}-{_short(Path(path).absolute())}")
        if not lock.take():
            tell(f"{path}: {lock.holder() or 'another process'} is writing it; waiting for its end")
            lock.wait()
        lock.sign()
    except Unsupported:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def run_is_alive(root: Path = FOLDER) -> bool | None:
    """Whether a workflow run of this project is alive; None where the file system can't tell."""
    try:
        lock = Lock(root / RUNS)
        try:
            return not lock.take()
        finally:
            lock.release()
    except Unsupported:
        return None


def _short(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
