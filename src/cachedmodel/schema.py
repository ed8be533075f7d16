"""What a model class says of its fields: which count, their defaults, and how the classes they may hold are told apart."""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing as tp

import pydantic
import pydantic_core
from pydantic.fields import FieldInfo

from . import uid as _uid
from .classpath import class_path


class NotInUid:
    """Marks a field that changes nothing in the results: ``device: Annotated[str, NotInUid] = "cpu"``."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What a class says of one of its fields that count.

    Attributes
    ----------
    name
        Its name.
    head
        The encoding of its name.
    classes
        The model classes that its annotation names.
    discriminators
        The names of the fields that say which of them a value is.
    default
        Its default as a one-tuple, as its type validates it; None if it has none that can be known.
    unvalidated
        The default as it is where it was never validated, otherwise what `default` holds.
    same
        The encodings of the two, where they differ but mean the same.
    """

    name: str
    head: bytes = b""
    classes: frozenset[type] = frozenset()
    discriminators: tuple[str, ...] = ()
    default: tuple[object] | None = None
    unvalidated: object = None
    same: tuple[bytes, bytes] | None = None


#: Stands for what a model holds beyond its fields.
EXTRA: tp.Final = Field("+")


def _field(cls: type[pydantic.BaseModel], name: str) -> Field:
    info = cls.__pydantic_fields__[name]
    classes: set[type] = set()
    discriminators: set[str] = set()
    for part in (info.annotation, info, *info.metadata):
        _collect(part, classes, discriminators, {})
    default, unvalidated, same = _default_of(cls, name, info)
    head = _uid.canonical(name)
    return Field(name, head, frozenset(classes), tuple(sorted(discriminators)), default, unvalidated, same)


def _default_of(
    cls: type[pydantic.BaseModel], name: str, info: FieldInfo
) -> tuple[tuple[object] | None, object, tuple[bytes, bytes] | None]:
    """The last three of a `Field`."""
    if info.is_required() or (info.default_factory is not None and info.default_factory_takes_validated_data):
        return None, None, None
    raw = info.get_default(call_default_factory=True)
    kind, annotation = type(raw), info.annotation
    if raw is None or annotation is kind or kind in tp.get_args(annotation) or issubclass(kind, pydantic.BaseModel):
        return (raw,), raw, None
    try:
        # X() holds the 1 of `a: float = 1` as it is, but any copy that is read from a file holds 1.0
        model = cls.model_construct()
        cls.__pydantic_validator__.validate_assignment(model, name, raw)
        valid = model.__dict__[name]
        same = _uid.canonical(raw), _uid.canonical(valid)
        if same[0] != same[1] and _means_the_same(raw, valid):
            return (valid,), raw, same
    except Exception:  # a validator of the user's may raise anything: the default is what it is
        pass
    return (raw,), raw, None


def _means_the_same(raw: object, valid: object) -> bool:
    """Whether nothing but a type that a configuration file cannot hold tells two values apart."""
    return bool(raw == valid or pydantic_core.to_jsonable_python(raw) == pydantic_core.to_jsonable_python(valid))


@functools.lru_cache(maxsize=4096)
def fields_of(cls: type[pydantic.BaseModel]) -> tuple[Field, ...]:
    """The fields of a class that count, by name."""
    return tuple(_field(cls, name) for name, info in sorted(cls.__pydantic_fields__.items()) if not is_marked(info))


def is_marked(info: FieldInfo) -> bool:
    """True if a field is marked `NotInUid`."""
    metadata, alias = list(info.metadata), info.annotation
    while (value := getattr(alias, "__value__", None)) is not None:  # type Device = Annotated[str, NotInUid]
        metadata += getattr(value, "__metadata__", ())
        alias = value
    return any(meta is NotInUid or isinstance(meta, NotInUid) for meta in metadata)


def _collect(annotation: object, classes: set[type], discriminators: set[str], seen: dict[int, object]) -> None:
    """Model classes and discriminators named anywhere in an annotation."""
    if id(annotation) in seen:  # type Tree = list[Tree]
        return
    seen[id(annotation)] = annotation  # kept: another object could have its id
    if (
        isinstance(annotation, type)
        and tp.get_origin(annotation) is None
        and issubclass(annotation, pydantic.BaseModel)
    ):
        classes.add(annotation)
    for meta in (annotation, *getattr(annotation, "__metadata__", ())):
        name = getattr(meta, "discriminator", None)  # of a FieldInfo or a Discriminator
        if isinstance(meta, (FieldInfo, pydantic.Discriminator)) and isinstance(name, str):
            discriminators.add(name)
    value = getattr(annotation, "__value__", None)
    for arg in (*tp.get_args(annotation), *(() if value is None else (value,))):
        _collect(arg, classes, discriminators, seen)


# -- which class a model is ---------------------------------------------------------------------------------------


def tag_of(value: pydantic.BaseModel, field: Field) -> tuple[str, frozenset[str]]:
    """What tells the class of a model among those its field may hold, and the discriminators that say so.

    Nothing where there is one class only, the discriminators where they suffice, so that classes may be renamed;
    otherwise the path of the class.
    """
    cls = type(value)
    names = tuple(name for name in field.discriminators if name in cls.__pydantic_fields__)
    texts = tuple(f"{name}={_constant(value.__dict__.get(name))}" for name in names)
    return _tag(cls, field, names, texts), frozenset(names)


@functools.lru_cache(maxsize=4096)
def _tag(cls: type[pydantic.BaseModel], field: Field, names: tuple[str, ...], texts: tuple[str, ...]) -> str:
    if cls not in field.classes or not (names or len(field.classes) == 1):
        return class_path(cls)
    if any(_could_be(other, names, texts) for other in field.classes if other is not cls):
        return class_path(cls)
    return ",".join(texts)


def _could_be(cls: type, names: tuple[str, ...], texts: tuple[str, ...]) -> bool:
    """Whether instances of a class may carry these discriminators."""
    for name, text in zip(names, texts, strict=True):
        info = getattr(cls, "__pydantic_fields__", {}).get(name)
        if info is None:
            return False
        constants = tp.get_args(info.annotation) if tp.get_origin(info.annotation) is tp.Literal else ()
        if constants and text not in [f"{name}={_constant(constant)}" for constant in constants]:
            return False
    return True


def _constant(value: object) -> str:
    return repr(value.value if isinstance(value, enum.Enum) else value)
