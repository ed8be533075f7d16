"""A child's end of the conversation with the run that started it: one JSON value a line."""

from __future__ import annotations

import json
import os
import sys
import typing as tp


class Channel:
    """Answers on what was the standard output; whatever is printed goes to the log of the run instead."""

    #: That of this process.
    current: tp.ClassVar[Channel]

    def __init__(self, log: str) -> None:
        Channel.current = self
        self._replies = os.fdopen(os.dup(1), "w")
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)

    def requests(self) -> tp.Iterator[dict[str, tp.Any]]:
        """What the run asks for, until it has no more."""
        while line := sys.stdin.readline():
            yield json.loads(line)

    def answer(self, value: dict[str, object]) -> None:
        """Answers."""
        self._replies.write(json.dumps(value) + "\n")
        self._replies.flush()

    def gate(self) -> None:
        """Says that this process is ready, and returns when the run lets all go."""
        self.answer({"ready": True})
        sys.stdin.readline()
