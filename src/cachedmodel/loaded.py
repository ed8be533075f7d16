"""The libraries that values may be of, where they are imported: who has none of their values need not load them."""

from __future__ import annotations

import sys
import typing as tp


def loaded(name: str) -> tp.Any:  # Any: a module
    """A module that was imported to its end, else None: another thread may be in the midst of it."""
    module = sys.modules.get(name)
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module
