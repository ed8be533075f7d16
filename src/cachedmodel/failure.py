"""The failure of a computation, as it is stored and travels: text that anyone can read, and the exception where it pickles."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace

from .errors import ComputeError
from .mainmodule import by_value

#: Name under which failures are stored where values have the name of their codec.
CODEC = "failure"

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Failure:
    """What the user's code raised.

    Attributes
    ----------
    type_name
        Qualified name of the type, eg ``"builtins.ValueError"``.
    message
        ``str()`` of the exception.
    traceback
        The traceback as text, causes included.
    pickled
        The exception itself; empty where it does not come back from a pickle as its own type.
    """

    type_name: str
    message: str
    traceback: str
    pickled: bytes = b""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that `error` stands for, which was caught; its traceback leaves out the frame that caught it."""
        import traceback

        kind, below = type(error), error.__traceback__ and error.__traceback__.tb_next
        try:
            message = str(error)
        except Exception as wrong:
            message = f"(str() of the exception raised {type(wrong).__name__})"
        try:
            text = "".join(traceback.format_exception(kind, error, below))
        except Exception:
            text = f"{kind.__qualname__}: {message}\n"
        return cls(f"{kind.__module__}.{kind.__qualname__}", message, text, _pickled(error))

    def exception(self, *, allow_pickle: bool = True, where: str = "") -> BaseException:
        """The exception as its own type where it unpickles, else a `ComputeError` that carries its text.

        Parameters
        ----------
        allow_pickle
            False: never unpickle.
        where
            What is added to the note on the exception: the place of the entry, or the job and its log.
        """
        error = _unpickled(self.pickled) if allow_pickle and self.pickled else None
        if error is None:
            message = f"{self.type_name}: {self.message}" if self.message else self.type_name
            error = ComputeError(message, self.type_name, self.traceback)
        error.add_note(
            "\n".join(filter(None, [f"The traceback where it was raised:\n{self.traceback.rstrip()}", where]))
        )
        return error

    def without_pickle(self) -> Failure:
        """The same, as text only."""
        return replace(self, pickled=b"") if self.pickled else self

    def to_bytes(self) -> bytes:
        """As it is stored: length of the text, the text as JSON, the pickle."""
        text = json.dumps([self.type_name, self.message, self.traceback]).encode()
        return _LENGTH.pack(len(text)) + text + self.pickled

    @classmethod
    def from_bytes(cls, data: bytes) -> Failure:
        """The failure that was stored; ValueError if these bytes are none."""
        if len(data) < _LENGTH.size:
            raise ValueError("a stored failure is too short")
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        parts = json.loads(data[_LENGTH.size : end])
        if not (isinstance(parts, list) and len(parts) == 3 and all(isinstance(part, str) for part in parts)):
            raise ValueError("a stored failure has not three texts")
        return cls(parts[0], parts[1], parts[2], data[end:])


def _pickled(error: BaseException) -> bytes:
    # Exceptions whose __init__ takes other arguments than `args` pickle, but do not unpickle: try both.
    try:
        data: bytes = by_value().dumps(error)
    except Exception:
        return b""
    back = _unpickled(data)
    return data if back is not None and type(back).__qualname__ == type(error).__qualname__ else b""


def _unpickled(data: bytes) -> BaseException | None:
    from .codecs.mainclasses import loads

    try:
        error = loads(data)
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None
