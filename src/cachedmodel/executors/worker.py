"""A worker of the process pool, as seen from inside: receives calls, runs them, sends back how they ended."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection

from cachedmodel.executors.calls import run_dumped
from cachedmodel.executors.cores import set_share
from cachedmodel.executors.exits import kill_group
from cachedmodel.executors.places import set_place

STARTED, WAITS, GOES_ON, ENDED = b"s", b"w", b"g", b"e"
IDLE_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What a call may see of the process that submitted it."""

    environ: dict[str, str]
    folder: str | None
    path: list[str]

    @classmethod
    def of_this_process(cls) -> Surroundings:
        try:
            folder = os.getcwd()
        except OSError:  # removed since
            folder = None
        return cls(dict(os.environ), folder, list(sys.path))

    def enter(self) -> None:
        if dict(os.environ) != self.environ:
            os.environ.clear()
            os.environ.update(self.environ)
        sys.path[:] = self.path
        if self.folder is not None:
            with contextlib.suppress(OSError):  # removed since
                os.chdir(self.folder)


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A call on its way to a worker."""

    call: bytes
    surroundings: Surroundings
    cores: int


class _Place:
    """The worker's place in the pool of its parent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lend(self) -> None:
        self._connection.send_bytes(WAITS)

    def take_back(self) -> None:
        self._connection.send_bytes(GOES_ON)


def serve(fd: int) -> None:
    """Runs calls until the parent is gone or sends none for a while."""
    os.set_inheritable(fd, False)
    threading.Thread(target=_end_with_parent, args=(fd,), name="cachedmodel-parent", daemon=True).start()
    connection = Connection(fd)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while connection.poll(IDLE_S):
            connection.send_bytes(ENDED + _run(pickle.loads(connection.recv_bytes()), connection))


def _end_with_parent(fd: int) -> None:
    """Ends this process, and what it started, in the midst of a call too: whoever asked for it is gone."""
    hang_up = select.poll()
    hang_up.register(fd, 0)  # which is told whatever is asked for
    hang_up.poll()
    kill_group(os.getpid())


def _run(message: Message, connection: Connection) -> bytes:
    connection.send_bytes(STARTED)
    message.surroundings.enter()
    set_share(message.cores)
    set_place(_Place(connection))
    try:
        raised = run_dumped(message.call)
    except KeyboardInterrupt:  # die of it, so that the parent sees why
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        raise
    finally:
        set_place(None)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # None, or closed by the user's code
                stream.flush()
    return b"" if raised is None else raised.to_bytes()
