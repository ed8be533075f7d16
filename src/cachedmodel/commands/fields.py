"""The fields of a model class as text, for ``--help``: dotted names, types, constraints, defaults and descriptions."""

from __future__ import annotations

import inspect
import types
import typing as tp
from collections.abc import Iterator

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_DEPTH = 8  # models may hold themselves
_WIDTH = 46  # of a column, at most
_REQUIRED = "required"
_SIGNS = {"gt": "> ", "ge": ">= ", "lt": "< ", "le": "<= ", "multiple_of": "a multiple of "}


class Row(tp.NamedTuple):
    """A field: its dotted name, type, default and description, each as text."""

    name: str
    type: str
    default: str
    text: str


def table(cls: type[pydantic.BaseModel]) -> str:
    """The fields of a model at any depth, one a line; those of ``infra`` come last."""
    found = list(rows(cls))
    found.sort(key=lambda row: row.name.startswith("infra"))  # stable: all else keeps its order
    widths = [min(_WIDTH, max((len(row[column]) for row in found), default=0)) for column in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True)).rstrip() for row in found
    )


def rows(cls: type[pydantic.BaseModel], prefix: str = "", value: object = None, depth: int = 0) -> Iterator[Row]:
    """The fields of a model class, each before those that are inside it.

    Parameters
    ----------
    prefix
        What comes before their names.
    value
        The model that is the default where `cls` is a field: its values are the defaults.
    """
    for name, field in cls.model_fields.items():
        default = getattr(value, name, PydanticUndefined) if isinstance(value, cls) else _default(field)
        members = _models(field.annotation)
        inside = members if depth < _DEPTH else ()
        is_part = len(inside) == 1 and isinstance(default, inside[0])
        yield Row(
            prefix + name,
            _type_text(field),
            "" if is_part else _REQUIRED if default is PydanticUndefined else _repr(default),
            field.description or "",
        )
        for member in inside:
            for row in rows(member, f"{prefix}{name}.", default, depth + 1):
                yield row if len(inside) == 1 else row._replace(text=f"({member.__name__}) {row.text}".rstrip())


def _default(field: FieldInfo) -> object:
    if field.default_factory is not None and field.default_factory_takes_validated_data:
        return PydanticUndefined
    return field.get_default(call_default_factory=True)


def _models(annotation: object) -> tuple[type[pydantic.BaseModel], ...]:
    """The models that a field can hold itself: one, or the members of a union."""
    if inspect.isclass(annotation) and tp.get_origin(annotation) is None:
        return (annotation,) if issubclass(annotation, pydantic.BaseModel) else ()
    if tp.get_origin(annotation) in (list, dict, tuple, set, frozenset):
        return ()
    found: dict[type[pydantic.BaseModel], None] = {}
    for arg in tp.get_args(annotation):
        found.update(dict.fromkeys(_models(arg)))
    return tuple(found)


def _type_text(field: FieldInfo) -> str:
    limits = [
        _SIGNS[name] + str(getattr(limit, name)) for limit in field.metadata for name in _SIGNS if hasattr(limit, name)
    ]
    return _annotation_text(field.annotation) + (f" ({', '.join(limits)})" if limits else "")


def _annotation_text(annotation: object) -> str:
    """An annotation as one writes it, without the modules of its names."""
    origin, args = tp.get_origin(annotation), tp.get_args(annotation)
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    if origin is tp.Annotated:
        return _annotation_text(args[0])
    if origin is tp.Union or origin is types.UnionType:
        return " | ".join(map(_annotation_text, args))
    if origin is tp.Literal:
        return " | ".join(map(repr, args))
    name: str = getattr(origin or annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(map(_annotation_text, args))}]" if args else name


def _repr(value: object) -> str:
    if isinstance(value, pydantic.BaseModel):
        return type(value).__name__
    text = str(value) if hasattr(value, "__fspath__") else repr(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
