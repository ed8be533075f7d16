"""A folder of entries that many processes share."""

from cachedmodel.failure import Failure

from .cache import Cache
from .columns import column_of
from .entry import Preceded
from .lives import Keeper
from .mapping import CacheDict, MapView
from .options import Found, Options, Replace, State

__all__ = [
    "Cache",
    "CacheDict",
    "Failure",
    "Found",
    "Keeper",
    "MapView",
    "Options",
    "Preceded",
    "Replace",
    "State",
    "column_of",
]
