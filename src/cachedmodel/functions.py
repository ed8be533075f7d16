"""Functions as cached computations: `with_infra` on a function, `to_config` and `to_config_model` for its arguments."""

from __future__ import annotations

import functools
import inspect
import typing as tp
from collections.abc import Callable

import pydantic

from . import infra as _infra
from .errors import DefinitionError
from .infra import InfraDict
from .jobs import Job
from .methods import task
from .model import CachedModel

P = tp.ParamSpec("P")
R = tp.TypeVar("R")


class FunctionConfig(CachedModel, tp.Generic[R]):
    """The arguments of one call of a function, and its result."""

    __function__: tp.ClassVar[Callable[..., tp.Any]]

    @task
    def build(self) -> R:
        """Calls the function with these arguments; computed once."""
        arguments = {name: getattr(self, name) for name in type(self).model_fields if name != "infra"}
        out: R = type(self).__function__(**arguments)
        return out


class ConfigFactory(tp.Generic[P, R]):
    """Makes the configuration of a call: takes the function's own arguments.

    Attributes
    ----------
    model
        The model class, whose fields are the function's parameters.
    """

    def __init__(self, model: type[FunctionConfig[R]], signature: inspect.Signature) -> None:
        self.model = model
        self._signature = signature

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> FunctionConfig[R]:
        """The configuration of a call with these arguments; ``infra=`` gives its settings."""
        given = dict(kwargs)
        infra: tp.Any = {"infra": given.pop("infra")} if "infra" in given else {}
        bound = self._signature.bind(*args, **given)
        return self.model(**bound.arguments, **infra)


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
    return _factory(func, {})


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
    return _factory(func, {})(**kwargs)


class CachedFunction(tp.Generic[P, R]):
    """A function whose results are kept: called as before; made by `with_infra`.

    Attributes
    ----------
    config
        Makes the configuration of a call: ``f.config(3).uid_folder()``.
    """

    def __init__(self, func: Callable[P, R], infra: InfraDict) -> None:
        functools.update_wrapper(tp.cast("Callable[..., tp.Any]", self), func)
        self.config = _factory(func, infra)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result for these arguments, computed once."""
        return self.config(*args, **kwargs).build()

    def job(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """The job that computes the result for these arguments."""
        return self.config(*args, **kwargs).build.job()

    def __reduce__(self) -> tp.Any:
        return _refer, (self.__module__, self.__qualname__, self.config)  # type: ignore[attr-defined]  # as its function has


def _refer(module: str, name: str, config: ConfigFactory[P, R]) -> CachedFunction[P, R]:
    out: CachedFunction[P, R] = CachedFunction.__new__(CachedFunction)
    out.config = config
    out.__module__, out.__qualname__ = module, name  # type: ignore[attr-defined]
    return out


class _WithInfra:
    def __init__(self, settings: InfraDict) -> None:
        self._settings = settings

    def __call__(self, func: Callable[P, R], /) -> CachedFunction[P, R]:
        return CachedFunction(func, self._settings)


def with_infra(**settings: tp.Unpack[InfraDict]) -> _WithInfra:
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
    _infra.validated(tp.cast("dict[str, object]", settings), "with_infra")
    return _WithInfra(settings)


def _factory(func: Callable[P, R], settings: InfraDict) -> ConfigFactory[P, R]:
    signature = inspect.signature(func)
    name = getattr(func, "__qualname__", repr(func))
    hints = tp.get_type_hints(func, include_extras=True)
    fields: dict[str, tp.Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"{name}: {parameter} names no arguments that could be told apart: name each parameter"
            )
        if parameter.name not in hints:
            raise DefinitionError(
                f"{name}: parameter {parameter.name!r} is not annotated, so its values cannot be checked"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    create: tp.Any = pydantic.create_model  # Any: or pydantic's mypy plugin takes the result for a class statement
    model = create(
        getattr(func, "__name__", "function"),
        __base__=FunctionConfig,
        __module__=func.__module__,
        __doc__=func.__doc__,
        __cls_kwargs__={**settings, "cache_name": _name(func)} if _has_name(func) else dict(settings),
        **fields,
    )
    model.__function__ = staticmethod(func)
    return ConfigFactory(model, signature)


def _has_name(func: Callable[..., tp.Any]) -> bool:
    """True for a function at the top level of a module, whose name tells it from all others."""
    return func.__module__ != "__main__" and "<" not in func.__qualname__


def _name(func: Callable[..., tp.Any]) -> str:
    return f"{func.__module__}.{func.__qualname__}"
