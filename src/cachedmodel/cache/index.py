"""All shards of a folder as one look-up: key -> what the newest shard says about it.

Order is (generation of the shard, its name, position in it), so no clock decides what supersedes what. What was
found is remembered in `_memo`; when it holds everything (`_complete`), what is not in it is not stored.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from . import columns, frames
from .files import names_in, open_files, warn_once
from .merged import MergedIndex
from .records import Where
from .shard import ABSENT, Shard
from .shardname import SUFFIX

#: Look-ups of so many keys at once, or of this part of all rows, read whole shards.
_MANY_KEYS = 256
_MANY_PART = 8
#: Rows that are scanned in the time of looking up one key in one shard.
_LOOKUP_COST = 8
#: Changes of other processes after which a complete memo is built again rather than patched.
_MOST_STALE = 10_000
#: Looks at a folder in which files vanish one after the other; a mount may go on listing one that is gone.
_MOST_LOOKS = 8


class Index:
    """The shards of one folder, as far as this process has looked.

    Parameters
    ----------
    folder
        The folder.
    most_found, most_loaded
        Entries that are remembered, and sealed shards whose tables are filled because many of their keys were asked.
    """

    def __init__(self, folder: str, *, most_found: int = 1 << 17, most_loaded: int = 2) -> None:
        self.folder = folder
        self._most_found = most_found
        self._most_loaded = most_loaded
        self.accept: Callable[[bytes], bool] | None = None
        self.looked: bool = False
        self._shards: dict[str, Shard] = {}
        #: Those that count, newest first.
        self._newest: list[Shard] = []
        self._memo: dict[str, object] = {}
        #: Keys that were looked for, and are not stored: they are asked for again, for a claim and before they are written.
        self._absent: set[str] = set()
        self._complete = False
        #: Keys whose place in a complete memo is not right any more.
        self._stale: set[str] = set()
        #: A shard turned out to be gone in the midst of a look-up.
        self._gone = False
        self._merged = MergedIndex()
        #: Keys that were looked up since the memo was empty.
        self._asked = 0
        self._changes = 0

    # -- what there is

    def refresh(self, names: Iterable[str] | None = None) -> bool:
        """Looks for new shards and entries; True if there are any, or some are gone. `names`: a listing made just now."""
        self.looked = True
        before = self._changes
        self._gone = False
        if names is None:
            names = names_in(self.folder)
        present = {name for name in names if name.endswith(SUFFIX)}
        changed = False
        for name in self._shards.keys() - present:
            if not self._shards[name].own:
                self._drop(name)
                changed = True
        for name in present:
            shard = self._shards.get(name)
            if shard is None:
                changed |= self._open(name)
            elif shard.growing and not shard.own:
                changed |= self._tail(shard)
        if changed:
            self._changes += 1
            self._sort()
        return self._changes != before

    def _open(self, name: str) -> bool:
        shard = Shard(self.folder, name)
        try:
            fresh = shard.open(self.accept)
        except FileNotFoundError:
            return False  # compacted or cleared since the listing
        except OSError as error:
            self._shards[name] = shard
            return self._set_aside(shard, error)
        self._shards[name] = shard
        if shard.footer is not None:
            self._forget_found()
        else:
            self._apply(fresh)
        return True

    def _tail(self, shard: Shard) -> bool:
        order, was_begun, cleared = shard.order, shard.header is not None, shard.clears
        try:
            fresh = shard.tail(self.accept)
        except OSError as error:
            return self._set_aside(shard, error)
        # What a footer alone tells is not in `fresh`: all of a shard that was seen empty, or what was in a damaged part.
        is_unlisted = shard.footer is not None and (not was_begun or shard.has_gaps)
        if is_unlisted:
            self._forget_found()
        elif fresh:
            self._apply(fresh)
        return is_unlisted or shard.order != order or shard.ignored or shard.clears != cleared

    def _set_aside(self, shard: Shard, error: OSError) -> bool:
        """Does without a shard that the system does not let us read; one that is gone needs no word."""
        if error.errno in (errno.ENOENT, errno.ESTALE):
            self._drop(shard.name)
            self._gone = True
        else:
            shard.ignored, shard.hides = True, shard.replaces
            self._forget_found()
            warn_once(shard.path, f"it cannot be read ({error.strerror})", "Give this user the right to read it.")
        return True

    def _drop(self, name: str) -> None:
        shard = self._shards.pop(name, None)
        if shard is not None:
            open_files.drop(shard.path)
        self._forget_found()

    def _sort(self) -> None:
        counting = (shard for shard in self._shards.values() if shard.hides or not shard.ignored)
        shards = sorted(counting, key=lambda shard: shard.order, reverse=True)
        floor = next((number for number, shard in enumerate(shards) if shard.clears), len(shards))
        if [*map(id, shards[: floor + 1])] != [*map(id, self._newest)]:
            self._newest = shards[: floor + 1]
            if floor < len(shards):
                self._forget_found()

    def _forget_found(self) -> None:
        self._memo.clear()
        self._absent.clear()
        self._stale.clear()
        self._complete = False
        self._asked = 0

    def _apply(self, fresh: Mapping[str, object]) -> None:
        """What was found before about these keys does not count any more."""
        self._changes += bool(fresh)
        self._absent.difference_update(fresh)
        if not self._memo.keys().isdisjoint(fresh):
            for key in fresh:
                self._memo.pop(key, None)
        if self._complete:
            self._stale.update(fresh)
            if len(self._stale) > _MOST_STALE:
                self._forget_found()

    # -- the shard of this process

    def adopt(self, name: str, header: frames.Header) -> Shard:
        """The shard that this process begins to write."""
        shard = Shard(self.folder, name)
        shard.own, shard.made_here, shard.table, shard.header, shard.position = True, True, {}, header, header.end
        self._shards[name] = shard
        self._sort()
        return shard

    def wrote(self, shard: Shard, position: int, entries: Mapping[str, object]) -> None:
        """Entries that this process committed to its own shard, up to `position`."""
        assert shard.table is not None
        shard.position = position
        shard.table.update(entries)
        if self._complete and self._newest and self._newest[0] is shard:
            self._memo.update(entries)
            self._absent.difference_update(entries)
            self._stale.difference_update(entries)
            self._limit()
        else:
            self._apply(entries)

    def disown(self, shard: Shard) -> None:
        """The shard is no longer written by this process: it is read like any other."""
        shard.own = False
        with contextlib.suppress(OSError):
            shard.turn_over()

    def newest(self) -> list[Shard]:
        """The shards that count, newest first."""
        return self._newest

    @property
    def generation(self) -> int:
        """The highest generation seen."""
        return max((shard.order[0] for shard in self._shards.values()), default=0)

    def supersedes(self, order: tuple[int, str], keys: Iterable[str]) -> bool:
        """True if a shard of higher order says something about one of the keys, or clears."""
        higher = []
        for shard in self._newest:
            if shard.order <= order:
                break
            if shard.clears:
                return True
            higher.append(shard)
        hashed = _hashes(list(keys)) if higher else {}
        return any(self._ask(shard, hashed) or shard.clears for shard in higher)

    # -- look-ups

    def find(self, keys: Collection[str], expected: int = 0) -> dict[str, object]:
        """Value of a column or `Where`, for the keys that are stored; `expected`: of how many, asked one after the other."""
        found = self._find(keys, expected)
        for _ in range(_MOST_LOOKS):
            if not self._gone:
                break
            # Compacted or cleared since the last look: what it superseded or deleted must not speak in its place.
            self._forget_found()
            self.refresh()
            found = self._find(keys, expected)
        return found

    def _find(self, keys: Collection[str], expected: int) -> dict[str, object]:
        memo, absent = self._memo, self._absent
        found: dict[str, object] = {}
        if absent.issuperset(keys):
            return found
        rest = list(keys) if absent.isdisjoint(keys) else [key for key in keys if key not in absent]
        if not memo.keys().isdisjoint(keys):  # which takes a moment where all are new
            known = zip(keys, map(memo.get, keys, itertools.repeat(ABSENT)), strict=False)
            found = {key: value for key, value in known if value is not ABSENT and value is not columns.DELETED}
            if len(found) == len(keys):
                return found
            rest = [key for key in rest if key not in memo]
        if self._complete:
            rest = [key for key in rest if key in self._stale] if self._stale else []
        elif rest and self._is_worth_reading_all(len(rest), expected):
            self._complete_memo()
            found = self._find(keys, expected)
            self._limit()
            return found
        if rest:
            self._search(rest, found, expected)
        return found

    def _is_worth_reading_all(self, count: int, expected: int) -> bool:
        """Whether scanning all shards costs less than looking up what is asked now, or likely to be asked."""
        self._asked += count
        rows = self._sealed_rows()
        if self._newest and self._is_own():
            return False  # what a process asks for while it computes is new, for the most part
        if count >= _MANY_KEYS and count * _MANY_PART >= rows:
            return True
        shards = len(self._newest)
        likely = max(self._asked, expected)
        return likely >= _MANY_KEYS and likely * _LOOKUP_COST * shards >= rows and self._rows() <= self._most_found

    def _rows(self) -> int:
        """How many entries a complete memo would have, at most."""
        return self._sealed_rows() + sum(len(shard.table) for shard in self._newest if shard.table is not None)

    def _is_own(self) -> bool:
        """True if all that counts was written by this process."""
        return all(shard.made_here for shard in self._newest)

    def _sealed_rows(self) -> int:
        return sum(shard.footer.rows for shard in self._newest if shard.footer is not None)

    def _complete_memo(self) -> None:
        self._forget_found()
        for shard in reversed(self._newest):
            try:
                shard.scan_into(self._memo)
            except OSError as error:
                self._set_aside(shard, error)
                self._sort()
                self._complete_memo()
                return
        self._complete = True

    def _search(self, keys: Sequence[str], found: dict[str, object], expected: int) -> None:
        left = _hashes(keys)
        if self._stale:
            self._stale.difference_update(left)
        sealed = [shard for shard in self._newest if shard.table is None and shard.footer is not None]
        candidates = self._merged.candidates(left, sealed, expected)
        count = len(left)
        for shard in list(self._newest):
            asked = left
            if candidates is not None and self._merged.knows(shard.name):
                asked = candidates.get(shard.name, {})
                if len(left) < count:  # newer shards answered for some
                    asked = {key: asked[key] for key in asked.keys() & left.keys()}
            answers = self._ask(shard, asked) if asked else {}
            if answers:
                self._memo.update(answers)
                found.update(answers)
                for key in [key for key, value in answers.items() if value is columns.DELETED]:
                    del found[key]
                left = {} if len(answers) == len(left) else {key: left[key] for key in left if key not in answers}
            if not left or shard.hides:
                break
        self._absent.update(left)
        self._limit()

    def _limit(self) -> None:
        """Keeps what is remembered bounded: the whole of a long map is not held in memory."""
        if len(self._memo) + len(self._absent) > self._most_found:
            self._forget_found()
        loaded = sorted((shard for shard in self._newest if shard.loaded), key=lambda shard: shard.loaded)
        for shard in loaded[: max(0, len(loaded) - self._most_loaded)]:
            shard.unload()

    def _ask(self, shard: Shard, hashed: Mapping[str, int]) -> dict[str, object]:
        try:
            return shard.find(hashed)
        except OSError as error:
            if self._set_aside(shard, error):
                self._sort()
            return {}

    def all(self) -> Iterator[tuple[str, object]]:
        """Every key that is stored, oldest shards first, with its value of a column or `Where`."""
        if not self._complete or self._stale:
            self._complete_memo()
        for _ in range(_MOST_LOOKS):
            if not self._gone:
                break
            self.refresh()
            self._complete_memo()
        return ((key, value) for key, value in list(self._memo.items()) if value is not columns.DELETED)

    def spoil(self, key: str, where: Where, why: str) -> None:
        """Takes an entry that cannot be read for missing."""
        where.shard.spoil(where.offset, why)
        self._memo[key] = columns.DELETED


def _hashes(keys: Sequence[str]) -> dict[str, int]:
    """The hash of each key."""
    return dict(zip(keys, frames.hashes(keys), strict=True))
