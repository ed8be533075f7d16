"""What is missing of some items: claimed, so that nobody else computes it, and started."""

from __future__ import annotations

import contextlib
import functools
import math
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence

from .cache import Cache
from .chain import check_recursion
from .computing import claiming_at, parts_at
from .dropping import catch_up, give_up
from .errors import MissingError
from .known import Known
from .part import Part, watch
from .run import Run
from .submission import submit
from .work import INLINE, Work

_CLAIM_S, _MOST_CLAIMED = 0.01, 1 << 13  # what is claimed at once should not take many times as long


class Starting(Known):
    """Some items of one method, of which those are started that nobody has computed or computes.

    Parameters
    ----------
    work, items
        As for `Known`.
    is_guarded
        Whether ``forbid_single_item_computation`` is about this call.
    stride
        How many items are claimed at once by a call that computes here, at first; None: as many as the method is given at
        once. A claim costs as much as very many quick items do, and should not hold what is computed only much later.

    Attributes
    ----------
    is_cancelled
        True if what is missing is not to be computed any more.
    claimed_at
        Since when it computes what it claimed last, by `time.monotonic`; the claim itself may take long on a network file system.
    """

    work: Work
    is_cancelled: bool = False
    claimed_at: float = math.inf
    _is_settled = False

    def __init__(
        self, work: Work, items: Mapping[str, object], *, is_guarded: bool = True, stride: int | None = None
    ) -> None:
        super().__init__(work, items)
        self._is_guarded = is_guarded
        self._stride = work.infra.chunk_size if stride is None else stride
        self._order: list[str] = []  # the uids, once some are computed here
        self._parts: dict[str, Part] = {}  # what computes an item
        self._collected: dict[Part, int] = {}  # how many outcomes of a part's run were looked at
        self._made: list[Part] = []

    @property
    def has_computed(self) -> bool:
        """True if it started what was missing."""
        return bool(self._made)

    def part(self, key: str) -> Part | None:
        """What computes an item in this process or through it."""
        return self._parts.get(key) or parts_at(self.work.place).get(key)

    def _have_taken(self, keys: Iterable[str]) -> None:
        super()._have_taken(keys)
        for key in keys if self._parts else ():
            part = self._parts.get(key)
            if part is not None and part.run is None:
                part.seen(key)

    def prepare(self, keys: Sequence[str] | None = None) -> list[str]:
        """Makes the folder for what is missing, and gives the uids that are neither known nor stored nor computed for this call.

        Parameters
        ----------
        keys
            Those that it is about; None: all.

        Raises
        ------
        MissingError
            If nothing may be computed.
        """
        missing = self.unknown(keys)
        if self._parts:
            missing = [key for key in missing if key not in self._parts]
        if missing and self.work.infra.mode == "read-only":  # else who claims looks anew
            self._refresh()
        # They were looked for just now, or at least not long ago; and who claims looks again.
        was_looked_for = keys is not None and self.work.is_task and self.work.infra.mode == "cached"
        stored = self.states(missing, fresh=False) if missing and not was_looked_for else {}
        if stored:
            missing = [key for key in missing if key not in stored]
        if not missing or self.is_cancelled:
            return []
        check_recursion(self.work.target(), missing)
        self._may_compute(missing)
        if not self._is_settled:
            self._is_settled = True
            work, self.work = self.work, self.work.settled()
            if self.work.cache is not work.cache:  # there may be results in it
                self._outdated = None if work.infra.mode in ("retry", "force") else {}
                return self.prepare(keys)
        return missing

    def _may_compute(self, missing: Sequence[str]) -> None:
        infra, name, is_task = self.work.infra, self.work.name, self.work.is_task
        if infra.mode == "read-only":
            what, verb = ("The result", "is") if is_task else (f"{len(missing)} of {len(self.items)} items", "are")
            names = "" if is_task else f": {', '.join(map(repr, missing[:5]))}{', ...' if len(missing) > 5 else ''}"
            raise MissingError(
                f"{what} of {name} {verb} not cached in {self.work.place!r}{names}. Nothing was computed because "
                "infra.mode='read-only'; use infra.mode='cached' to compute what is missing."
            )
        if infra.forbid_single_item_computation and self._is_guarded and len(missing) == 1 and not is_task:
            raise MissingError(
                f"item {missing[0]!r} of {name} is not cached, and infra.forbid_single_item_computation forbids to compute an "
                "item alone: compute all items in one call first, or unset it."
            )

    def claim(self, keys: Sequence[str]) -> Part | None:
        """A new part of those of `keys` that nobody computes; notes who computes the others in this process."""
        catch_up()
        place = self.work.place
        with claiming_at(place) as here:
            taken = {key: other for key in here.keys() & keys if not (other := here[key]).finished}
            for key, other in taken.items():
                self._parts[key] = other
                self._collected.pop(other, None)  # it may have this one already
            free = self._claim_stored([key for key in keys if key not in taken])
            if not free:
                return None
            part = self._new_part(free)
            part.on_end(functools.partial(_release, place, self.work.cache, part))
            mine = dict.fromkeys(free, part)
            self._parts.update(mine)
            here.update(mine)
        self._made.append(part)
        return part

    def _claim_stored(self, keys: list[str]) -> list[str]:
        cache = self.work.cache
        if cache is None or not keys:
            return keys
        try:
            return cache.claim(keys, self.work.replace)
        except OSError as error:
            self.work = self.work.unstored(error)
            return self._claim_stored(keys) if self.work.cache is not cache else keys

    def _new_part(self, keys: list[str]) -> Part:
        cluster = self.work.infra.cluster
        if cluster not in (*INLINE, "threadpool"):
            return Part(keys)
        items = dict(zip(keys, map(self.items.__getitem__, keys), strict=True))
        batches = self._batches(keys) if cluster in INLINE else None
        run = Run(self.work.target(), self.work.compute, items, self.irreplaceable(keys), batches)
        if cluster == "threadpool":
            return Part(keys, run)
        # a task is computed in one go: only an iterator may stop in between
        cache = None if self.work.is_task else self.work.cache
        claims = None if cache is None else (cache, self.work.replace)
        part = Part(keys, run, is_inline=True, claims=claims)
        weakref.finalize(self, give_up, part.stop)  # a call that is dropped leaves nobody to advance it
        if claims is not None:
            watch([part])
        return part

    def _start(self, key: str) -> None:
        """Has an item computed that nobody computes, with those that follow it."""
        infra = self.work.infra
        if infra.cluster not in INLINE:
            submit([self])
            return
        self._order = self._order or list(self.items)
        self._stride = next_stride(self._stride, infra.chunk_size, time.monotonic() - self.claimed_at)
        start = self._order.index(key)
        window = self._order[start : start + self._stride]
        # what may not be computed is told of all items
        refusing = infra.mode == "read-only" or infra.forbid_single_item_computation
        missing = self.prepare(None if refusing else window)
        if refusing:
            wanted = set(window)
            missing = [each for each in missing if each in wanted]
        if key in missing:
            self.claim(missing)
            self.claimed_at = time.monotonic()

    def _batches(self, keys: list[str]) -> list[list[str]]:
        """What the method is given at once: those of so many items side by side."""
        size, count = self.work.infra.chunk_size, len(keys)
        if count <= size:
            return [keys]
        start = self._order.index(keys[0])
        if keys == self._order[start : start + count]:
            return [keys[first : first + size] for first in range(0, count, size)]
        wanted, batches, left = set(keys), [], count
        while left:
            batch = [key for key in self._order[start : start + size] if key in wanted]
            start, left = start + size, left - len(batch)
            if batch:
                batches.append(batch)
        return batches


def next_stride(stride: int, smallest: int, seconds: float) -> int:
    """How many items to claim next, when it took so many seconds since the last `stride` of them were."""
    if 0.0 <= seconds < _CLAIM_S:
        return min(2 * stride, max(_MOST_CLAIMED, smallest))
    return max(stride // 2, smallest) if _CLAIM_S * 4 < seconds < math.inf else stride


def _release(place: str, cache: Cache | None, part: Part) -> None:
    """Nobody computes what is missing of a part that ended."""
    with claiming_at(place) as here:
        if {*here.values()} == {part}:
            here.clear()
        for key in part.keys if here else ():
            if here.get(key) is part:
                del here[key]
    if cache is not None:
        with contextlib.suppress(OSError):  # it cannot be tidied up: whoever looks sees that its keeper is gone
            cache.release(part.keys)
            if part.keeper is not None:
                cache.end_job(part.keeper)
