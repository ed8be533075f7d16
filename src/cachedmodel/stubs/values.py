"""The types of values that a module or a class holds without saying them."""

from __future__ import annotations

import collections
import functools
import inspect
import re
import types
import typing as tp

import typing_extensions as te

from .texts import Texts

_ONE_KIND = (list, set, frozenset, collections.deque)
_TWO_KINDS = (dict, collections.OrderedDict, collections.defaultdict)


def is_kind(value: object) -> bool:
    """True for what is itself (part of) a type, or a name of one: classes, aliases, type variables, modules."""
    if isinstance(value, (type, types.ModuleType, types.GenericAlias, types.UnionType)):
        return True
    return type(value).__module__ in ("typing", "typing_extensions")


def is_unverifiable(value: object) -> bool:
    """True for aliases that `mypy.stubtest` compares with something else than they are at run time."""
    return isinstance(value, (tp.NewType, te.TypeAliasType)) or tp.get_origin(value) in (tp.Annotated, tp.Literal)


def text_of_value(value: object, texts: Texts, name: str) -> str:
    """The type of a value; containers by what is in them now."""
    if value is None:
        return texts.any(f"{name} is None and has no annotation, so it is Any")
    cls = type(value)
    base = texts.class_text(cls)
    inner = functools.partial(text_of_value, texts=texts, name=name)
    if cls in _ONE_KIND:
        return f"{base}[{_common(map(inner, tp.cast('list[object]', value)), texts, name)}]"
    if cls in _TWO_KINDS:
        mapping = tp.cast("dict[object, object]", value)
        keys = _common(map(inner, mapping), texts, name)
        return f"{base}[{keys}, {_common(map(inner, mapping.values()), texts, name)}]"
    if cls is tuple:
        return f"tuple[{', '.join(map(inner, tp.cast('tuple[object, ...]', value))) or '()'}]"
    if cls is collections.Counter:
        return f"{base}[{_common(map(inner, tp.cast('list[object]', value)), texts, name)}]"
    if isinstance(value, (re.Pattern, re.Match)):
        pattern = value.pattern if isinstance(value, re.Pattern) else value.re.pattern
        return f"{base}[{type(pattern).__name__}]"
    if inspect.isroutine(value):
        return f"{texts.named('collections.abc', 'Callable')}[..., {texts.any(f'{name} has no annotation')}]"
    return _parametrised(cls, base, texts)


def _common(kinds: tp.Iterable[str], texts: Texts, name: str) -> str:
    """The one type of all, or Any: a union that grows with the values would be wrong tomorrow."""
    different = set(kinds)
    if len(different) == 1:
        return different.pop()
    return texts.any(f"what {name} holds has no one type, so it is Any")


def _parametrised(cls: type, base: str, texts: Texts) -> str:
    if f"{cls.__module__}.{cls.__qualname__}" == "numpy.ndarray":
        return f"{texts.named('numpy.typing', 'NDArray')}[{texts.any()}]"
    if getattr(cls, "__pydantic_generic_metadata__", None):
        return base  # of a generic model, the class itself says what it holds
    parameters = getattr(cls, "__parameters__", ())
    return f"{base}[{', '.join(texts.any() for _ in parameters)}]" if parameters else base
