"""Who keeps a claim, and whether they still live.

A process on this host is judged by its pid, start time and state. One elsewhere (another host, or another pid
namespace) is judged by its life file: a heartbeat that does not change for a lease, on our own clock, has stopped.
A job is judged by its scheduler alone, which the claims ask.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import threading
import time
import typing as tp
from dataclasses import asdict, dataclass

from .files import File, discard, make_folder, publish, random_name, refuse_links
from .periodic import Periodic

#: Folder of the life files, in the root of a cache.
FOLDER = ".lives"
#: What a file there ends with that claims of tasks are linked to.
CLAIM = ".claim"
#: Heartbeats in a lease.
_BEATS = 4


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who computes what a claim names: a process, or a job of a scheduler.

    Attributes
    ----------
    kind
        "process" or "job".
    life
        Random token of the process, or of the one that submitted the job.
    host, pid, start, boot, namespace
        The process: start time in clock ticks, boot id of its kernel, pid namespace (empty where there is no /proc).
    scheduler, job_id, submitted
        The job; `submitted` in seconds since 1970 tells jobs apart whose id is used again.
    """

    kind: tp.Literal["process", "job"]
    life: str = ""
    host: str = ""
    pid: int = 0
    start: str = ""
    boot: str = ""
    namespace: str = ""
    scheduler: str = ""
    job_id: str = ""
    submitted: float = 0.0

    @classmethod
    def job(cls, scheduler: str, job_id: str, submitted: float) -> Keeper:
        """The keeper that a job of this process is."""
        return cls("job", life=me().life, scheduler=scheduler, job_id=job_id, submitted=submitted)

    def is_process(self, life: str) -> bool:
        """True if it is the process with this token."""
        return self.kind == "process" and self.life == life

    @property
    def is_me(self) -> bool:
        """True if this process is the keeper."""
        return self.is_process(me().life)

    def to_json(self) -> str:
        facts = asdict(self)
        return json.dumps({name: value for name, value in facts.items() if value})

    @classmethod
    def from_json(cls, text: str) -> Keeper:
        """The keeper that was written; ValueError if the text describes none."""
        facts = json.loads(text)
        if not isinstance(facts, dict) or facts.get("kind") not in ("process", "job"):
            raise ValueError("it names no keeper")
        known = {name: facts[name] for name in cls.__slots__ if name in facts}
        return cls(**known)


_me: Keeper | None = None
_lock = threading.Lock()


def me() -> Keeper:
    """This process as a keeper."""
    global _me
    if _me is None:
        with _lock:
            if _me is None:
                _me = _this_process()
    return _me


def _this_process() -> Keeper:
    pid = os.getpid()
    state = _process_state(pid)
    return Keeper(
        "process",
        life=random_name(),
        host=os.uname().nodename,
        pid=pid,
        start=state[1] if state else "",
        boot=_text("/proc/sys/kernel/random/boot_id"),
        namespace=_pid_namespace(),
    )


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _process_state(pid: int) -> tuple[str, str] | None:
    """State letter and start time of a process of this pid namespace; None if /proc does not show it."""
    text = _text(f"/proc/{pid}/stat")
    # The name may contain spaces and brackets: what counts stands after the last one.
    fields = text[text.rfind(")") + 2 :].split()
    return (fields[0], fields[19]) if len(fields) > 19 else None


def lives_here(keeper: Keeper) -> bool | None:
    """Whether a process of this very host and pid namespace lives; None if it is not one, or cannot be told."""
    own = me()
    if (keeper.host, keeper.boot, keeper.namespace) != (own.host, own.boot, own.namespace) or not keeper.pid:
        return None
    state = _process_state(keeper.pid)
    if state is not None:
        return state[0] not in "ZX" and state[1] == keeper.start
    try:
        os.kill(keeper.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # There, but hidden, or no /proc at all: the pid may have been used again, so the heartbeat decides.
    return None


def read(path: str) -> Keeper | None:
    """Whose heartbeat a file is; None if it is none."""
    _, _, text = File(path).pread(1 << 12, 0).partition(b" ")
    try:
        return Keeper.from_json(text.decode())
    except (ValueError, TypeError):
        return None


class Lives:
    """The life files of one cache root: the heartbeat of this process, and what was seen of others."""

    def __init__(self, root: str, own: Keeper) -> None:
        self._folder = f"{root}/{FOLDER}"
        self._me = own
        self._path = f"{self._folder}/{own.life}"
        self._lock = threading.Lock()
        self._held = 0
        self._beats = 0
        self._last_beat = 0.0
        self._permissions: int | None = None
        self._thread: Periodic | None = None
        #: What claims of this process on tasks are names of, with its permissions, once it is made.
        self._task_claim: tuple[str, int | None] | None = None
        self._can_link = True
        #: Life -> what its file said, and when that was first seen.
        self._seen: dict[str, tuple[bytes, float]] = {}

    def hold(self, lease_s: float, permissions: int | None) -> None:
        """A claim of this process begins: its heart beats."""
        with self._lock:
            self._held += 1
            self._permissions = permissions
            # The shortest lease that is asked for sets the pace, also for claims made before.
            pace = lease_s / _BEATS if self._thread is None else min(lease_s / _BEATS, self._thread.seconds)
            if not self._beats or time.monotonic() - self._last_beat > pace:
                self._beat()
            slow = self._thread if self._thread is not None and self._thread.seconds > pace else None
            if self._thread is None or slow is not None:
                self._thread = Periodic(self._beat_if_held, pace, f"cachedmodel-heartbeat {self._folder}")
                self._thread.start()
        if slow is not None:
            slow.stop()

    def let_go(self) -> None:
        """A claim of this process ended."""
        with self._lock:
            self._held -= 1

    def _beat_if_held(self) -> bool:
        with self._lock:
            if self._held <= 0:
                self._thread = None
                return False
            with contextlib.suppress(OSError):
                self._beat()  # a beat that fails is made up for by the next one
            return True

    def _beat(self) -> None:
        if not self._beats:
            refuse_links(os.path.dirname(self._folder), self._folder)
        self._beats += 1
        data = f"{self._beats:016x} {self._me.to_json()}\n".encode()
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        try:
            fd = os.open(self._path, flags, 0o644)
        except FileNotFoundError:
            make_folder(self._folder, self._permissions)
            fd = os.open(self._path, flags, 0o644)
        try:
            os.pwrite(fd, data, 0)
        finally:
            os.close(fd)
        self._last_beat = time.monotonic()

    def claim_task(self, path: str, claim: bytes, permissions: int | None) -> bool | None:
        """Claims a task by another name for one file, since all claims of this process on tasks read the same.

        So no file is made and removed for each: ext4, for one, looks for a free inode past all that were freed within minutes.

        Returns
        -------
        bool | None
            False if there is a file already; None if it has to be claimed by a file of its own.
        """
        with self._lock:
            if self._task_claim is None and self._can_link:
                publish(f"{self._path}{CLAIM}", [claim], permissions)
                self._task_claim = f"{self._path}{CLAIM}", permissions
            source, mode = self._task_claim or ("", None)
        if not source or mode != permissions:
            return None
        try:
            os.link(source, path)
        except FileExistsError:
            return False
        except FileNotFoundError:  # somebody took this process for dead and tidied up, or there is no folder yet
            self._task_claim = None
            return None
        except OSError as error:
            if error.errno != errno.EMLINK:  # of which some may end
                self._task_claim, self._can_link = None, False
            return None
        return True

    def is_alive(self, keeper: Keeper, lease_s: float) -> bool:
        """Whether a process lives: known at once on this host, after a lease without heartbeat elsewhere."""
        if keeper.life == self._me.life:
            return True
        here = lives_here(keeper)
        if here is not None:
            return here
        try:
            beat = File(f"{self._folder}/{keeper.life}").pread(64, 0)
        except OSError:
            beat = b""  # a mount may not show it yet, so this is no proof either
        now = time.monotonic()
        seen = self._seen.get(keeper.life)
        if seen is None or (beat and beat != seen[0]):
            self._seen[keeper.life] = (beat, now)
            return True
        return now - seen[1] < lease_s

    def bury(self, keeper: Keeper) -> None:
        """Removes the life file of a process that is dead, and what its claims were linked to."""
        if keeper.life:
            discard(f"{self._folder}/{keeper.life}")
            discard(f"{self._folder}/{keeper.life}{CLAIM}")

    def end(self) -> None:
        """Removes the life file of this process, and what its claims are linked to."""
        thread = self._thread
        if thread is not None:
            thread.stop()
        if self._beats:
            discard(self._path)
            discard(f"{self._path}{CLAIM}")


_lives: dict[str, Lives] = {}


def lives_of(root: str) -> Lives:
    """The lives of a cache root, one object for the process."""
    found = _lives.get(root)
    if found is None:
        own = me()
        with _lock:
            found = _lives.setdefault(root, Lives(root, own))
    return found


def _end_all() -> None:
    for lives in _lives.values():
        lives.end()


def _forget() -> None:
    global _me, _lock
    _me, _lock = None, threading.Lock()
    _lives.clear()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget)
