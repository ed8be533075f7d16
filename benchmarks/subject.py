"""What every contender computes: configurations and items, by their number, and the values that must come out."""

from __future__ import annotations

import os
import time
import typing as tp

Spec = dict[str, tp.Any]  # any JSON-like value: what a model is validated from
Kind = tp.Literal["float", "array", "counted"]

#: Bytes of an item of the kind "array".
ARRAY_BYTES = 64 * 1024
#: Names the file to which each computation of the kind "counted" adds a byte.
COUNT = "BENCHMARK_COUNT"
#: How long an item of the kind "counted" takes.
_COUNTED_S = 0.0002


def spec(number: int) -> Spec:
    """A configuration: ten fields and a nested one; five fields differ from their default, five are given all the same."""
    return {
        "a": number,
        "b": number * 0.1 + 0.05,
        "c": f"name{number}",
        "d": True,
        "e": [1, 2, number],
        "f": "x",
        "g": None,
        "h": 0.5,
        "i": "hello",
        "j": 3,
        "optimizer": {"lr": 1e-4 * (number + 1), "momentum": 0.9, "name": "sgd"},
    }


def task(a: int, b: float, e: list[int], lr: float) -> float:
    """What a task computes of a configuration."""
    return a + b + e[-1] + lr


def compute(
    a: int,
    b: float,
    c: str,
    d: bool,
    e: list[int],
    f: str,
    g: object,
    h: float,
    i: str,
    j: int,
    optimizer: Spec,
) -> float:
    """The same as a function of all fields, for libraries to which its name and arguments are its identity."""
    return task(a, b, e, optimizer["lr"])


def task_of(config: Spec) -> float:
    """What the task of a configuration must return."""
    return task(config["a"], config["b"], config["e"], config["optimizer"]["lr"])


def _float(item: int) -> float:
    return item * 0.5


_arrays: dict[int, tp.Any] = {}  # numpy is imported late, so its type is not named here


def _array(item: int) -> tp.Any:
    base = _arrays.get(0)
    if base is None:
        import numpy as np

        base = _arrays[0] = np.random.default_rng(0).random(ARRAY_BYTES // 4, dtype=np.float32)
    array = base.copy()
    array[0] = item
    return array


_counter: list[int] = []  # the descriptor of the file, once it is open


def _counted(item: int) -> float:
    if not _counter:
        _counter.append(os.open(os.environ[COUNT], os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    os.write(_counter[0], b".")
    time.sleep(_COUNTED_S)
    return item * 0.5


#: What a map computes of an item, by kind.
FUNCTIONS: dict[str, tp.Callable[[int], tp.Any]] = {"float": _float, "array": _array, "counted": _counted}


def verify_floats(values: tp.Iterable[float], items: range) -> None:
    """Raises AssertionError if these are not the outputs of the kinds "float" and "counted" for the items."""
    count, total = 0, 0.0
    for value in values:
        count += 1
        total += value
    expected = sum(items) * 0.5
    assert count == len(items), f"{count:,} outputs for {len(items):,} items"
    assert abs(total - expected) <= 1e-9 * abs(expected), f"the outputs add up to {total}, not {expected}"


def verify_arrays(arrays: tp.Iterable[tp.Any], items: range) -> None:
    """Reads every byte of the outputs of the kind "array"; raises AssertionError if they are not those of the items."""
    count, total, checksum = 0, 0.0, 0.0
    for array in arrays:
        count += 1
        total += float(array[0])
        checksum += float(array.sum())
    assert (count, total) == (len(items), float(sum(items))), f"{count} arrays, whose first values add up to {total}"
    rest = float(_array(0)[1:].sum()) * count
    assert abs(checksum - total - rest) <= 1e-3 * abs(checksum), "some values are wrong"
