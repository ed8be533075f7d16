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
from collections.abc import Callable, Iterable, Iterator, Sized

from .engine import INLINE, POOLS, Call, Work, submit
from .errors import ItemErrors
from .run import is_machinery
from .submission import workers

_PULL_S = 0.05  # a slow source of items must not hold up those that are there
_PULL_MOST = 1 << 16
_BAR_DELAY_S = 2.0


class Stream(Iterator[object]):
    """An iterator over outputs.

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

    def __init__(self, work: Work, items: Iterable[tp.Any], key: Callable[[tp.Any], str], return_errors: bool) -> None:
        self._work = work
        self._inline = work.infra.cluster in INLINE
        self._is_finite = isinstance(items, Sized)
        self._source = iter(items)
        self._key = key
        self._return_errors = return_errors
        self._pull = work.infra.chunk_size * (1 if self._inline else workers(work.infra))
        self._ahead: deque[tuple[Call, list[str]]] = deque()
        self._total = len(items) if isinstance(items, Sized) else None
        self._depth = 2 if work.infra.cluster in POOLS else 1
        if not self._inline:
            self._fill()
        self._outputs = self._iterate()

    def __next__(self) -> object:
        return next(self._outputs)

    def __iter__(self) -> Iterator[object]:
        return self._outputs

    def close(self) -> None:
        """Stops what this process computes for it; jobs go on."""
        self._outputs.close()

    def _iterate(self) -> tp.Generator[object, None, None]:
        failed: dict[str, BaseException] = {}
        bar = self._bar()
        try:
            while self._fill():
                call, keys = self._ahead[0]
                for key in keys:
                    if key in call.values or (call.wait(key) and key in call.values):
                        if not failed:
                            yield call.values[key]
                    else:
                        error = named(call, key)
                        if not self._return_errors:
                            failed[key] = error
                        else:
                            yield error
                    if bar is not None:
                        bar.update()
                call.finish()
                self._ahead.popleft()
                if failed and not self._is_finite:
                    break
            if failed:
                errors = [error for error in failed.values() if isinstance(error, Exception)]
                raise ItemErrors(f"{len(errors)} item(s) of {self._work.name} failed", errors)
        finally:
            if bar is not None:
                bar.close()
            for call, _ in self._ahead:
                call.stop()

    def _fill(self) -> bool:
        """Pulls and starts what comes next; False once there is nothing left."""
        while len(self._ahead) < self._depth:
            items = self._pulled()
            if not items:
                break
            keys = [self._key(item) for item in items]
            call = Call(self._work, dict(zip(keys, items, strict=True)))
            if self._inline:
                call.look()
                if len(items) == self._pull:  # as long as all is stored, larger look-ups cost less an item
                    self._pull = min(2 * self._pull, _PULL_MOST) if not call.unknown() else self._work.infra.chunk_size
            else:
                submit([call])
            self._work = call.work
            self._ahead.append((call, keys))
        return bool(self._ahead)

    def _pulled(self) -> list[object]:
        if not self._inline and self._work.infra.cluster not in POOLS:
            return list(self._source)
        first = list(itertools.islice(self._source, 1))
        if self._is_finite or not first:
            return first + list(itertools.islice(self._source, self._pull - 1))
        end = time.monotonic() + _PULL_S
        while len(first) < self._pull and time.monotonic() < end:
            more = list(itertools.islice(self._source, 1))
            if not more:
                break
            first += more
        return first

    def _bar(self) -> tp.Any:  # Any: tqdm is imported where a bar is shown, only
        infra = self._work.infra
        if not infra.progress or sys.stderr is None or not sys.stderr.isatty():
            return None
        from tqdm.auto import tqdm

        return tqdm(total=self._total, desc=self._work.name.rsplit(".", 2)[-1], delay=_BAR_DELAY_S, leave=False)


def named(call: Call, key: str) -> BaseException:
    """The error of an item, saying which; an error of the machinery is raised, since it is no item's."""
    error = call.errors[key]
    if is_machinery(error) or not isinstance(error, Exception):
        raise error
    note = call.describe(key)
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return error
