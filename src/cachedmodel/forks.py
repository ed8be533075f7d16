"""Forks beside threads: none is made while another thread imports something, as far as that can be seen.

The child would wait for ever for the lock of that module, which belongs to a thread that it does not have. This package
imports in the midst of its work what it needs then, also in threads, so it is for this package to prevent it.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time

#: A fork does not wait longer than this for imports.
_PATIENCE_S = 3.0
_LOOK_S = 0.001


def _others_import() -> bool:
    """Whether other threads are in the midst of imports, as far as this Python tells."""
    me = threading.get_ident()
    # CPython tells this nowhere else; it renews all other locks of the import system in a child, but not these
    known = getattr(getattr(importlib, "_bootstrap", None), "_module_locks", {})
    return any(getattr(lock(), "owner", None) not in (None, me) for lock in list(known.values()))


def _wait_for_imports() -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while _others_import() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def _import_anew() -> None:
    """In a child: what another thread was importing all the same, having begun just before the fork, is not imported yet."""
    me = threading.get_ident()
    locks = getattr(getattr(importlib, "_bootstrap", None), "_module_locks", {})
    for name, lock in list(locks.items()):
        if getattr(lock(), "owner", None) not in (None, me):
            del locks[name]
            if getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False):
                del sys.modules[name]


os.register_at_fork(before=_wait_for_imports, after_in_child=_import_anew)
