"""One method of one model, as the engine sees it: its settings, where its results go, and what is kept of it in memory."""

from __future__ import annotations

import dataclasses
import warnings
import weakref
from collections.abc import Callable, Sequence

from .cache import Cache, Options, Replace
from .errors import CacheError
from .infra import Infra
from .outcomes import Pace, Target
from .run import Compute
from .submission import POOLS

INLINE = (None, "debug")
_REPLACE: dict[str, Replace] = {"cached": "nothing", "retry": "failures", "force": "all", "read-only": "nothing"}


class Memory:
    """What a model keeps in memory for one of its methods.

    Attributes
    ----------
    results
        Values by uid of the item, handed out again as the same objects, or `Raised`.
    forced
        Uids that ``mode="force"`` has computed already.
    pace
        How quickly its items come.
    """

    def __init__(self) -> None:
        self.results: dict[str, object] = {}
        self.forced: set[str] = set()
        self.pace: Pace = Pace()
        self._temporary: Cache | None = None

    def temporary(self, infra: Infra) -> Cache:
        """A cache for what processes hand over where there is no folder to store in; deleted with the model."""
        if self._temporary is None:
            import shutil
            import tempfile

            folder = tempfile.mkdtemp(prefix="cachedmodel-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._temporary = Cache.open(folder, folder, single=False, options=Options(allow_pickle=infra.allow_pickle))
        return self._temporary

    def clear(self, keys: Sequence[str] | None) -> None:
        """Forgets the results of some items, or of all."""
        for key in list(self.results) if keys is None else keys:
            self.results.pop(key, None)
        if self._temporary is not None:
            self._temporary.delete(keys)


@dataclasses.dataclass
class Work:
    """One method of one model: what the engine needs to know of it.

    Attributes
    ----------
    name
        The method, for messages.
    place
        Tells the method with its configuration from others in this process: the folder of its entries, if it has one.
    scope
        The same, for all processes that computations of one another run in.
    infra
        The settings in force for it.
    is_task
        True if it has one item only, after which there is nothing to do.
    compute
        The user's method, which travels by pickle: takes a list of items, gives an output for each in order.
    memory
        What the model keeps of it in memory.
    cache
        The cache of its entries; None if they are not stored.
    settle
        Makes the folder before something is written there, and gives the work as it is then: its uid differs if another
        process had seen other defaults first. OSError if it cannot be made.
    unchanged
        Raises if the model is no longer what its uid says.
    """

    name: str
    place: str
    scope: str
    infra: Infra
    is_task: bool
    compute: Compute
    memory: Memory
    cache: Cache | None
    settle: Callable[[], Work]
    unchanged: Callable[[], object]

    @property
    def keep(self) -> dict[str, object] | None:
        """Where results are kept in memory, if they are."""
        return self.memory.results if self.infra.keep_in_ram or self.infra.folder is None else None

    @property
    def replace(self) -> Replace:
        """What may be stored of items that are claimed all the same."""
        return _REPLACE[self.infra.mode]

    def target(self) -> Target:
        """Where outputs go that are computed here."""
        debug = self.infra.cluster == "debug"
        return Target(self.name, self.scope, self.cache, self.keep, self.memory.pace, debug, self.unchanged)

    def clear(self, keys: Sequence[str] | None) -> None:
        """Forgets what is stored and kept of some items, or of all."""
        self.memory.clear(keys)
        if self.cache is not None:
            self.cache.delete(keys)

    def settled(self) -> Work:
        """This work, ready to be computed and stored."""
        try:
            work = self.settle()
        except OSError as error:
            return self.unstored(error)
        return work.handed_over() if work.cache is None else work

    def handed_over(self) -> Work:
        """This work without a folder: processes need a temporary one to hand over their results."""
        processes = self.infra.cluster == "processpool"
        return dataclasses.replace(self, cache=self.memory.temporary(self.infra) if processes else None)

    def unstored(self, error: OSError) -> Work:
        """This work where nothing can be written: computed without being stored, if it is in this process.

        Raises
        ------
        CacheError
            If jobs were to hand over their results there.
        """
        text = f"{self.name}: nothing can be stored in {self.place!r} ({error})"
        if self.infra.cluster not in (*INLINE, *POOLS):
            raise CacheError(f"{text}, where jobs hand over their results: choose another infra.folder") from error
        if self.place not in _unwritable:
            _unwritable.add(self.place)
            warnings.warn(f"{text}: results are computed without being stored", RuntimeWarning, stacklevel=2)
        return self.handed_over()


#: Places of which it was told that nothing can be stored there.
_unwritable: set[str] = set()
