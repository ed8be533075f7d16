"""lmdb: pickles in a memory-mapped B+ tree, many items a transaction. Not for network file systems."""

from __future__ import annotations

import os
import pickle
import typing as tp
from collections.abc import Iterator

import lmdb

from benchmarks import subject

_BATCH = 10_000


class Contender:
    """Maps only."""

    def open_map(self, folder: str, kind: subject.Kind, *, keep_in_ram: bool) -> None:
        self.kind = kind
        # nobody else of the contenders waits for the disk, so it does not either
        self.store = lmdb.open(os.path.join(folder, "db"), map_size=1 << 32, sync=False, metasync=False)

    def map(self, items: range) -> Iterator[tp.Any]:
        function = subject.FUNCTIONS[self.kind]
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            keys = [str(item).encode() for item in batch]
            with self.store.begin() as reading:
                found = [reading.get(key) for key in keys]
            outputs = [None if value is None else pickle.loads(value) for value in found]
            missing = [place for place, value in enumerate(found) if value is None]
            for place in missing:
                outputs[place] = function(batch[place])
            if missing:
                with self.store.begin(write=True) as writing:
                    for place in missing:
                        writing.put(keys[place], pickle.dumps(outputs[place], 5))
            yield from outputs
