"""Which sealed shard may hold a key: the sorted hashes of all their rows, 12 bytes a row, in memory.

Asking the footer of each shard for each key costs some microseconds a shard, and a map of a million items is sixteen
shards. Once many keys were asked, one search in a sorted array answers for all shards; it is made from the footers
alone, and is thrown away with the process.
"""

from __future__ import annotations

import sys
import typing as tp
from collections.abc import Iterable, Mapping, Sequence

from .files import Unreadable, open_files, warn_once

if tp.TYPE_CHECKING:
    import numpy as np

    from .shard import Shard

    Hashes = np.ndarray[tp.Any, np.dtype[np.uint64]]
    Numbers = np.ndarray[tp.Any, np.dtype[np.uint32]]

#: Look-ups (keys times shards) after which it pays to read all footers; and if numpy must be imported for it.
_LOOKUPS = 20_000
_LOOKUPS_WITH_IMPORT = 50_000
#: Where there are more rows, their hashes would take more memory than a look-up should.
_MOST_ROWS = 1 << 24


class MergedIndex:
    """Hash -> shards whose footer has it, for the shards that it was shown."""

    def __init__(self) -> None:
        self._asked = 0
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        #: Shards whose footer is damaged: they may hold any key.
        self._unknown: set[str] = set()
        self._arrays: list[tuple[Hashes, Numbers]] = []

    def candidates(
        self, hashed: Mapping[str, int], shards: Sequence[Shard], expected: int
    ) -> dict[str, dict[str, int]] | None:
        """Shard name -> those of the keys that it may hold; None while asking each shard is cheaper.

        Parameters
        ----------
        hashed
            The hash of each key.
        shards
            Those that have a footer.
        expected
            How many keys are going to be asked for, as far as is known.
        """
        self._asked += len(hashed) * len(shards)
        needed = _LOOKUPS if "numpy" in sys.modules else _LOOKUPS_WITH_IMPORT
        if len(shards) < 2 or max(self._asked, expected * len(shards)) < needed:
            return None
        if sum(shard.footer.rows for shard in shards if shard.footer is not None) > _MOST_ROWS:
            return None
        import numpy as np

        self._learn(shards)
        keys, hashes = list(hashed), list(hashed.values())
        wanted = np.array(hashes, dtype=np.uint64)
        found: dict[str, dict[str, int]] = {name: dict(hashed) for name in self._unknown}
        for array, numbers in self._arrays:
            rows = np.searchsorted(array, wanted, "left")
            asked = np.flatnonzero(array[np.minimum(rows, len(array) - 1)] == wanted)
            rows = rows[asked]
            while len(asked):
                owners = numbers[rows]
                for number in np.unique(owners).tolist():
                    here = asked[owners == number].tolist()
                    some = zip(map(keys.__getitem__, here), map(hashes.__getitem__, here), strict=True)
                    found.setdefault(self._names[number], {}).update(some)
                rows = rows + 1  # the same hash may follow, of this shard or another
                more = (rows < len(array)) & (array[np.minimum(rows, len(array) - 1)] == wanted[asked])
                asked, rows = asked[more], rows[more]
        return found

    def knows(self, name: str) -> bool:
        """True if `candidates` tells about this shard."""
        return name in self._numbers

    def _learn(self, shards: Iterable[Shard]) -> None:
        import numpy as np

        for shard in shards:
            if shard.name in self._numbers or shard.footer is None:
                continue
            self._numbers[shard.name] = len(self._names)
            self._names.append(shard.name)
            try:
                array = shard.footer.hashes(open_files.get(shard.path))
            except Unreadable as why:
                warn_once(shard.path, f"{why}; its entries are read one by one")
                self._unknown.add(shard.name)
                continue
            if len(array):
                self._arrays.append((array, np.full(len(array), self._numbers[shard.name], dtype=np.uint32)))
                self._merge()

    def _merge(self) -> None:
        """Keeps arrays few: one joins the one before it once it is not much smaller, so each row is merged few times."""
        import numpy as np

        while len(self._arrays) > 1 and len(self._arrays[-2][0]) < 2 * len(self._arrays[-1][0]):
            merged, numbers = (np.concatenate(both) for both in zip(*self._arrays[-2:], strict=True))
            order = np.argsort(merged, kind="stable")
            self._arrays[-2:] = [(merged[order], numbers[order])]
