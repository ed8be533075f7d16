"""@task and @map: what a decorated method is on the class, `Task` and `Map`; see `boundmethods` for those of an instance."""

from __future__ import annotations

import functools
import inspect
import typing as tp
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from typing_extensions import TypeVar

from . import infra as _infra
from .errors import DefinitionError, UidError
from .infra import InfraDict
from .state import first_state, states

if tp.TYPE_CHECKING:
    from .binding import Bound
    from .boundmethods import BoundMap, BoundTask
    from .model import CachedModel

S = tp.TypeVar("S", bound="CachedModel")
R = tp.TypeVar("R")
R_co = tp.TypeVar("R_co", covariant=True)
I = tp.TypeVar("I")  # noqa: E741  # an item
I_contra = tp.TypeVar("I_contra", contravariant=True)
Y = tp.TypeVar("Y")
Y_co = tp.TypeVar("Y_co", covariant=True)

Names = tuple[str, ...] | list[str] | set[str] | frozenset[str]
#: Fields that do not count for one method: names, a function of the model, or the name of a method, that gives them.
Exclude = Names | Callable[[tp.Any], Iterable[str]] | str  # Any: the user's own model class


class Method:
    """What a decorator made of a method.

    Attributes
    ----------
    func
        The function in the class body.
    name, owner
        The name it has, and the class whose body it is in.
    settings
        What the decorator says of `Infra`.
    codec
        The codec for its values; None: the first that gives back exactly the value.
    """

    kind: tp.ClassVar[str]
    parameters: tp.ClassVar[int]
    owner: type[CachedModel]

    def __init__(
        self, func: Callable[..., tp.Any], settings: InfraDict | None, exclude: Exclude, codec: str | None
    ) -> None:
        self.func = func
        self.name: str = getattr(func, "__name__", "?")
        self.codec = codec
        self._exclude = exclude
        where = f"{self.kind} {getattr(func, '__qualname__', func)}"
        self._check_function(where)
        _check_exclude(exclude, where)
        self.settings: dict[str, tp.Any] = _infra.validated(tp.cast("Mapping[str, object]", settings or {}), where)
        if "version" in self.settings or "methods" in self.settings:
            raise DefinitionError(f"{where}: 'version' and 'methods' belong to the class, not to one of its methods")
        self.__isabstractmethod__: bool = bool(getattr(func, "__isabstractmethod__", False))
        self.__doc__ = func.__doc__
        self.__wrapped__ = func

    def __set_name__(self, owner: type[CachedModel], name: str) -> None:
        if not hasattr(self, "owner"):  # a second name, in this class or another, is another name for the same
            self.owner = owner
            self.name = name

    def __call__(
        self, model: CachedModel, /, *items: tp.Any, **options: tp.Any
    ) -> tp.Any:  # Any: as the method has them
        """The method of a model, as if called on it."""
        bound: tp.Any = self.bind(model)
        return bound(*items, **options)

    def __repr__(self) -> str:
        owner = getattr(self, "owner", None)
        return f"<{type(self).__name__} {owner.__qualname__ + '.' if owner else ''}{self.name}>"

    def bind(self, model: CachedModel) -> Bound:
        """This method on an instance: the same object at each access."""
        try:
            state = first_state(model)
        except TypeError:
            name = type(model).__qualname__
            raise DefinitionError(
                f"{name}.{self.name} is a {self.kind}, but {name} is no CachedModel: derive it from one"
            ) from None
        return state.get(self) or state.setdefault(self, self._bound(model))  # threads get the same

    def _bound(self, model: CachedModel) -> Bound:
        raise NotImplementedError  # by Task and Map

    @property
    def fixed_exclude(self) -> tuple[str, ...] | None:
        """Names of the fields that do not count; None if each model says so itself."""
        return None if isinstance(self._exclude, str) or callable(self._exclude) else tuple(self._exclude)

    def excluded(self, model: CachedModel) -> tuple[str, ...]:
        """Names of the fields that do not count for this method on this model."""
        exclude = self._exclude
        if isinstance(exclude, str):
            names = getattr(model, exclude)()
        else:
            names = exclude(model) if callable(exclude) else exclude
        names = tuple(names) if not isinstance(names, str) else (names,)
        for name in names:
            if not isinstance(name, str) or name.split(".")[0] not in type(model).model_fields:
                raise UidError(f"{type(model).__name__}.{self.name} excludes {name!r}, which is none of its fields")
        return names

    def check(self, cls: type[CachedModel]) -> None:
        """Refuses what can be seen to be wrong once the class is there.

        Raises
        ------
        DefinitionError
            Naming the method and what to write instead.
        """
        where = f"{cls.__name__}.{self.name}"
        exclude = self._exclude
        if isinstance(exclude, str):
            if not callable(getattr(cls, exclude, None)):
                raise DefinitionError(
                    f"{where}: exclude={exclude!r} is no method of {cls.__name__}; for a field write exclude=({exclude!r},)"
                )
        elif not callable(exclude):
            unknown = [name for name in exclude if name.split(".")[0] not in cls.model_fields]
            if unknown:
                raise DefinitionError(f"{where}: exclude names {unknown[0]!r}, which is no field of {cls.__name__}")
        self._check_output(where)

    def _check_function(self, where: str) -> None:
        func = self.func
        if isinstance(func, (classmethod, staticmethod, property)) or not inspect.isroutine(func):
            raise DefinitionError(
                f"{where}: only a plain method can be decorated; write def {self.name}(self...): below it"
            )
        if inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
            raise DefinitionError(f"{where} is async: {self._instead_of_async()}")
        parameters = list(inspect.signature(func).parameters.values())
        plain = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)
        if len(parameters) != self.parameters or not plain:
            raise DefinitionError(f"{where}{inspect.signature(func)}: {self._expected()}")
        self._check_more(where, parameters)

    def _expected(self) -> str:
        raise NotImplementedError  # by Task and Map

    def _instead_of_async(self) -> str:
        return f"write a plain method; its jobs can be awaited (await xp.{self.name}.job())"

    def _check_more(self, where: str, parameters: list[inspect.Parameter]) -> None:
        """Of a task or a map alone."""

    def _output(self) -> object:
        """The annotation of one output; None where there is none that can be read yet."""
        try:
            return tp.get_type_hints(self.func).get("return")
        except Exception:  # a name that is not defined yet, or not at all: nothing can be said
            return None

    def why_not_stored(self, allow_pickle: bool) -> str | None:
        """Why its results can surely not be stored, as its annotation tells; None if they may."""
        output = self._output()
        if output is None or isinstance(output, tp.TypeVar):
            return None
        from .codecs import why_not

        return why_not(output, self.codec, allow_pickle)

    def _check_output(self, where: str) -> None:
        reason = self.why_not_stored(bool(self.settings.get("allow_pickle", True)))
        if reason:
            raise DefinitionError(f"{where}: its results cannot be stored: {reason}")


@functools.cache
def _bound_classes() -> tuple[type[BoundTask[tp.Any]], type[BoundMap[tp.Any, tp.Any]]]:
    """What methods are on an instance; with it comes all that a class does not need to be defined."""
    from .boundmethods import BoundMap, BoundTask

    return BoundTask, BoundMap


def _check_exclude(exclude: object, where: str) -> None:
    """Refuses what cannot name fields.

    Raises
    ------
    DefinitionError
        Naming the method.
    """
    if isinstance(exclude, str) or callable(exclude):
        return
    if not isinstance(exclude, (tuple, list, set, frozenset)) or not all(isinstance(name, str) for name in exclude):
        raise DefinitionError(
            f"{where}: exclude={exclude!r} names no fields: give a tuple of names, a function of the model that returns "
            "one, or the name of a method that does"
        )


# -- tasks --------------------------------------------------------------------------------------------------------------


class Task(Method, tp.Generic[R_co]):
    """A method without arguments whose result is computed once for each configuration; made by `task`."""

    kind = "task"
    parameters = 1

    if tp.TYPE_CHECKING:
        # two that say the same: mypy.stubtest takes a single one for the signature of the method itself
        @tp.overload
        def __call__(self, model: CachedModel, /) -> R_co: ...
        @tp.overload
        def __call__(self, model: CachedModel, /, *_: tp.Never) -> R_co: ...
        def __call__(self, model: CachedModel, /, *_: tp.Any, **__: tp.Any) -> R_co: ...  # Any: as the base has it

    @tp.overload
    def __get__(self, obj: None, owner: type[tp.Any], /) -> tp.Self: ...
    @tp.overload
    def __get__(self, obj: object, owner: type[tp.Any] | None = None, /) -> BoundTask[R_co]: ...
    def __get__(self, obj: tp.Any, owner: tp.Any = None, /) -> tp.Any:
        if obj is None:
            return self
        try:
            return states.of(obj)[self]
        except (AttributeError, KeyError, TypeError):
            return self.bind(obj)

    def _bound(self, model: CachedModel) -> BoundTask[R_co]:
        return _bound_classes()[0](self, model)

    def _expected(self) -> str:
        return (
            f"a task takes no arguments but self: make them fields of the model, or use @map(item_uid=...) "
            f"for a method of items; expected {self.name}(self)"
        )

    def _check_more(self, where: str, parameters: list[inspect.Parameter]) -> None:
        if inspect.isgeneratorfunction(self.func):
            raise DefinitionError(
                f"{where} is a generator: return a list, or use @map(item_uid=...) for a stream of outputs"
            )


class TaskDecorator:
    """What ``task(...)`` with arguments gives."""

    def __init__(self, settings: InfraDict | None, exclude: Exclude, codec: str | None) -> None:
        self._arguments = settings, exclude, codec

    def __call__(self, func: Callable[[S], R], /) -> Task[R]:
        return Task(func, *self._arguments)


@tp.overload
def task(func: Callable[[S], R], /) -> Task[R]: ...
@tp.overload
def task(*, infra: InfraDict | None = None, exclude: Exclude = (), codec: str | None = None) -> TaskDecorator: ...
def task(
    func: Callable[[S], R] | None = None,
    /,
    *,
    infra: InfraDict | None = None,
    exclude: Exclude = (),
    codec: str | None = None,
) -> Task[R] | TaskDecorator:
    """Decorates a method without arguments: its result is computed once for each configuration.

    Parameters
    ----------
    infra
        Settings for this method, over those of the class and under those of the instance.
    exclude
        Fields that do not count for this method: names, a function of the model that returns names, or the name of a
        method that does, which a subclass may override.
    codec
        How its result is stored; None: exactly, in the first way that can.

    Raises
    ------
    DefinitionError
        If the method has parameters, is async, a generator, or a class or static method.

    Examples
    --------
    >>> import cachedmodel as cm
    >>> class Sum(cm.CachedModel):
    ...     n: int = 3
    ...     @cm.task
    ...     def total(self) -> int:
    ...         return sum(range(self.n))
    >>> Sum(n=4).total()
    6
    """
    return TaskDecorator(infra, exclude, codec) if func is None else Task(func, infra, exclude, codec)


_STRINGS = {str}


# -- maps -----------------------------------------------------------------------------------------------------------------


class Map(Method, tp.Generic[I_contra, Y_co]):
    """A method of items whose outputs are each computed once; made by `map`."""

    kind = "map"
    parameters = 2

    def __init__(
        self,
        func: Callable[..., tp.Any],
        item_uid: Callable[[tp.Any], str],
        settings: InfraDict | None,
        exclude: Exclude,
        codec: str | None,
    ) -> None:
        self.item_uid = item_uid
        super().__init__(func, settings, exclude, codec)

    if tp.TYPE_CHECKING:

        @tp.overload
        def __call__(
            self, model: CachedModel, items: Iterable[I_contra], /, *, on_error: tp.Literal["raise"] = "raise"
        ) -> Iterator[Y_co]: ...
        @tp.overload
        def __call__(
            self, model: CachedModel, items: Iterable[I_contra], /, *, on_error: tp.Literal["return"]
        ) -> Iterator[Y_co | Exception]: ...
        def __call__(self, model: CachedModel, /, *items: tp.Any, **_: tp.Any) -> tp.Any: ...  # Any: as the base has it

    @tp.overload
    def __get__(self, obj: None, owner: type[tp.Any], /) -> tp.Self: ...
    @tp.overload
    def __get__(self, obj: object, owner: type[tp.Any] | None = None, /) -> BoundMap[I_contra, Y_co]: ...
    def __get__(self, obj: tp.Any, owner: tp.Any = None, /) -> tp.Any:
        if obj is None:
            return self
        try:
            return states.of(obj)[self]
        except (AttributeError, KeyError, TypeError):
            return self.bind(obj)

    def key(self, item: object) -> str:
        """The uid of an item."""
        key = self.item_uid(item)
        if type(key) is not str:
            raise UidError(
                f"item_uid of {self!r} gave {key!r} ({type(key).__name__}) for the item {item!r}: it must give a string that "
                "tells the item from all others"
            )
        return key

    def keys(self, items: Sequence[object]) -> list[str]:
        """The uids of items."""
        item_uid = self.item_uid
        keys = [item_uid(item) for item in items]
        if {type(key) for key in keys} - _STRINGS:
            return [self.key(item) for item in items]  # which raises
        return keys

    def _bound(self, model: CachedModel) -> BoundMap[I_contra, Y_co]:
        return _bound_classes()[1](self, model)

    def _expected(self) -> str:
        return (
            "a map takes self and one iterable of items, annotated: "
            f"def {self.name}(self, items: Iterable[X]) -> Iterator[Y]"
        )

    def _instead_of_async(self) -> str:
        return (
            "write a plain method and iterate over items with yield; its jobs can be awaited "
            f"(await xp.{self.name}.submit(items))"
        )

    def _check_more(self, where: str, parameters: list[inspect.Parameter]) -> None:
        if not callable(self.item_uid):
            raise DefinitionError(
                f"{where}: item_uid={self.item_uid!r} is not callable: give a function of an item, eg str"
            )
        if parameters[1].annotation is parameters[1].empty:
            raise DefinitionError(f"{where}: {parameters[1].name!r} is not annotated; {self._expected()}")

    def _output(self) -> object:
        outputs = tp.get_args(super()._output())
        return outputs[0] if outputs else None


class _LambdaItem(tp.Any):  # type: ignore[misc]  # stands for an item type that checkers cannot know: a lambda's
    """For type checkers: the items of an ``item_uid`` that is a lambda."""


# bound=Any: a lambda's parameter is Any, not object; default: what X is where it cannot be solved
X = TypeVar("X", bound=tp.Any, default=_LambdaItem)


class MapDecorator(tp.Generic[X]):
    """What ``map(item_uid=...)`` gives."""

    def __init__(
        self, item_uid: Callable[[X], str], settings: InfraDict | None, exclude: Exclude, codec: str | None
    ) -> None:
        self._arguments = item_uid, settings, exclude, codec

    @tp.overload
    def __call__(
        self: MapDecorator[_LambdaItem] | MapDecorator[object], func: Callable[[S, list[I]], Iterator[Y]], /
    ) -> Map[I, Y]: ...
    @tp.overload
    def __call__(self, func: Callable[[S, list[X]], Iterator[Y]], /) -> Map[X, Y]: ...
    def __call__(self, func: tp.Any, /) -> tp.Any:
        return Map(func, *self._arguments)


def map(  # noqa: A001  # used as cm.map
    *misplaced: tp.Never,
    item_uid: Callable[[X], str],
    infra: InfraDict | None = None,
    exclude: Exclude = (),
    codec: str | None = None,
) -> MapDecorator[X]:
    """Decorates a method of items: each output is computed once for each configuration and item.

    The method is called with a list of items, and yields exactly one output for each, in order.

    Parameters
    ----------
    item_uid
        The string that tells an item from all others.
    infra, exclude, codec
        As for `task`.

    Raises
    ------
    DefinitionError
        If the method does not take exactly one annotated iterable, is async, or a class or static method.

    Examples
    --------
    >>> import typing as tp
    >>> import cachedmodel as cm
    >>> class Powers(cm.CachedModel):
    ...     exponent: int = 2
    ...     @cm.map(item_uid=str)
    ...     def power(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
    ...         for item in items:
    ...             yield item**self.exponent
    >>> list(Powers().power([1, 2, 3]))
    [1, 4, 9]
    """
    if misplaced:
        raise DefinitionError("map takes its arguments by name: write @map(item_uid=...) above the method")
    return MapDecorator(item_uid, infra, exclude, codec)
