"""What is being computed here, from the outermost inwards: a computation that asks for itself is told so."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable

from .errors import RecursiveComputeError
from .outcomes import Target

#: The scope of a method, and uids of its items.
Chain = tuple[tuple[str, frozenset[str]], ...]
chain: contextvars.ContextVar[Chain] = contextvars.ContextVar("cachedmodel_chain", default=())


def check_recursion(target: Target, keys: Iterable[str]) -> None:
    """Raises if one of `keys` is being computed by who asks for it.

    Raises
    ------
    RecursiveComputeError
        Naming the method and the item.
    """
    for scope, computing in chain.get():
        if scope != target.scope:
            continue
        for key in keys:
            if key in computing:
                raise RecursiveComputeError(
                    f"{target.describe(key)} is asked for by its own computation, directly or through others: ask for another "
                    "configuration or item there"
                )
