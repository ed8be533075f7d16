"""Caches as mappings: `CacheDict`, a dictionary in a folder, and `MapView`, the values of a map to look at."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as tp
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView

from .cache import Cache
from .options import Options

V = tp.TypeVar("V")

#: What other processes do to a key that was seen before shows after so many seconds, at the latest.
FRESH_S = 0.1


class _Items(ItemsView[str, V]):
    """Keys and values; a value that cannot be read, or that was deleted meanwhile, is left out."""

    _mapping: Mapping[str, V]

    def __iter__(self) -> Iterator[tuple[str, V]]:
        for key in self._mapping:
            try:
                value = self._mapping[key]
            except KeyError:  # it is listed, but damaged, which is seen when it is read
                continue
            yield key, value


class _Values(ValuesView[V]):
    """Values, as far as they can be read."""

    _mapping: Mapping[str, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in _Items(self._mapping))


class MapView(Mapping[str, V]):
    """The values that are stored in a cache, by item uid, read when they are asked for. Failures are not in it.

    A value that turns out to be damaged is missing: ``items()`` and ``values()`` leave it out, and asking for its key
    is a `KeyError`.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def __getitem__(self, key: str) -> V:
        values = self._cache.read([key]).values if isinstance(key, str) else {}
        if key not in values:
            raise KeyError(key)
        return tp.cast(V, values[key])

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._cache.states([key]).get(key) == "value"

    def __iter__(self) -> Iterator[str]:
        return (key for key, state in self._cache.items() if state == "value")

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> ItemsView[str, V]:
        """Keys and values, as far as they can be read."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Values, as far as they can be read."""
        return _Values(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._cache.folder!r}>"


class CacheDict(MutableMapping[str, V]):
    """A dictionary in a folder, which many threads, processes and hosts may use at once.

    A value that was set is there for everybody, and survives the process. Values are stored without pickle where that
    gives back exactly the same value.

    Parameters
    ----------
    folder
        Where the entries are; made when the first is set.
    keep_in_ram
        Hand out the same object again for a key that was read or set here, until somebody sets or deletes it.
    codec
        Name of the codec for values; None: the first that gives back exactly the value.
    permissions
        Mode for what is made in the folder, eg ``0o777``; None: the umask decides.
    allow_pickle
        False: nothing pickled is written or loaded.
    trusted_users
        Users whose pickled entries are loaded; this user and root always are.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> scores: CacheDict[float] = CacheDict(folder)
    >>> scores["a"] = 0.5
    >>> CacheDict(folder)["a"]
    0.5
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep_in_ram: bool = False,
        codec: str | None = None,
        permissions: int | None = None,
        allow_pickle: bool = True,
        trusted_users: tuple[str, ...] = (),
    ) -> None:
        self.folder: str = os.path.abspath(os.path.expandvars(os.path.expanduser(os.fspath(folder))))
        self.keep_in_ram = keep_in_ram
        self._options = Options(
            codec=codec, permissions=permissions, allow_pickle=allow_pickle, trusted_users=tuple(trusted_users)
        )
        self._connect()

    def _connect(self) -> None:
        # An own object, not the shared one: two dictionaries on one folder may have different options.
        self._cache = Cache(self.folder, self.folder, single=False, options=self._options)
        self._ram: dict[str, tuple[object, V]] = {}
        self._looked = 0.0
        self._batch_of: threading.local = threading.local()

    def __getstate__(self) -> dict[str, object]:
        self._cache.commit()
        return {"folder": self.folder, "keep_in_ram": self.keep_in_ram, "_options": self._options}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._connect()

    # -- reading

    def _look(self) -> None:
        """Looks for what others did, if the last look is not fresh any more."""
        now = time.monotonic()
        if now - self._looked > FRESH_S:
            self._looked = now
            self._cache.refresh()

    def __getitem__(self, key: str) -> V:
        _check(key)
        self._look()
        if self.keep_in_ram:
            kept = self._ram.get(key)
            if kept is not None and kept[0] == self._cache.version(key):
                return kept[1]
        found = self._cache.read([key]).values
        if key not in found:
            self._ram.pop(key, None)
            raise KeyError(key)
        value = tp.cast(V, found[key])
        if self.keep_in_ram:
            self._ram[key] = (self._cache.version(key), value)
        return value

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        self._look()
        return bool(self._cache.states([key]))

    def __iter__(self) -> Iterator[str]:
        return self._cache.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self._cache.items())

    def items(self) -> ItemsView[str, V]:
        """Keys and values, as far as they can be read."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Values, as far as they can be read."""
        return _Values(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.folder!r})"

    # -- writing

    def __setitem__(self, key: str, value: V) -> None:
        _check(key)
        if getattr(self._batch_of, "depth", 0):
            self._cache.write(key, value)
        else:
            # What others did first: a value that is set supersedes it, whoever was quicker to open a file.
            self._cache.refresh()
            self._cache.write(key, value)
            self._cache.commit()
        if self.keep_in_ram:
            self._cache.commit()
            self._ram[key] = (self._cache.version(key), value)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._ram.pop(key, None)
        self._cache.delete([key])

    def clear(self) -> None:
        """Deletes everything, also what other processes set until now."""
        self._ram.clear()
        self._cache.delete()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Within it, what is set becomes visible to others in blocks, the last one at its end: much faster."""
        self._cache.refresh()
        self._batch_of.depth = getattr(self._batch_of, "depth", 0) + 1
        try:
            yield
        finally:
            self._batch_of.depth -= 1
            self._cache.commit()

    def close(self) -> None:
        """Ends the file that this process writes, so that others read it faster; the dictionary can be used again."""
        self._cache.close()


def _check(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"keys of a CacheDict are strings, not {type(key).__name__}: use str(key), or repr(key)")
