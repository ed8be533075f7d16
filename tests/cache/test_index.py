"""A map is a dictionary, whoever writes and reads it, in whatever order: checked against one."""

from __future__ import annotations

import shutil
import tempfile
import typing as tp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from cachedmodel.cache import Cache, Failure, Options

KEYS = st.sampled_from(["", "a", "b", "é\ud800", "nul\0inside", "k" * 300, *(f"key-{number}" for number in range(12))])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.just("x" * 300),
    st.lists(st.integers(), max_size=3),
    st.binary(max_size=2000),
)


class MapOfManyProcesses(RuleBasedStateMachine):
    """Several caches on one folder, each with its own idea of what is there, and a dictionary that is right."""

    caches = Bundle("caches")

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.model: dict[str, object] = {}
        self.open_caches: list[Cache] = []

    def _open(self) -> Cache:
        cache = Cache(f"{self.root}/map", self.root, single=False, options=Options())
        self.open_caches.append(cache)
        return cache

    @initialize(target=caches)
    def first(self) -> Cache:
        return self._open()

    @rule(target=caches)
    def another(self) -> Cache:
        return self._open()

    @rule(cache=caches, key=KEYS, value=VALUES)
    def write(self, cache: Cache, key: str, value: object) -> None:
        """What is written after a look at the folder supersedes everything, and is seen by its writer at once."""
        cache.refresh()
        cache.write(key, value, 0.25)
        cache.commit()
        self.model[key] = value

        assert _same(cache.read([key]).values, {key: value})

    @rule(cache=caches, entries=st.dictionaries(KEYS, VALUES, max_size=8))
    def write_block(self, cache: Cache, entries: dict[str, object]) -> None:
        cache.refresh()
        for key, value in entries.items():
            cache.write(key, value)
        cache.commit(sync=True)
        self.model.update(entries)

    @rule(cache=caches, key=KEYS)
    def write_failure(self, cache: Cache, key: str) -> None:
        cache.refresh()
        cache.write_failure(key, Failure("m.Error", "no", "trace"))
        cache.commit()
        self.model[key] = Failure("m.Error", "no", "trace")

    @rule(cache=caches, keys=st.lists(KEYS, max_size=4))
    def delete(self, cache: Cache, keys: list[str]) -> None:
        cache.delete(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(cache=caches)
    def delete_all(self, cache: Cache) -> None:
        cache.delete()
        self.model.clear()

    @rule(cache=caches)
    def close(self, cache: Cache) -> None:
        cache.close()

    @rule(cache=caches)
    def forget(self, cache: Cache) -> None:
        """As in the child of a fork, where the parent wrote nothing since."""
        cache.commit()
        cache._forget()

    @rule(cache=caches, keys=st.lists(KEYS))
    def claim(self, cache: Cache, keys: list[str]) -> None:
        """What may be computed is what is not stored."""
        cache.refresh()
        claimed = cache.claim(keys)

        assert claimed == [key for key in dict.fromkeys(keys) if key not in self.model]
        cache.release(claimed)

    @rule(cache=caches, keys=st.lists(KEYS))
    def read(self, cache: Cache, keys: list[str]) -> None:
        cache.refresh()
        self._check(cache, keys)

    @rule(cache=caches)
    def read_all(self, cache: Cache) -> None:
        cache.refresh()
        assert sorted(cache.keys()) == sorted(self.model)
        self._check(cache, list(self.model))

    @precondition(lambda self: self.model)
    @rule(cache=caches, data=st.data())
    def provenance(self, cache: Cache, data: st.DataObject) -> None:
        cache.refresh()
        about = cache.provenance(data.draw(st.sampled_from(sorted(self.model))))

        assert about is not None
        assert about["seconds"] in (0.25, None)

    @invariant()
    def seen_by_a_newcomer(self) -> None:
        """Whoever opens the folder now finds exactly what the dictionary says."""
        cache = Cache(f"{self.root}/map", self.root, single=False, options=Options())
        self._check(cache, [*self.model, "never written"])
        assert sorted(cache.keys()) == sorted(self.model)

    def _check(self, cache: Cache, keys: list[str]) -> None:
        expected = {key: self.model[key] for key in keys if key in self.model}
        found = cache.read(keys)

        assert _same({**found.values, **found.failures}, expected)
        states = {key: "failure" if isinstance(value, Failure) else "value" for key, value in expected.items()}
        assert cache.states(keys) == states

    def teardown(self) -> None:
        for cache in self.open_caches:
            cache.end()
        shutil.rmtree(self.root)


def _same(found: tp.Mapping[str, object], expected: tp.Mapping[str, object]) -> bool:
    """Equal in keys, types and values; repr tells -0.0 from 0.0."""
    return {key: repr(value) for key, value in found.items()} == {key: repr(value) for key, value in expected.items()}


TestMapOfManyProcesses = MapOfManyProcesses.TestCase
TestMapOfManyProcesses.settings = settings(stateful_step_count=30)
