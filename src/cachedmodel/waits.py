"""Who waits for whom, across threads and processes: a computation that waits for itself, by way of others, is told so.

A computation that waits for an entry says so in a file beside that entry: a beat, which changes while it waits, and
what is being computed there. From what it computes itself, a waiting computation follows these files: who waits for
that, who waits for those, and so on. If it comes to the entry that it waits for, they all wait for one another.

A file of the dead proves nothing: only one whose beat was seen to change counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as tp
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


class Wait:
    """A wait for one entry that somebody else computes; to be used as a context.

    Parameters
    ----------
    target
        The method that is waited for.
    key
        The item.
    """

    def __init__(self, target: Target, key: str) -> None:
        self._target = target
        self._awaited: _Entry = (target.scope, key)
        self._chain: Chain = chain.get()
        self._next = time.monotonic() + _NOTICE_S
        self._path = ""
        self._beat = 0
        #: Path of a file -> the beat that was seen first, and when.
        self._seen: dict[str, tuple[bytes, float]] = {}

    def __enter__(self) -> Wait:
        return self

    def __exit__(self, *_: object) -> None:
        if self._path:
            files.discard(self._path)

    def look(self) -> None:
        """Says that the wait goes on, and looks whether it can end.

        Raises
        ------
        RecursiveComputeError
            If what is waited for waits for what is computed here.
        """
        now = time.monotonic()
        if not self._chain or now < self._next or not os.path.isabs(self._target.scope):
            return
        self._next = now + _LOOK_S
        with contextlib.suppress(OSError):  # where nothing can be written, nobody can be told
            self._tell()
        if self._is_in_a_circle():
            raise RecursiveComputeError(
                f"{self._target.describe(self._awaited[1])} is asked for by its own computation, by way of another process or "
                "thread: ask for another configuration or item there"
            )

    def _tell(self) -> None:
        self._beat += 1
        beat = f"{self._beat:0{_BEAT}x}".encode()
        if not self._path:
            path = f"{self._target.scope}/{PREFIX}{files.random_name()}"
            facts = {"key": self._awaited[1], "chain": [[scope, sorted(keys)] for scope, keys in self._chain]}
            fd = files.create(path)
            self._path, data = path, beat + json.dumps(facts).encode()
        else:
            fd, data = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW), beat
        try:
            os.pwrite(fd, data, 0)
        finally:
            os.close(fd)

    def _is_in_a_circle(self) -> bool:
        """True if who computes what is awaited waits, through whomever, for what is computed here."""
        known: set[_Entry] = set()
        new = [(scope, key) for scope, keys in self._chain for key in keys]
        while new:
            known.update(new)
            folders: dict[str, set[str]] = {}
            for scope, key in new:
                folders.setdefault(scope, set()).add(key)
            found = {entry for folder, keys in folders.items() for entry in self._waiting(folder, keys)}
            if self._awaited in found:
                return True
            new = [*(found - known)]
        return False

    def _waiting(self, folder: str, keys: set[str]) -> Iterator[_Entry]:
        """What is being computed by those who wait for one of the keys."""
        try:
            names = [name for name in os.listdir(folder) if name.startswith(PREFIX)] if os.path.isabs(folder) else []
        except OSError:
            return
        for name in names:
            facts = self._read(f"{folder}/{name}")
            if facts is not None and facts.get("key") in keys:
                yield from ((scope, key) for scope, some in facts["chain"] for key in some)

    def _read(self, path: str) -> dict[str, tp.Any] | None:
        """What a file says, if its beat was seen to change."""
        try:
            data = files.read_whole(path)
            beat, now = data[:_BEAT], time.monotonic()
            first, since = self._seen.setdefault(path, (beat, now))
            if beat == first:
                if now - since > _LEFT_OVER_S:
                    files.discard(path)
                return None
            facts = json.loads(data[_BEAT:])
        except (OSError, ValueError):
            return None
        return facts if isinstance(facts, dict) and isinstance(facts.get("chain"), list) else None
