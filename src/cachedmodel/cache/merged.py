"""Which sealed shard may hold a key: the sorted hashes of all their rows, 8 bytes a row, in memory.

Asking the footer of each shard for each key costs some microseconds a shard, and a map of a million items is sixteen
shards. Once many keys were asked, one search in a sorted array answers for all shards; it is made from the footers
alone, and is thrown away with the process.

    row = first 40 bits of the hash | number of the shard: what else has these bits, the footer of the shard denies
"""

from __future__ import annotations

import sys
import typing as tp
from collections.abc import Iterable, Mapping, Sequence

from .files import Unreadable, open_files, warn_once

if tp.TYPE_CHECKING:
    import numpy as np

    from .shard import Shard

    Rows = np.ndarray[tp.Any, np.dtype[np.uint64]]

#: Look-ups (keys times shards) after which it pays to read all footers; and if numpy must be imported for it.
_LOOKUPS = 20_000
_LOOKUPS_WITH_IMPORT = 50_000
#: Where there are more rows, their hashes would take more memory than a look-up should.
_MOST_ROWS = 1 << 24
#: There are at most as many shards as rows, so this many bits tell them apart.
_NUMBER = (1 << 24) - 1


class MergedIndex:
    """Hash -> shards whose footer has it, for the shards that it was shown."""

    def __init__(self) -> None:
        self._asked = 0
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        #: Shards whose footer is damaged: they may hold any key.
        self._unknown: set[str] = set()
        self._arrays: list[Rows] = []

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
        fewest, needed = (1, _LOOKUPS) if "numpy" in sys.modules else (2, _LOOKUPS_WITH_IMPORT)
        if len(shards) < fewest or max(self._asked, expected * len(shards)) < needed:
            return None
        if sum(shard.footer.rows for shard in shards if shard.footer is not None) > _MOST_ROWS:
            return None
        import numpy as np

        self._learn(shards)
        keys, hashes = list(hashed), list(hashed.values())
        wanted = np.array(hashes, dtype=np.uint64)
        order = np.argsort(wanted)  # those side by side are found in the same lines of memory
        number = np.uint64(_NUMBER)
        wanted = wanted[order] & ~number
        found: dict[str, dict[str, int]] = {name: dict(hashed) for name in self._unknown}
        for array in self._arrays:
            rows = np.searchsorted(array, wanted)
            asked = np.arange(len(wanted))
            while len(asked):
                there = array[np.minimum(rows, len(array) - 1)]
                hits = (rows < len(array)) & (there & ~number == wanted[asked])
                owners = there[hits] & number
                asked, rows = asked[hits], rows[hits] + 1  # others may follow of the same hash
                for owner in np.unique(owners).tolist():
                    here = order[asked[owners == owner]].tolist()
                    some = zip(map(keys.__getitem__, here), map(hashes.__getitem__, here), strict=True)
                    found.setdefault(self._names[owner], {}).update(some)
        return found

    def knows(self, name: str) -> bool:
        """True if `candidates` tells about this shard."""
        return name in self._numbers

    def _learn(self, shards: Iterable[Shard]) -> None:
        import numpy as np

        for shard in shards:
            if shard.name in self._numbers or shard.footer is None:
                continue
            array = None
            try:
                array = shard.footer.hashes(open_files.get(shard.path))
            except OSError:  # who asks the shard itself finds out
                continue
            except Unreadable as why:
                warn_once(shard.path, f"{why}; its entries are read one by one")
                self._unknown.add(shard.name)
            self._numbers[shard.name] = number = len(self._names)
            self._names.append(shard.name)
            if array is not None and len(array):
                array &= ~np.uint64(_NUMBER)
                array |= np.uint64(number)
                self._arrays.append(array)
                self._merge()

    def _merge(self) -> None:
        """Keeps arrays few: one joins the one before it once it is not much smaller, so each row is merged few times."""
        import numpy as np

        while len(self._arrays) > 1 and len(self._arrays[-2]) < 2 * len(self._arrays[-1]):
            self._arrays[-2:] = [np.concatenate(self._arrays[-2:])]
            self._arrays[-1].sort()
