"""The module of a script, which has two names; and pickles by value of what it defines, since jobs cannot import it."""

from __future__ import annotations

import sys
import typing as tp

#: What a script is called, and what multiprocessing calls it in the processes that it spawns.
MAIN = ("__main__", "__mp_main__")


def by_value() -> tp.Any:  # Any: a module without annotations
    """The module cloudpickle, which by itself knows of the first name alone."""
    import cloudpickle

    spawned = sys.modules.get(MAIN[1])
    if spawned is not None and spawned.__name__ == MAIN[1]:  # elsewhere it is another name of `__main__`
        cloudpickle.register_pickle_by_value(spawned)
    return cloudpickle
