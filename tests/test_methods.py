"""@task and @map: what a method is on the class and on an instance."""

from __future__ import annotations

import abc
import concurrent.futures
import inspect
import pydoc
import threading
import typing as tp
from pathlib import Path

import pydantic
import pytest

import cachedmodel as cm

PLAIN = pydoc.TextDoc()


class Training(cm.CachedModel):
    x: int = 1
    device: tp.Annotated[str, cm.NotInUid] = "cpu"
    coeff: float = 1.0

    @cm.task
    def train(self) -> float:
        """Trains the thing."""
        return self.x * self.coeff

    @cm.task(exclude=("coeff",), infra={"gpus_per_node": 8})
    def count(self) -> int:
        """Counts."""
        return self.x

    @cm.map(item_uid=str)
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        """Embeds items."""
        for item in items:
            yield item * self.x


# -- on the class and on an instance ----------------------------------------------------------------------------------


def test_on_the_class() -> None:
    """`Training.train` describes the method, `Training.embed` the map."""
    assert isinstance(Training.train, cm.Task)
    assert isinstance(Training.embed, cm.Map)
    assert repr(Training.train) == "<Task Training.train>"
    assert (Training.train.name, Training.train.owner) == ("train", Training)
    assert Training.train(Training(x=3)) == 3.0
    assert list(Training.embed(Training(x=3), [1])) == [3]
    assert list(Training.__cached_methods__) == ["train", "count", "embed"]


def test_on_an_instance() -> None:
    """`xp.train` is the same object at each access, and another for each instance."""
    xp = Training()

    assert isinstance(xp.train, cm.BoundTask)
    assert isinstance(xp.embed, cm.BoundMap)
    assert xp.train is xp.train
    assert xp.train is not Training().train
    assert "train" in repr(xp.train)
    assert repr(xp) in repr(xp.train)


def test_threads_get_the_same() -> None:
    """Threads that look at a fresh model at once get the same methods and settings, and compute once."""
    calls: list[int] = []

    class Model(cm.CachedModel):
        @cm.task
        def run(self) -> int:
            calls.append(1)
            return 1

    barrier = threading.Barrier(4)

    def look(xp: Model) -> tuple[int, int, int]:
        barrier.wait()
        return id(xp.infra), id(xp.run), xp.run()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for count in range(1, 51):
            xp = Model()
            assert len(set(pool.map(look, [xp] * 4))) == 1
            assert len(calls) == count


def test_documentation_and_signatures_are_kept() -> None:
    """`help`, `inspect.signature` and the like see the user's method."""
    xp = Training()

    for described, bound, text, on_class, on_instance in (
        (Training.train, xp.train, "Trains the thing.", "(self) -> 'float'", "() -> 'float'"),
        (
            Training.embed,
            xp.embed,
            "Embeds items.",
            "(self, items: 'tp.Iterable[int]') -> 'tp.Iterator[int]'",
            "(items: 'tp.Iterable[int]') -> 'tp.Iterator[int]'",
        ),
    ):
        assert inspect.getdoc(described) == inspect.getdoc(bound) == text
        assert str(inspect.signature(tp.cast("tp.Any", described))) == on_class
        assert str(inspect.signature(bound)) == on_instance
        assert text in pydoc.render_doc(described, renderer=PLAIN)
        assert text in pydoc.render_doc(bound, renderer=PLAIN)
    assert "Trains the thing." in pydoc.render_doc(Training, renderer=PLAIN)
    assert "return self.x * self.coeff" in inspect.getsource(tp.cast("tp.Any", Training.train))


def test_names_that_start_with_an_underscore() -> None:
    """A private method may be cached too, and is no private attribute."""

    class Model(cm.CachedModel):
        @cm.task
        def _prepare(self) -> int:
            return 3

    assert Model()._prepare() == 3
    assert list(Model.__cached_methods__) == ["_prepare"]


def test_a_second_name_is_the_same_method(tmp_path: Path) -> None:
    """A method under two names, or taken from another class, keeps its own name and owner."""

    class Model(cm.CachedModel):
        x: int = 1
        coeff: float = 1.0
        train = Training.train

    class Twice(cm.CachedModel):
        @cm.task
        def first(self) -> int:
            return 1

        second = first

    assert (Training.train.owner, Model(x=2).train()) == (Training, 2.0)
    assert Twice().first is Twice().second or Twice().second() == 1
    assert Twice.second.name == "first"


def test_generators_that_return_lists() -> None:
    """The method is called with a list, and may return any iterable; it is called on any iterable of items."""

    class Model(cm.CachedModel):
        @cm.map(item_uid=lambda item: f"{item:03d}")  # type: ignore[arg-type]  # for checkers it must be an iterator
        def embed(self, items: list[int]) -> list[int]:
            assert isinstance(items, list)
            return [item * 2 for item in items]

    assert list(Model().embed(iter([3, 1, 3]))) == [6, 2, 6]
    assert list(Model().embed([])) == []


def test_a_map_takes_its_arguments_by_name() -> None:
    """A decorator without its parentheses says what is missing."""

    def embed(self: cm.CachedModel, items: tp.Iterable[int]) -> tp.Iterator[int]:
        yield from items

    with pytest.raises(TypeError, match="required keyword-only argument: 'item_uid'"):
        cm.map(embed)  # type: ignore[arg-type,call-arg]
    with pytest.raises(cm.DefinitionError, match=r"by name: write @map\(item_uid=...\)"):
        cm.map(embed, item_uid=str)  # type: ignore[arg-type]


def test_parents_methods() -> None:
    """``super().method()`` is the parent's task; an override may have other settings."""

    class Child(Training):
        @cm.task(infra={"mem_gb": 2})
        def train(self) -> float:
            return super().train() + 1

    xp = Child(x=3)

    assert xp.train() == 4.0
    assert xp.train.infra.mem_gb == 2
    assert super(Child, xp).train.infra.mem_gb is None
    assert super(Child, xp).train() == 3.0
    assert list(Child.__cached_methods__) == ["train", "count", "embed"]


def test_an_abstract_method_is_given_by_a_subclass() -> None:
    """A base's code can call what only a subclass computes."""

    class Base(cm.CachedModel, abc.ABC):
        @cm.task
        @abc.abstractmethod
        def part(self) -> int: ...

        @cm.task
        def whole(self) -> int:
            return 10 * self.part()

    class Child(Base):
        @cm.task
        def part(self) -> int:
            return 2

    assert Child().whole() == 20


# -- what counts ------------------------------------------------------------------------------------------------------


def test_marked_fields_do_not_count() -> None:
    """A field marked NotInUid changes no uid, of any method."""
    assert Training(device="cuda").train.uid() == "default" == Training().train.uid()
    assert Training(device="cuda").train.config() == {"x": 1, "coeff": 1.0}


def test_marked_fields_of_nested_models_do_not_count() -> None:
    """The mark holds where a model is nested, and in its subclasses."""

    class Outer(cm.CachedModel):
        inner: Training = Training()

        @cm.task
        def run(self) -> int:
            return 1

    assert Outer(inner=Training(device="cuda")).run.uid() == "default"
    assert Outer(inner=Training(x=2)).run.uid() != "default"


def test_excluded_by_name() -> None:
    """``exclude`` is for one method alone."""
    xp = Training(coeff=3.0)

    assert xp.count.uid() == "default"
    assert xp.train.uid() != "default"
    assert "coeff" not in xp.count.config()


def test_excluded_by_a_function() -> None:
    """A function of the model says which fields do not count."""

    def unused(model: Model) -> list[str]:
        return ["b"] if model.kind == "a" else ["a"]

    class Model(cm.CachedModel):
        kind: str = "a"
        a: int = 0
        b: int = 0

        @cm.task(exclude=unused)
        def run(self) -> int:
            return 1

    assert Model(b=1).run.uid() == "default"
    assert Model(a=1).run.uid() != "default"
    assert Model(kind="b", a=1).run.uid() == Model(kind="b").run.uid()


def test_excluded_by_a_method_that_is_overridden() -> None:
    """The name of a method: what a subclass says counts for the subclass."""

    class Base(cm.CachedModel):
        a: int = 0
        b: int = 0

        def unused(self) -> tuple[str, ...]:
            return ("a",)

        @cm.task(exclude="unused")
        def run(self) -> int:
            return 1

        @cm.map(item_uid=str, exclude="unused")
        def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
            yield from items

    class Child(Base):
        def unused(self) -> tuple[str, ...]:
            return (*super().unused(), "b")

    assert [Base(a=1).run.uid() == "default", Base(b=1).run.uid() == "default"] == [True, False]
    assert Child(a=1, b=1).run.uid() == Child(a=1, b=1).embed.uid() == "default"


def test_excluded_fields_of_nested_models() -> None:
    """A dotted name excludes a field of a nested model."""

    class Inner(pydantic.BaseModel):
        x: int = 1
        y: int = 1

    class Model(cm.CachedModel):
        inner: Inner = Inner()

        @cm.task(exclude=("inner.y",))
        def run(self) -> int:
            return 1

    assert Model(inner=Inner(y=2)).run.uid() == "default"
    assert Model(inner=Inner(x=2)).run.uid() != "default"


@pytest.mark.parametrize("given", [lambda model: ["z"], lambda model: "z", lambda model: [1]])
def test_unknown_names_from_functions_are_refused(given: tp.Any) -> None:
    """A function that names no field is told when the uid is computed."""

    class Model(cm.CachedModel):
        x: int = 1

        @cm.task(exclude=given)
        def run(self) -> int:
            return 1

    with pytest.raises(cm.UidError, match=r"Model\.run excludes ('z'|1), which is none of its fields"):
        Model().run.uid()


def test_a_single_field_is_no_tuple() -> None:
    """A text is the name of a method: for a field the message shows what to write."""
    with pytest.raises(
        cm.DefinitionError, match=r"exclude='x' is no method of Model; for a field write exclude=\('x',\)"
    ):

        class Model(cm.CachedModel):
            x: int = 1

            @cm.task(exclude="x")
            def run(self) -> int:
                return 1


# -- items ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", [lambda item: item, lambda item: None, lambda item: b"x"])
def test_uids_of_items_are_strings(uid: tp.Any) -> None:
    """An item uid that is no string is refused, by each way to ask."""

    class Model(cm.CachedModel):
        @cm.map(item_uid=uid)
        def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
            yield from items

    xp = Model()
    for ask in (lambda: list(xp.embed([3])), lambda: xp.embed.submit([3]), lambda: xp.embed.plan([3])):
        with pytest.raises(
            cm.UidError, match=r"item_uid of .*Model.embed.* gave .* for the item 3: it must give a string"
        ):
            ask()


def test_cache_of_a_map(tmp_path: Path) -> None:
    """`cache` has what is stored by the items' uids, with and without a folder."""
    for infra in ({}, {"folder": tmp_path}):
        xp = Training(x=2, infra=tp.cast("cm.InfraDict", infra))
        assert dict(xp.embed.cache) == {}
        assert list(xp.embed([1, 2])) == [2, 4]
        assert dict(xp.embed.cache) == {"1": 2, "2": 4}
        xp.embed.clear([1])
        assert dict(xp.embed.cache) == {"2": 4}
        assert xp.embed.plan([1, 2]).missing == [1]
        xp.embed.clear()
        assert dict(xp.embed.cache) == {}


# -- results that cannot be stored ------------------------------------------------------------------------------------


def test_results_that_cannot_be_stored_are_refused_early() -> None:
    """A result whose annotation can never be stored is refused when the class is made."""
    with pytest.raises(cm.DefinitionError, match=r"Model\.run: its results cannot be stored"):

        class Model(cm.CachedModel):
            @cm.task
            def run(self) -> memoryview:
                return memoryview(b"")


def test_pickled_results_are_refused_early(tmp_path: Path) -> None:
    """A result that can only be pickled is refused when a model is made that must not pickle."""

    class Model(cm.CachedModel):
        @cm.task
        def run(self) -> tp.Callable[[], int]:
            return int

    assert Model(infra={"allow_pickle": False}).run()() == 0  # in memory nothing is pickled
    assert Model(infra={"folder": tmp_path}).run()() == 0
    with pytest.raises(ValueError, match=r"results of Model\.run cannot be stored: .*only be stored by pickle"):
        Model(infra={"folder": tmp_path, "allow_pickle": False})


def test_settings_of_decorators_are_validated() -> None:
    """Wrong settings are refused where they are written, and named after the method."""
    with pytest.raises(cm.InfraError, match=r"task .*run: gpus_per_node: Input should be greater than or equal to 0"):

        class Model(cm.CachedModel):
            @cm.task(infra={"gpus_per_node": -1})
            def run(self) -> int:
                return 1
