"""Who takes part: one file each, with a class `Contender` that has the methods of some protocols of `contract.py`."""

from __future__ import annotations

import importlib
import importlib.util

OURS = "cachedmodel"
#: Written by hand, and promising less: neither provenance, claims, checksums nor failures.
FLOORS = ("pydantic", "lru", "raw", "rawlog")
#: Libraries, by the name of their package; one that is not installed is left out.
PEERS = ("exca", "joblib", "diskcache", "lmdb")

#: Contenders whose configurations are dicts, or those of the floor: they define no model.
WITHOUT_MODELS = ("raw", "joblib", "diskcache")


def installed(name: str) -> bool:
    """Whether the package of a peer is there."""
    return importlib.util.find_spec(name) is not None


def load(name: str) -> object:
    """A contender."""
    contender: object = importlib.import_module(f"{__name__}.{name}").Contender()
    return contender
