"""How a call travels between processes, and how it ended there."""

from __future__ import annotations

import pickle
import typing as tp
from collections.abc import Callable

from cachedmodel.failure import Failure
from cachedmodel.mainmodule import by_value


def dump_call(call: Callable[[], object]) -> bytes:
    """A callable as bytes; what `__main__`, a function or a notebook defines travels by value."""
    return tp.cast(bytes, by_value().dumps(call, protocol=pickle.HIGHEST_PROTOCOL))


def run_dumped(call: bytes) -> Failure | None:
    """Runs a callable that arrived as bytes; an interruption (SIGINT) is nobody's outcome and is raised."""
    try:
        pickle.loads(call)()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Failure.of(error)
    return None
