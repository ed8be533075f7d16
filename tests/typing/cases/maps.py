"""@map: the items that it takes, what tells them apart, and what a call gives."""

import operator
import typing as tp
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import cachedmodel as cm


class Doc:
    name: str = "a"

    def uid(self) -> str:
        return self.name


class SubDoc(Doc): ...


def doc_uid(x: Doc) -> str:
    return x.name


def int_uid(x: int) -> str:
    return str(x)


def path_uid(x: str | Path) -> str:
    return str(x)


class Embedding(cm.CachedModel):
    param: int = 12

    @cm.map(item_uid=str)
    def embed(self, items: Iterable[int]) -> Iterator[np.ndarray]:
        for item in items:
            yield np.zeros((item, self.param))

    @cm.map(item_uid=str)
    def array(self, items: Iterable[int]) -> Iterator[np.ndarray[tp.Any, np.dtype[np.float64]]]:
        for item in items:
            yield np.zeros((item, self.param))

    @cm.map(item_uid=str, infra={"cluster": "processpool"})
    def sequence(self, items: Sequence[int]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=repr, exclude=("param",))
    def listed(self, items: list[int]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=doc_uid)
    def by_function(self, items: Iterable[Doc]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=Doc.uid)
    def by_method(self, items: Iterable[Doc]) -> Generator[float, None, None]:
        yield 1.0

    @cm.map(item_uid=lambda x: x.name)
    def by_lambda(self, items: Iterable[Doc]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=lambda x: path_uid(x))
    def by_calling_lambda(self, items: Iterable[Path]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=operator.attrgetter("name"))
    def by_attribute(self, items: Iterable[Doc]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=path_uid)
    def by_union(self, items: Iterable[str | Path]) -> Iterator[float]:
        yield 1.0


xp = Embedding()
Array = np.ndarray[tp.Any, np.dtype[np.float64]]
tp.assert_type(xp.embed([1]), Iterator[np.ndarray])
tp.assert_type(Embedding.array, cm.Map[int, Array])
tp.assert_type(xp.array, cm.BoundMap[int, Array])
tp.assert_type(xp.array([1]), Iterator[Array])
tp.assert_type(xp.array.submit([1]), cm.MapJob[int, Array])
tp.assert_type(xp.array.submit([1]).result(), list[Array])
tp.assert_type(list(xp.array.submit([1])), list[Array])
tp.assert_type(xp.array.cache, Mapping[str, Array])
tp.assert_type(xp.array.cache["1"], Array)
tp.assert_type(xp.array.plan([1]), cm.Plan[int])
tp.assert_type(xp.array.plan([1]).missing, list[int])
tp.assert_type(xp.array([1], on_error="return"), Iterator[Array | Exception])
for item, value in xp.array.submit([1]).as_completed():
    tp.assert_type(item, int)
    tp.assert_type(value, Array)

tp.assert_type(xp.sequence([1]), Iterator[float])
tp.assert_type(xp.listed, cm.BoundMap[int, float])
tp.assert_type(xp.by_function, cm.BoundMap[Doc, float])
tp.assert_type(xp.by_method, cm.BoundMap[Doc, float])
tp.assert_type(xp.by_lambda, cm.BoundMap[Doc, float])
tp.assert_type(xp.by_calling_lambda, cm.BoundMap[Path, float])
tp.assert_type(xp.by_attribute, cm.BoundMap[Doc, float])
tp.assert_type(xp.by_union, cm.BoundMap[str | Path, float])
xp.sequence(range(12))
xp.by_function([SubDoc()])
xp.sequence(["a"])  # E
xp.sequence.submit(["a"])  # E
xp.sequence.plan(["a"])  # E
xp.sequence.clear(["a"])  # E
xp.by_function([1])  # E
xp.by_function(SubDoc())  # E
xp.sequence([1], on_error="ignore")  # E
xp.sequence.cache["1"] = 2.0  # E


class Wrong(cm.CachedModel):
    @cm.map(item_uid=int_uid)  # E
    def other_items(self, items: Iterable[str]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=12)  # E
    def not_callable(self, items: Iterable[str]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=len)  # E
    def not_a_string(self, items: Iterable[str]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=str)  # E
    def two(self, items: Iterable[int], other: int) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=str)  # E
    def none(self) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=str)  # E
    def no_iterable(self, items: int) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=str)  # E
    def whole_list(self, items: Iterable[int]) -> list[float]:
        return []

    @cm.map(item_uid=str)  # E
    def no_list(self, items: tuple[int, ...]) -> Iterator[float]:
        yield 1.0

    @cm.map  # E
    def no_item_uid(self, items: Iterable[int]) -> Iterator[float]:
        yield 1.0

    # false alarms: an item_uid that takes more than the items; a lambda, or one of the items' own type, is none
    @cm.map(item_uid=path_uid)  # E
    def wider_union(self, items: Iterable[Path]) -> Iterator[float]:
        yield 1.0

    @cm.map(item_uid=doc_uid)  # E
    def wider_class(self, items: Iterable[SubDoc]) -> Iterator[float]:
        yield 1.0


class OtherItems(Embedding):
    @cm.map(item_uid=str)
    def sequence(self, items: Sequence[str]) -> Iterator[float]:  # E
        yield 1.0


class NotModel:
    @cm.map(item_uid=str)  # E
    def f(self, items: Iterable[int]) -> Iterator[float]:
        yield 1.0
