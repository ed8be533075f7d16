"""Functions as cached computations: `with_infra` on a function, `to_config` and `to_config_model` for its arguments."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import threading
import typing as tp
import warnings
import weakref
from collections.abc import Callable, Mapping

import pydantic

from . import infra as _infra
from .errors import DefinitionError
from .executors import check_cluster
from .infra import InfraDict
from .mainmodule import MAIN
from .methods import task
from .model import CachedModel
from .naming import function_name

if tp.TYPE_CHECKING:
    from .jobs import Job

P = tp.ParamSpec("P")
R = tp.TypeVar("R")

_RESERVED = ("infra", "build")


class FunctionConfig(CachedModel, tp.Generic[R], defer_build=True):
    """The arguments of one call of a function, and its result."""

    __function__: tp.ClassVar[Callable[..., tp.Any]]

    @task
    def build(self) -> R:
        """Calls the function with these arguments; computed once."""
        func = type(self).__function__
        args: list[object] = []
        kwargs: dict[str, object] = {}
        for parameter in inspect.signature(func).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY:
                kwargs[parameter.name] = self.__dict__[parameter.name]
            else:
                args.append(self.__dict__[parameter.name])
        return tp.cast(R, func(*args, **kwargs))

    def __reduce_ex__(self, protocol: tp.SupportsIndex) -> tp.Any:
        func = type(self).__function__
        holder = _found(func.__module__, func.__qualname__)
        if holder is func or (isinstance(holder, CachedFunction) and holder.config.model is type(self)):
            return _restored, (holder, self.__getstate__())  # its class has no name of its own under which it is found
        return super().__reduce_ex__(protocol)


del FunctionConfig.model_config["defer_build"]


def _restored(holder: tp.Any, state: dict[tp.Any, tp.Any]) -> FunctionConfig[tp.Any]:
    model = holder.config.model if isinstance(holder, CachedFunction) else to_config_model(holder).model
    out: FunctionConfig[tp.Any] = model.__new__(model)
    out.__setstate__(state)
    return out


def _found(module: str, name: str) -> object:
    """What another process finds under a name of a module; None for those of a script, a notebook or a function."""
    if module in MAIN:
        return None
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


class ConfigFactory(tp.Generic[P, R]):
    """Makes the configuration of a call: takes the function's own arguments.

    Attributes
    ----------
    model
        The model class, whose fields are the function's parameters.
    """

    def __init__(self, model: type[FunctionConfig[R]], func: Callable[P, R]) -> None:
        self.model = model
        functools.update_wrapper(tp.cast("Callable[..., tp.Any]", self), func)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> FunctionConfig[R]:
        """The configuration of a call with these arguments; ``infra=`` gives its settings."""
        given = dict(kwargs)
        infra: tp.Any = {"infra": given.pop("infra")} if "infra" in given else {}
        signature = inspect.signature(self.model.__function__)
        try:
            bound = signature.bind(*args, **given)
        except TypeError as error:
            raise TypeError(f"{self.model.__qualname__}{signature}: {error}") from None
        return self.model(**bound.arguments, **infra)


if tp.TYPE_CHECKING:
    _Factory = ConfigFactory
else:

    class _Factory(ConfigFactory):
        """Unknown to checkers: a stub says more of each factory, and mypy.stubtest would compare it with the class."""


def to_config_model(func: Callable[P, R]) -> ConfigFactory[P, R]:
    """A model whose fields are a function's parameters, and whose task ``build`` calls it.

    Parameters
    ----------
    func
        A function whose parameters are all annotated.

    Raises
    ------
    DefinitionError
        If a parameter has no annotation, or is ``*args`` or ``**kwargs``.

    Examples
    --------
    >>> def add(a: int, b: int = 2) -> int:
    ...     return a + b
    >>> to_config_model(add)(3).build()
    5
    """
    return _plain_factory(func)


def to_config(func: Callable[..., R], **kwargs: tp.Any) -> FunctionConfig[R]:  # Any: the function's own arguments
    """The configuration of one call of a function: a model whose task ``build`` gives the result.

    Parameters
    ----------
    func
        A function whose parameters are all annotated.
    **kwargs
        Its arguments, and ``infra`` for the settings.

    Examples
    --------
    >>> def add(a: int, b: int = 2) -> int:
    ...     return a + b
    >>> to_config(add, a=1).build()
    3
    """
    return _plain_factory(func)(**kwargs)


class CachedFunction(tp.Generic[P, R]):
    """A function whose results are kept: called as before; made by `with_infra`.

    Attributes
    ----------
    config
        Makes the configuration of a call: ``f.config(3).build.uid_folder()``.
    """

    def __init__(self, func: Callable[P, R], infra: InfraDict) -> None:
        functools.update_wrapper(tp.cast("Callable[..., tp.Any]", self), func)
        self.config: ConfigFactory[P, R] = _factory(func, infra)
        self._kept: dict[tuple[object, ...], FunctionConfig[R]] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result for these arguments, computed once."""
        return self._config(*args, **kwargs).build()

    def job(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """The job that computes the result for these arguments."""
        return self._config(*args, **kwargs).build.job()

    def _config(self, *args: P.args, **kwargs: P.kwargs) -> FunctionConfig[R]:
        """The configuration of a call; the same object where results live in memory, which are kept with it."""
        config = self.config(*args, **kwargs)
        infra = config.infra
        if infra.folder is not None and not infra.keep_in_ram:
            return config
        return self._kept.setdefault((config.build.uid(), infra.folder, infra.version), config)

    def __repr__(self) -> str:
        return f"<CachedFunction {self.__module__}.{self.__qualname__}>"  # type: ignore[attr-defined]  # its function's

    def __reduce_ex__(self, protocol: tp.SupportsIndex) -> tp.Any:
        func = self.config.model.__function__
        if _found(func.__module__, func.__qualname__) is self:
            return func.__qualname__  # as a function: by its name in its module
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": {}}


class _WithInfra:
    def __init__(self, settings: InfraDict) -> None:
        self._settings = settings

    def __call__(self, func: Callable[P, R], /) -> CachedFunction[P, R]:
        return CachedFunction(func, self._settings)


def with_infra(*misplaced: tp.Never, **settings: tp.Unpack[InfraDict]) -> _WithInfra:
    """Decorates a function: each of its results is computed once for each set of arguments.

    Parameters
    ----------
    **settings
        Any setting of `Infra`; ``keep_in_ram`` is the default where no folder is given.

    Raises
    ------
    InfraError
        If a setting does not exist or has a wrong value.

    Examples
    --------
    >>> @with_infra(version="1")
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> double(4)
    8
    """
    if misplaced:
        raise DefinitionError("with_infra takes settings, by name: write @with_infra(folder=...), or @with_infra()")
    checked = _infra.validated(tp.cast("dict[str, object]", settings), "with_infra")
    check_cluster(checked.get("cluster"))
    return _WithInfra(settings)


_factories: weakref.WeakKeyDictionary[Callable[..., tp.Any], ConfigFactory[..., tp.Any]] = weakref.WeakKeyDictionary()
_factories_lock = threading.Lock()
# not across a fork: who makes a model class holds locks of pydantic, which the child would wait for
os.register_at_fork(
    before=_factories_lock.acquire, after_in_parent=_factories_lock.release, after_in_child=_factories_lock.release
)


def _plain_factory(func: Callable[P, R]) -> ConfigFactory[P, R]:
    """The factory of a function that is not decorated: made once, as making a model class takes milliseconds."""
    if isinstance(func, CachedFunction):
        return func.config
    with _factories_lock:
        with contextlib.suppress(KeyError, TypeError):  # TypeError: a callable that cannot be referred to weakly
            return tp.cast("ConfigFactory[P, R]", _factories[func])
        made = _factory(func, {})
    with contextlib.suppress(TypeError):
        _factories[func] = made
    return made


def _factory(func: Callable[P, R], settings: InfraDict) -> ConfigFactory[P, R]:
    if not inspect.isfunction(func):
        raise DefinitionError(f"{func!r} is no plain function: write def, or give a function that calls it")
    name = func.__qualname__
    if inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise DefinitionError(f"{name} is async or a generator: write a plain function that returns its result")
    create: tp.Any = pydantic.create_model  # Any: or pydantic's mypy plugin takes the result for a class statement
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Field name .* shadows an attribute")  # a parameter may be named "copy"
        model = create(
            func.__name__.strip("<>"),
            __base__=FunctionConfig,
            __module__=func.__module__,
            __doc__=func.__doc__,
            __cls_kwargs__={**settings, "protected_namespaces": (), "arbitrary_types_allowed": True},
            **_fields(func, name),
        )
    model.__function__ = staticmethod(func)
    model.__qualname__ = name
    model.__cache_name__ = function_name(func)
    return _Factory(model, func)


def _fields(func: Callable[..., tp.Any], name: str) -> Mapping[str, tp.Any]:
    """A field for each parameter of a function."""
    fields = {}
    hints = tp.get_type_hints(func, include_extras=True)
    for parameter in inspect.signature(func).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"{name}: {parameter} names no arguments that could be told apart: name each parameter"
            )
        if parameter.name not in hints:
            raise DefinitionError(
                f"{name}: parameter {parameter.name!r} is not annotated, so its values cannot be checked: annotate it "
                "(typing.Any takes anything)"
            )
        if parameter.name in _RESERVED or parameter.name.startswith("_"):
            raise DefinitionError(
                f"{name}: a parameter cannot be named {parameter.name!r}, as {' and '.join(map(repr, _RESERVED))} are taken, "
                "and names with a first '_': give it another name"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return fields
