"""The outputs of a map, in the order of its items, while they come.

Items are pulled as outputs are consumed, some at a time: an endless iterable works with bounded memory. For jobs, which
outlive the iterator, all items are read and submitted when the map is called.
"""

from __future__ import annotations

import itertools
import sys
import time
import typing as tp
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence, Sized

from .engine import Call
from .errors import ItemErrors
from .progress import Bar
from .run import is_machinery
from .submission import POOLS, submit, workers
from .work import INLINE, Work

_PULL_S = 0.05  # a slow source of items must not hold up those that are there
_PULL_MOST = 1 << 16
_READ_FIRST, _READ_BYTES = 4, 1 << 22  # values are read so many at a time, and so many bytes at most


def stream(
    work: Work, items: Iterable[tp.Any], key: Callable[[tp.Any], str], *, return_errors: bool = False
) -> Generator[object, None, None]:
    """An iterator over outputs. When it is dropped, what this process computes for it stops; jobs go on.

    Parameters
    ----------
    work
        The method and its configuration.
    items
        Any iterable.
    key
        Gives the uid of an item.
    return_errors
        Give the exception of a failed item in its place, instead of raising at the first once the others are through.
    """
    feed = Feed(work, items, key)
    if work.infra.cluster not in INLINE:
        feed.fill()
    return _outputs(feed, return_errors)


class Feed:
    """Pulls items, and has them computed: a few calls ahead of who consumes the outputs.

    Parameters
    ----------
    work, items, key
        As for `stream`.

    Attributes
    ----------
    is_finite
        True if all items will be computed, whatever happens.
    total
        How many items there are, if that is known.
    """

    def __init__(self, work: Work, items: Iterable[tp.Any], key: Callable[[tp.Any], str]) -> None:
        self.work: Work = work
        self._is_inline = work.infra.cluster in INLINE
        self._is_pool = work.infra.cluster in POOLS
        self.total: int | None = len(items) if isinstance(items, Sized) else None
        self.is_finite: bool = self.total is not None or not (self._is_inline or self._is_pool)
        self._source = iter(items)
        self._broken: Exception | None = None
        self._key = key
        self._chunk = work.infra.chunk_size * (1 if self._is_inline else workers(work.infra))
        self._pull = self._chunk
        self._calls: deque[tuple[Call, list[str]]] = deque()
        self._has_computed = False
        self._has_logged = False

    def __del__(self) -> None:
        self.stop()

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
            items = self._pulled()
            if not items:
                return
            keys = [self._key(item) for item in items]
            call = Call(self.work, dict(zip(keys, items, strict=True)), is_guarded=not self._has_computed)
            self._calls.append((call, keys))
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
        if self._is_inline:  # as long as all is stored, larger look-ups cost less an item
            self._pull = self._chunk if call.has_computed else min(2 * self._pull, _PULL_MOST)

    def stop(self) -> None:
        """Stops what this process computes for it; jobs go on."""
        while self._calls:
            self._calls.popleft()[0].stop()


def _outputs(feed: Feed, return_errors: bool) -> Generator[object, None, None]:
    failed: dict[str, Exception] = {}
    read = _READ_FIRST
    bar = Bar(feed.work.infra, feed.work.name, feed.total)
    try:
        while (head := feed.head()) is not None:
            call, keys = head
            repeats = len(call.items) < len(keys)
            start = 0
            while start < len(keys):
                batch = keys[start : start + read]
                call.look(batch)
                if not call.is_known(batch[0]):
                    call.wait(batch[0])
                    call.look(batch)
                known = batch[: _count_known(call, batch)]
                start += len(known)
                read = _adapted(read, call, known)
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
                bar.update(len(known))
                if not repeats:
                    call.forget(known)
            feed.is_through(call)
            feed.next()
        if failed:
            raise item_errors(feed.work, failed)
    finally:
        bar.close()
        feed.stop()


def _count_known(call: Call, batch: Sequence[str]) -> int:
    for count, key in enumerate(batch):
        if not call.is_known(key):
            return count
    return len(batch)


def _adapted(read: int, call: Call, known: Sequence[str]) -> int:
    """How many values to read next time: many small ones, few large ones."""
    if len(known) < read:
        return max(_READ_FIRST, read // 2) if read >= _READ_FIRST else read
    size = sum(_size(call.values.get(key)) for key in known[:: max(1, len(known) // 8)]) * max(1, len(known) // 8)
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
