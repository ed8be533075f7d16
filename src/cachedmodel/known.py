"""What is known of some items of a method: values and errors, from memory and from the cache. Computes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from .cache import State
from .outcomes import Raised, read_only
from .work import Work


class Known:
    """Some items of one method, and what is known of them.

    Parameters
    ----------
    work
        The method and its configuration.
    items
        Items by their uid, in order.

    Attributes
    ----------
    values, errors
        What is known of the items.
    """

    def __init__(self, work: Work, items: Mapping[str, object]) -> None:
        self.work: Work = work
        self.items = items
        self.values: dict[str, object] = {}
        self.errors: dict[str, BaseException] = {}
        #: Versions of the entries that do not count, since they are to be computed again; None: not looked yet.
        self._outdated: dict[str, object] | None = {} if work.infra.mode in ("cached", "read-only") else None

    def is_known(self, key: str) -> bool:
        """True if the item has a value or an error."""
        return key in self.values or key in self.errors

    def unknown(self, keys: Iterable[str] | None = None) -> list[str]:
        """Uids without value or error, in order, of all items or some."""
        values, errors = self.values, self.errors
        keys = self.items if keys is None else keys
        return [key for key in keys if key not in values and key not in errors] if values or errors else list(keys)

    def known_values(self, keys: Sequence[str]) -> list[object]:
        """The values of some items in order, up to the first that has none."""
        values: list[object] = []
        with contextlib.suppress(KeyError):
            values.extend(map(self.values.__getitem__, keys))
        return values

    def states(self, keys: Iterable[str], *, fresh: bool = True) -> dict[str, State]:
        """What is stored of those keys that are stored and count, without decoding it; as `Cache.states`."""
        if self._outdated is None:
            self._outdated = self._find_outdated()
        keys, keep = list(keys), self.work.keep
        known: dict[str, State] = {}
        if keep and not keep.keys().isdisjoint(keys):
            known = {key: "failure" if type(keep[key]) is Raised else "value" for key in keys if key in keep}
        if self.work.cache is not None and len(known) < len(keys):
            rest = [key for key in keys if key not in known] if known else keys
            known.update(self.work.cache.states(self._current(rest), fresh=fresh))
        return known

    def irreplaceable(self, keys: Sequence[str]) -> frozenset[str]:
        """Those with a value that is to be computed again, and that a failure must not replace."""
        if self.work.infra.mode != "force" or self.work.cache is None:
            return frozenset()
        return frozenset(key for key, state in self.work.cache.states(keys).items() if state == "value")

    def _read(self, unknown: list[str], expected: int = 0) -> None:
        """Takes what is stored of unknown items, and counts."""
        keep = self.work.keep
        if self._outdated is None:
            self._outdated = self._find_outdated()
        if keep and not keep.keys().isdisjoint(unknown):
            self._take({key: keep[key] for key in unknown if key in keep})
            unknown = self.unknown(unknown)
        cache = self.work.cache
        if cache is not None and unknown:
            found = cache.read(self._current(unknown), expected)
            if keep is not None:
                keep.update(zip(found.values, map(read_only, found.values.values()), strict=True))
            self._take_values(found.values)
            for key, failure in found.failures.items():
                where = (
                    f"{self.work.target().describe(key)}: this failure is stored in {cache.folder!r}, and raised again;"
                    " infra.mode='retry' computes anew"
                )
                self._take_error(key, failure.exception(allow_pickle=self.work.infra.allow_pickle, where=where))

    def _take(self, outcomes: Mapping[str, object]) -> None:
        """Takes values, and the errors that were raised."""
        self._take_values({key: value for key, value in outcomes.items() if type(value) is not Raised})
        for key, value in outcomes.items():
            if type(value) is Raised:
                self._take_error(key, value.error)

    def _take_values(self, values: Mapping[str, object]) -> None:
        self.values.update(values)
        self._have_taken(values)

    def _take_error(self, key: str, error: BaseException) -> None:
        self.errors[key] = error
        self._have_taken([key])

    def _have_taken(self, keys: Iterable[str]) -> None:
        if self.work.infra.mode == "force":
            self.work.memory.forced.update(keys)

    def _refresh(self) -> None:
        """Has a mount that may show what was there seconds ago look anew."""
        if self.work.cache is not None:
            self.work.cache.refresh()

    def _find_outdated(self) -> dict[str, object]:
        """What was stored before this call, and is to be computed again."""
        work, force = self.work, self.work.infra.mode == "force"
        keys = [key for key in self.items if key not in work.memory.forced] if force else list(self.items)
        keep = work.keep or {}
        for key in keys if keep else ():
            if key in keep and (force or type(keep[key]) is Raised):
                del keep[key]
        if work.cache is None:
            return {}
        states = work.cache.states(keys)
        return {key: work.cache.version(key) for key, state in states.items() if force or state == "failure"}

    def _current(self, keys: list[str]) -> list[str]:
        """Those of the keys whose entry, if there is one, counts."""
        outdated, cache = self._outdated, self.work.cache
        if not outdated or cache is None or outdated.keys().isdisjoint(keys):
            return keys
        cache.refresh()  # or what is known would be looked up in what was read before
        return [key for key in keys if key not in outdated or cache.version(key) != outdated[key]]
