"""Who waits for whom, across threads and processes: a computation that waits for itself, by way of others, is told so.

A computation that waits for an entry says so in a file beside that entry: a beat, which changes while it waits, and
what is being computed there. From what it computes itself, a waiting computation follows these files: who waits for
that, who waits for those, and so on. If it comes to the entry that it waits for, they all wait for one another.

What is kept in memory alone has no folder, and only threads of one process wait for it: these are known there. Whoever
waits for an entry says of them too, in its file, that they wait for what is computed there.

A file of the dead proves nothing: only one whose beat was seen to change counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator

from .cache import files
from .chain import Chain, chain
from .errors import RecursiveComputeError
from .outcomes import Target

PREFIX = ".wait-"
#: A wait that is shorter than this is nobody's business.
_NOTICE_S = 1.0
#: Seconds between two looks.
_LOOK_S = 0.4
#: A file whose beat did not change for so long is left over.
_LEFT_OVER_S = 300.0
_BEAT = 16

#: An entry: its folder, and its key.
_Entry = tuple[str, str]

#: Of this process: those that wait for what is kept in memory alone.
_in_memory: set[Wait] = set()
os.register_at_fork(after_in_child=lambda: _in_memory.clear())


class Wait:
    """A wait for an entry that somebody else computes, or for some, one after the other; to be used as a context.

    Parameters
    ----------
    target
        The method that is waited for.
    key
        The item; the first one.
    """

    def __init__(self, target: Target, key: str) -> None:
        self._target = target
        self._awaited: _Entry = (target.scope, key)
        self._chain: Chain = chain.get()
        self._noticed = self._next = time.monotonic() + _NOTICE_S
        self._path = ""
        self._facts = b""
        self._beat = 0
        #: Path of a file -> the beat that was seen first, and when.
        self._seen: dict[str, tuple[bytes, float]] = {}

    def __enter__(self) -> Wait:
        return self

    def __exit__(self, *_: object) -> None:
        _in_memory.discard(self)
        if self._path:
            files.discard(self._path)

    @property
    def is_long(self) -> bool:
        """Whether it is long enough for something to be done about it."""
        return time.monotonic() >= self._noticed

    def look(self, key: str | None = None) -> None:
        """Says that the wait goes on, and looks whether it can end.

        Parameters
        ----------
        key
            What is waited for now; None: as before.

        Raises
        ------
        RecursiveComputeError
            If what is waited for waits for what is computed here.
        """
        now = time.monotonic()
        if key is not None and key != self._awaited[1]:
            self._awaited = (self._target.scope, key)
            self._noticed = self._next = now + _NOTICE_S
        if not self._chain or now < self._next:
            return
        self._next = now + _LOOK_S
        computing = self._computing()
        if os.path.isabs(self._target.scope):
            with contextlib.suppress(OSError):  # where nothing can be written, nobody can be told
                self._tell(computing)
        else:
            _in_memory.add(self)
        if self._is_in_a_circle(computing):
            raise RecursiveComputeError(
                f"{self._target.describe(self._awaited[1])} is asked for by its own computation, by way of another process or "
                "thread: ask for another configuration or item there"
            )

    def _computing(self) -> set[_Entry]:
        """What is computed here, and by threads that wait for that in memory, and by those that wait for these."""
        entries: set[_Entry] = set()
        new, others = [self], [*_in_memory]
        while new:
            entries.update((scope, key) for wait in new for scope, keys in wait._chain for key in keys)
            new = [wait for wait in others if wait._awaited in entries]
            others = [wait for wait in others if wait not in new]
        return entries

    def _tell(self, computing: set[_Entry]) -> None:
        self._beat += 1
        beat = f"{self._beat:0{_BEAT}x}".encode()
        facts = json.dumps({"key": self._awaited[1], "computing": sorted(computing)}).encode()
        if facts != self._facts:  # in a new file, so that nobody reads half of each
            path = f"{self._target.scope}/{PREFIX}{files.random_name()}"
            fd, data = files.create(path), beat + facts
            if self._path:
                files.discard(self._path)
            self._path, self._facts = path, facts
        else:
            fd, data = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW), beat
        try:
            os.pwrite(fd, data, 0)
        finally:
            os.close(fd)

    def _is_in_a_circle(self, computing: set[_Entry]) -> bool:
        """True if who computes what is awaited waits, through whomever, for what is computed here."""
        known: set[_Entry] = set()
        while computing:
            if self._awaited in computing:
                return True
            known |= computing
            folders: dict[str, set[str]] = {}
            for scope, key in computing:
                folders.setdefault(scope, set()).add(key)
            found = {entry for folder, keys in folders.items() for entry in self._waiting(folder, keys)}
            computing = found - known
        return False

    def _waiting(self, folder: str, keys: set[str]) -> Iterator[_Entry]:
        """What is being computed by those who wait for one of the keys."""
        try:
            names = [name for name in os.listdir(folder) if name.startswith(PREFIX)] if os.path.isabs(folder) else []
        except OSError:
            return
        for name in names:
            key, computing = self._read(f"{folder}/{name}")
            if key in keys:
                yield from computing

    def _read(self, path: str) -> tuple[str, list[_Entry]]:
        """What a file says: what is awaited, and what is being computed there; nothing if its beat was not seen to change."""
        nothing: tuple[str, list[_Entry]] = ("", [])
        try:
            data = files.read_whole(path)
            beat, now = data[:_BEAT], time.monotonic()
            first, since = self._seen.setdefault(path, (beat, now))
            if beat == first:
                if now - since > _LEFT_OVER_S:
                    files.discard(path)
                return nothing
            facts = json.loads(data[_BEAT:])
            return str(facts["key"]), [(str(scope), str(key)) for scope, key in facts["computing"]]
        except (OSError, ValueError, TypeError, KeyError):
            return nothing
