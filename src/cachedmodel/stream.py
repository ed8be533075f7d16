"""The outputs of a map, in the order of its items, while they come.

Items are pulled as outputs are consumed, some at a time: an endless iterable works with bounded memory. For jobs, which
outlive the iterator, all items are read and submitted when the map is called.
"""

from __future__ import annotations

import functools
import itertools
import sys
import time
import typing as tp
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized

from .dropping import give_up
from .engine import Call
from .errors import ItemErrors, is_machinery
from .outcomes import Raised
from .progress import Bar
from .starting import next_stride
from .submission import POOLS, submit, workers
from .work import INLINE, Work

_PULL_S = 0.05  # a slow source of items must not hold up those that are there
_PULL_MOST = 1 << 16
_FEW = 64  # items of a list that are looked up in memory at once
_READ_FIRST, _READ_BYTES = 4, 1 << 20  # values are read so many at a time, and so many bytes at most

Keys = Callable[[Sequence[tp.Any]], list[str]]  # Any: the user's items


def stream(work: Work, items: Iterable[tp.Any], keys: Keys, *, return_errors: bool = False) -> Iterator[object]:
    """An iterator over outputs. When it is dropped, what this process computes for it stops; jobs go on.

    Parameters
    ----------
    work
        The method and its configuration.
    items
        Any iterable.
    keys
        Gives the uids of items.
    return_errors
        Give the exception of a failed item in its place, instead of raising at the first once the others are through.
    """
    feed = Feed(work, items, keys)
    if work.infra.cluster not in INLINE:
        feed.fill()
    return _outputs(feed, return_errors)


def few(kept: Mapping[str, object], items: Iterable[tp.Any], uid: Callable[[tp.Any], str]) -> list[object] | None:
    """The outputs of a few items, if all are kept in memory: without whatever streaming takes."""
    if type(items) not in (list, tuple, range) or len(tp.cast("Sized", items)) > _FEW:
        return None
    values = []
    try:
        for item in items:
            key = uid(item)
            value = kept[key]
            if type(value) is Raised or type(key) is not str:
                return None
            values.append(value)
    except Exception:  # it is not kept; or what is wrong is raised when the outputs are asked for
        return None
    return values


def _kept_values(kept: Mapping[str, object], keys: Sequence[str]) -> list[object] | None:
    """The values of some items in order, if all are kept."""
    try:
        values = list(map(kept.__getitem__, keys))
    except KeyError:
        return None
    return None if Raised in set(map(type, values)) else values


class Feed:
    """Pulls items, and has them computed: a few calls ahead of who consumes the outputs.

    Parameters
    ----------
    work, items, keys
        As for `stream`.

    Attributes
    ----------
    is_finite
        True if all items will be computed, whatever happens.
    total
        How many items there are, if that is known.
    """

    def __init__(self, work: Work, items: Iterable[tp.Any], keys: Keys) -> None:
        self.work: Work = work
        self._is_inline = work.infra.cluster in INLINE
        self._is_pool = work.infra.cluster in POOLS
        self.total: int | None = len(items) if isinstance(items, Sized) else None
        self.is_finite: bool = self.total is not None or not (self._is_inline or self._is_pool)
        self._source = iter(items)
        self._broken: Exception | None = None
        self._keys = keys
        self._chunk = work.infra.chunk_size * (1 if self._is_inline else workers(work.infra))
        self._pull = self._chunk
        self._calls: deque[tuple[Call, list[str]]] = deque()
        self._dropped: weakref.finalize[..., Feed] | None = None
        self._ahead: tuple[list[tp.Any], list[str]] | None = None  # pulled, and not all in memory
        self._has_computed = False
        self._has_logged = False

    def kept(self) -> list[object] | None:
        """The next outputs, if those of the items pulled are all in memory."""
        keep = self.work.keep
        if not keep or not self._is_inline or self._calls or self._ahead is not None or self.work.infra.mode == "force":
            return None
        items = self._pulled()
        if not items:
            return None
        keys = self._keys(items)
        values = _kept_values(keep, keys)
        if values is None:
            self._ahead = items, keys
        else:
            self._pull = min(2 * self._pull, _PULL_MOST)
        return values

    def head(self) -> tuple[Call, list[str]] | None:
        """The call that comes next, and the uids of its items in order; None after the last one."""
        self.fill()
        if not self._calls and self._broken is not None:
            raise self._broken
        return self._calls[0] if self._calls else None

    def next(self) -> None:
        """Lets go of the first call, all of whose outputs were handed out."""
        call, _ = self._calls[0]
        call.finish()
        self._calls.popleft()

    def fill(self) -> None:
        """Pulls and starts what comes next."""
        while len(self._calls) < (2 if self._is_pool else 1):
            if self._ahead is not None:
                (items, keys), self._ahead = self._ahead, None
            else:
                items = self._pulled()
                if not items:
                    return
                keys = self._keys(items)
            unique = dict(zip(keys, items, strict=True))
            call = Call(self.work, unique, is_guarded=not self._has_computed, stride=max(self._chunk, len(unique)))
            self._calls.append((call, keys))
            if self._dropped is None:
                self._dropped = weakref.finalize(self, give_up, functools.partial(_stop, self._calls))
            if not self._is_inline:
                self._has_logged = submit([call], log=not self._has_logged) or self._has_logged
                self._has_computed = self._has_computed or call.has_computed

    def _pulled(self) -> list[object]:
        """Some items; what the source raises is raised after the outputs of the items before."""
        if self._broken is not None:
            return []
        if not (self._is_inline or self._is_pool):
            return list(self._source)
        out: list[object] = []
        end = time.monotonic() + _PULL_S
        try:
            if self.total is not None:
                out.extend(itertools.islice(self._source, self._pull))
            else:
                for item in self._source:
                    out.append(item)
                    if len(out) >= self._pull or time.monotonic() > end:
                        break
        except Exception as error:
            self._broken = error
        return out

    def is_through(self, call: Call) -> None:
        """Says that all outputs of the first call were handed out: `call` as it is now."""
        self.work = call.work
        if call.has_computed:
            self._has_computed = True
        if self._is_inline and call.has_computed:
            self._pull = next_stride(min(self._pull, len(call.items)), self._chunk, time.monotonic() - call.claimed_at)
        elif self._is_inline:  # as long as all is stored, larger look-ups cost less an item
            self._pull = min(2 * self._pull, _PULL_MOST)

    def stop(self) -> None:
        """Stops what this process computes for it; jobs go on. The collector may call it, in whatever thread."""
        if self._dropped is not None:
            self._dropped()


def _outputs(feed: Feed, return_errors: bool) -> Generator[object, None, None]:
    failed: dict[str, Exception] = {}
    read = _READ_FIRST
    bar = Bar(feed.work.infra, feed.work.name, feed.total)
    try:
        while True:
            while (values := feed.kept()) is not None:
                bar.update(len(values))
                if not failed:
                    yield from values
            head = feed.head()
            if head is None:
                break
            call, keys = head
            repeats = len(call.items) < len(keys)
            start = 0
            while start < len(keys):
                known, values = _next_known(call, keys[start : start + read], feed.total)
                start += len(known)
                read = _adapted(read, values, known)
                bar.update(len(known))
                if len(values) < len(known):
                    yield from _with_errors(feed, call, known, failed, return_errors)
                if not repeats:
                    call.forget(known)
                if len(values) == len(known) and not failed:
                    yield from values
                del values  # before others are read
            feed.is_through(call)
            feed.next()
        if failed:
            raise item_errors(feed.work, failed)
    finally:
        bar.close()
        feed.stop()


def _stop(calls: deque[tuple[Call, list[str]]]) -> None:
    while calls:
        calls.popleft()[0].stop()


def _next_known(call: Call, keys: Sequence[str], total: int | None) -> tuple[Sequence[str], list[object]]:
    """Those of the next items that are known, up to the first that is not, and their values, up to the first failed one.

    That is at least one item, which is waited for.
    """
    call.look(keys, total or 0)
    if not call.is_known(keys[0]):
        is_here = call.computes(keys[0])
        call.wait(keys[0])
        if not is_here:
            call.look(keys, total or 0)
    values = call.known_values(keys)
    return list(itertools.takewhile(call.is_known, keys)) if call.errors else keys[: len(values)], values


def _with_errors(
    feed: Feed, call: Call, known: Sequence[str], failed: dict[str, Exception], return_errors: bool
) -> Iterator[object]:
    """The values of items in order, up to the first failed one, whose error is noted; or with the errors in their place."""
    for key in known:
        if key in call.values:
            if not failed:
                yield call.values[key]
        elif return_errors:
            yield named(call, key)
        else:
            failed[key] = item_error(call, key)
            if not feed.is_finite:
                raise item_errors(feed.work, failed)


def _adapted(read: int, values: Sequence[object], known: Sequence[str]) -> int:
    """How many values to read next time: many small ones, few large ones."""
    if len(known) < read:
        return max(_READ_FIRST, read // 2) if read >= _READ_FIRST else read
    step = max(1, len(known) // 8)
    size = sum(map(_size, values[::step])) * step
    if size > _READ_BYTES:
        return max(1, read // 2)
    return min(2 * read, _PULL_MOST) if 2 * size <= _READ_BYTES else read


def _size(value: tp.Any, depth: int = 3) -> int:  # Any: whatever a map gives
    """About how many bytes a value takes."""
    if depth and isinstance(value, dict):
        value = list(value.values())
    if depth and isinstance(value, (list, tuple)):
        return sum(_size(item, depth - 1) for item in value[:8]) * max(1, len(value) // 8)
    size = getattr(value, "nbytes", None)
    return size if isinstance(size, int) else sys.getsizeof(value)


def named(call: Call, key: str) -> BaseException:
    """The error of an item, saying which."""
    error = call.errors[key]
    note = call.work.target().describe(key)
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return error


def item_error(call: Call, key: str) -> Exception:
    """The error of an item, saying which; an error of the machinery is raised, since it is no item's."""
    error = named(call, key)
    if is_machinery(error) or not isinstance(error, Exception):
        raise error
    return error


def item_errors(work: Work, failed: dict[str, Exception]) -> ItemErrors:
    """The errors of items as one."""
    return ItemErrors(f"{len(failed)} item(s) of {work.name} failed", list(failed.values()))
