"""How the end of a call travels between processes: nothing, or an exception that comes back as its own type.

An exception is pickled only if it also unpickles, to the same type, where it was raised: many classes pickle and
then fail to load. Type name and traceback travel as text beside it, for all others.
"""

from __future__ import annotations

import dataclasses
import pickle
import traceback
import typing as tp
from collections.abc import Callable

from cachedmodel.errors import ComputeError
from cachedmodel.mainmodule import by_value


@dataclasses.dataclass(frozen=True, slots=True)
class Raised:
    """An exception, in a form that can be read in every process."""

    type_name: str
    message: str
    traceback: str
    pickled: bytes

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """An error that was just caught; the traceback leaves out the frame that caught it."""
        kind = type(error)
        below = error.__traceback__ and error.__traceback__.tb_next
        text = "".join(traceback.format_exception(kind, error, below))
        return cls(f"{kind.__module__}.{kind.__qualname__}", _text(error), text, _pickled(error))

    def exception(self, where: str) -> BaseException:
        """The exception itself, else a `ComputeError`; a note tells `where` it was raised, with the traceback there."""
        error = self._loaded()
        if error is None:
            message = f"{self.type_name}: {self.message}\nIts own type cannot be restored here (it does not unpickle)."
            error = ComputeError(message, self.type_name, self.traceback)
        error.add_note(f"Raised {where}:\n{self.traceback}".rstrip())
        return error

    def _loaded(self) -> BaseException | None:
        if not self.pickled:
            return None
        try:
            error = pickle.loads(self.pickled)
        except Exception:  # the module may be missing here, and a class may do anything when it is loaded
            return None
        return error if isinstance(error, BaseException) else None

    def dumps(self) -> bytes:
        return pickle.dumps(dataclasses.astuple(self))

    @classmethod
    def loads(cls, data: bytes) -> Raised:
        return cls(*pickle.loads(data))


def dump_call(call: Callable[[], object]) -> bytes:
    """A callable as bytes; what `__main__`, a function or a notebook defines travels by value."""
    return tp.cast(bytes, by_value().dumps(call, protocol=pickle.HIGHEST_PROTOCOL))


def run_dumped(call: bytes) -> Raised | None:
    """Runs a callable that arrived as bytes; an interruption (SIGINT) is nobody's outcome and is raised."""
    try:
        pickle.loads(call)()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Raised.of(error)
    return None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a broken __str__ must not hide the failure
        return "(its message cannot be shown)"


def _pickled(error: BaseException) -> bytes:
    try:
        data = tp.cast(bytes, by_value().dumps(error, protocol=pickle.HIGHEST_PROTOCOL))
        same = type(pickle.loads(data)) is type(error)
    except Exception:  # user classes raise anything here
        return b""
    return data if same else b""
