"""The tree: JSON-like values and nestings of everything."""

from __future__ import annotations

import collections
import math
import os
import subprocess
import sys
import threading
import typing as tp
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedmodel.codecs import PickleRefusedError, dump, load
from cachedmodel.codecs.writer import INLINE, MAX_DEPTH
from cachedmodel.errors import CacheError
from tests.codecs.classes import Color, Frozen, Identical, Pair
from tests.codecs.exactness import exactly_equal
from tests.codecs.roundtrip import again, join
from tests.codecs.strategies import values
from tests.conformance import CodecTests

EXAMPLES: list[tp.Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    -(2**63) - 1,
    10**1000,
    0.0,
    -0.0,
    math.inf,
    math.nan,
    complex(-0.0, math.nan),
    "",
    "é\ud800\udc00\0",
    "x" * 10_000,
    b"",
    b"\0" * 10_000,
    bytearray(b"abc"),
    bytearray(10_000),
    [],
    (),
    {},
    set(),
    frozenset(),
    [[]],
    ((),),
    [1, 2.0, True, None, "a"],
    [1, True],
    [True, False],
    [1, 2, 300, -70_000, 2**40],
    [1, 2**70],
    [0.5] * 1000,
    ["a", "", "é\ud800"] * 100,
    list(range(1000)),
    {1: "a", "1": b"a", (1, 2.5): None, None: [], 2.5: {}},
    {True: 1, 0: 2},
    {"a": {"b": {"c": [1, (2, {3})]}}},
    [{"x": 1, "y": 2.5}, {"x": 2, "y": None}, {"y": 1, "x": 2}],
    {frozenset({1, 2}): {1, 2}, frozenset(): 0},
    {f"key{number}": number for number in range(1000)},
]


class TestTree(CodecTests):
    """JSON-like values."""

    codec = "tree1"

    def values(self) -> Sequence[object]:
        return EXAMPLES

    def declined(self) -> Sequence[object]:
        return [object(), [1, {"a": lambda: None}], ValueError("no"), memoryview(b"abc"), int, iter([1])]


class TestMemmap(TestTree):
    """The same bytes, under the name that makes arrays views."""

    codec = "memmap1"


@given(values)
def test_any_nesting_comes_back_exactly(value: object) -> None:
    """Type and value are the same, without pickle, whatever is nested in what."""
    assert exactly_equal(again(value), value)


@given(values)
def test_what_is_nested_comes_back_exactly_below_a_container(value: object) -> None:
    """A value does not depend on what was read before it."""
    whole = [value, {"a": value}, (1.5, "x"), value]

    back = again(whole)

    assert exactly_equal(back, whole)


def test_tiny_values_are_tiny() -> None:
    """A float takes nine bytes, a short string its own and two."""
    assert [len(join(dump(value))) for value in (1.5, "abc", 7, None)] == [9, 5, 3, 1]


def test_short_cuts_write_what_the_tree_writes() -> None:
    """A scalar alone has the bytes that it has inside a container."""
    for value in (1.5, "abc", -300, 2**600, "x" * 300, None, True, False):
        alone = bytes(join(dump(value)))
        assert exactly_equal(again(value), value)
        assert exactly_equal(again(value, "tree"), value)
        if len(alone) < INLINE:
            assert alone in bytes(join(dump([value, ()])))


def test_shared_objects_stay_shared() -> None:
    """What was one object is one object again; equal objects that were two stay two."""
    inner = [1]
    array = np.arange(3)
    back = again([inner, {"a": inner}, [1], array, (array,)])

    assert back[0] is back[1]["a"]
    assert back[2] is not back[0]
    assert back[3] is back[4][0]


def test_shared_objects_are_written_once() -> None:
    """Ten references to a large value take little more room than one."""
    for large in (np.zeros(10_000), "x" * 80_000, b"x" * 80_000, [0.0] * 10_000):
        assert len(join(dump([large] * 10))) < 81_000


def test_nested_sharing_takes_no_exponential_time() -> None:
    """A value of 60 levels, each of which holds the next twice, is as small as it is in memory."""
    value: tp.Any = ()
    for _ in range(60):
        value = (value, value)
    back = again(value)

    assert back[0] is back[1]


def test_sharing_between_keys_takes_no_exponential_time() -> None:
    """Frozen sets that share frozen sets hash quickly in memory; where they would not when read, pickle is asked for."""
    value: tp.Any = frozenset()
    for _ in range(60):
        value = frozenset([value, (value,)])
    with pytest.raises(PickleRefusedError, match="shared between keys"):
        dump({value: 1}, allow_pickle=False)


def test_keys_may_share_what_they_hold() -> None:
    """Tuples, members, dates and strings that several keys have in common come back in each of them."""
    inner = (1, "x" * 300)
    value = {(number, inner, Color.RED, Frozen(1)): Pair(inner, Color.RED) for number in range(3000)}

    assert again(value) == value


def test_keys_that_are_equal_to_themselves_only_stay_the_same() -> None:
    """An object that is a key, and a value too, is one object again; one that is shared by keys is declined."""
    thing = Identical()
    back = again({thing: thing})
    ((key, value),) = back.items()

    assert key is value
    with pytest.raises(PickleRefusedError, match="shared between keys"):
        dump({(1, thing): 1, (2, thing): 2}, allow_pickle=False)


def test_cycles_are_left_to_pickle() -> None:
    """A list that contains itself comes back as such, but not without pickle."""
    value: list[tp.Any] = [1]
    value.append({"a": value})
    with pytest.raises(PickleRefusedError, match=r"value\[1\]\['a'\] contains itself"):
        dump(value, allow_pickle=False)
    back = again(value, allow_pickle=True)

    assert back[1]["a"] is back


def test_deep_nestings_are_left_to_pickle() -> None:
    """As many levels as are promised come back; more need pickle."""
    value: list[tp.Any] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]

    assert again(value) == value
    with pytest.raises(PickleRefusedError, match=f"nested more than {MAX_DEPTH} levels deep"):
        dump([value], allow_pickle=False)
    assert dump([value]).codec == "pickle1"


def test_order_of_keys_stays() -> None:
    """Dicts come back in the order of insertion, with the very keys that are equal to others of another type."""
    value = {2: "b", 1.0: "a", "z": 0, "a": 1}

    assert list(map(repr, again(value))) == ["2", "1.0", "'z'", "'a'"]


@pytest.mark.parametrize("cls", [int, float, str, bytes, list, tuple, dict, set, frozenset, bytearray])
def test_subclasses_of_builtins_need_pickle(cls: type) -> None:
    """A subclass is never mistaken for its parent."""
    child = type("Child", (cls,), {})
    with pytest.raises(PickleRefusedError, match="Child"):
        dump([child()], allow_pickle=False)


def test_messages_name_the_part_that_needs_pickle() -> None:
    """The path leads from the value to the part."""
    for value, path in (
        ({"a": [1, (2, object())]}, r"value\['a'\]\[1\]\[1\]"),
        ({"a": {1: object()}}, r"value\['a'\]\[1\]"),
        ([{object()}], r"value\[0\]<element 0>"),
        (collections.deque([0, object()]), r"value\[1\]"),
    ):
        with pytest.raises(PickleRefusedError, match=f"{path} is of type object; .* set allow_pickle=True"):
            dump(value, allow_pickle=False)


def test_large_buffers_are_aligned_and_not_copied() -> None:
    """Bytes and arrays lie at multiples of 64, and the payload refers to the very memory of the value."""
    array, data = np.arange(1000), bytes(1000)
    payload = dump({"x": "odd", "array": array, "data": data})
    offset, found = 0, []
    for part in payload.parts:
        if len(part) >= 1000:
            found.append(offset % 64)
        offset += len(part)

    assert found == [0, 0]
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), array) for part in payload.parts if len(part) == 8000)
    assert any(part is data for part in payload.parts)


def test_parts_tell_their_size() -> None:
    """The length of each part is its number of bytes."""
    payload = dump([np.zeros((30, 40)), np.zeros(100, "M8[s]"), b"x" * 1000, np.asfortranarray(np.ones((20, 30)))])

    assert sum(map(len, payload.parts)) == len(b"".join(payload.parts))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Z",
        b"i",
        b"d1234567",
        b"[*\x05N",
        b"[*\xff\xff\xff\xff\xff\xff\xff\x7fN",
        b"[*\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7fN",
        b"[x",
        b"[?\x02\x02",
        b"[sd\x10" + bytes(8) + b"\0",
        b"[sb\x02\xff\x02a",
        b"s\x05abc",
        b"s\x02\xff",
        b"NN",
        b"@\x00",
        b"{*\x02NN",
        b"{*\x01@\x00",
        b"M*\x01[*\x00*\x01N",
        b"m\x00*\x00",
        b"Mb\x02\x01b\x04\x01\x02",
        b"B\x05N",
        b"B\x01N" + bytes(64),
        b"K\x02x\x00",
        b"K\x10std.none\x00",
        b"C\x02x\x00",
        b"C\x0epickle1\x00",
        b"~\x00",
        b"[*\x01" * 5000 + b"N",
        b"<*\x02" * 5000 + b"N",
    ],
)
def test_malformed_bytes_are_refused(data: bytes) -> None:
    """Whatever is wrong with the bytes, the error is one of the two that say so."""
    with pytest.raises((ValueError, CacheError)):
        load("tree1", memoryview(data))


@given(st.binary(max_size=40))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    """Arbitrary bytes make a value or one of the two errors."""
    try:
        load("tree1", memoryview(data), allow_pickle=False)
    except (ValueError, CacheError):
        return


def test_values_come_back_in_another_process() -> None:
    """What one process wrote, another reads, under another hash seed."""
    value = {"set": {"a", "b", ("c", 1)}, "array": np.arange(5), "color": Color.RED}
    payload = dump(value)
    script = (
        "import sys; from cachedmodel.codecs import load; "
        f"value = load({payload.codec!r}, memoryview(sys.stdin.buffer.read()), allow_pickle=False); "
        "assert value['set'] == {'a', 'b', ('c', 1)}; print(value['array'].tolist(), value['color'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=join(payload),
        capture_output=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )

    assert done.stdout.decode() == "[0, 1, 2, 3, 4] Color.RED\n", done.stderr.decode()


def test_importing_the_codecs_is_light() -> None:
    """No library is imported before a value of it is met."""
    script = (
        "import sys; from cachedmodel.codecs import dump, load; dump({'a': [1.5]}); "
        "print(sorted({'numpy', 'pandas', 'torch', 'pyarrow', 'cloudpickle'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert done.stdout.decode() == "[]\n"


def test_threads_may_dump_and_load_at_once() -> None:
    """Nothing is shared between calls."""
    failures: list[object] = []

    def work(seed: int) -> None:
        value = {"seed": seed, "rows": [{"x": number, "y": (seed, number)} for number in range(50)]}
        for _ in range(50):
            if again(value) != value:
                failures.append(value)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
