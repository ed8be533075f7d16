"""What a model class says of its fields: which count, their defaults, and how the classes they may hold are told apart."""

from __future__ import annotations

import dataclasses
import enum
import functools
import typing as tp

import pydantic
import pydantic_core
from pydantic.fields import FieldInfo
from pydantic.types import Discriminator

from . import uid as _uid
from .atoms import of_str
from .classpath import class_path


class NotInUid:
    """Marks a field that changes nothing in the results: ``device: Annotated[str, NotInUid] = "cpu"``."""


@dataclasses.dataclass(slots=True, eq=False)
class Field:
    """What a class says of one of its fields that count.

    Attributes
    ----------
    name
        Its name.
    head
        The encoding of its name.
    annotations
        All that is said of the values it may hold.
    """

    name: str
    head: bytes = b""
    annotations: tuple[object, ...] = ()


class Models(tp.NamedTuple):
    """The models that a field may hold.

    Attributes
    ----------
    classes
        The model classes that its annotation names.
    discriminators
        The names of the fields that say which of them a value is.
    """

    classes: frozenset[type]
    discriminators: tuple[str, ...]


class Default(tp.NamedTuple):
    """The default of a field.

    Attributes
    ----------
    value
        As its type validates it, as a one-tuple; None if it has none that can be known.
    unvalidated
        As it is where it was never validated, otherwise what `value` holds.
    same
        The encodings of the two, where they differ but mean the same.
    """

    value: tuple[object] | None = None
    unvalidated: object = None
    same: tuple[bytes, bytes] | None = None


#: Types of which a value stays what it is when it is validated as one.
_ATOMS: tp.Final = frozenset((bool, int, float, str, bytes))
#: Stands for what a model holds beyond its fields.
EXTRA: tp.Final = Field("+")


@functools.lru_cache(maxsize=4096)
def default_of(cls: type[pydantic.BaseModel], name: str) -> Default:
    """The default of a field of a class."""
    info = cls.__pydantic_fields__[name]
    if info.is_required():
        return Default()
    raw, annotation = info.default, info.annotation
    if info.default_factory is not None:
        if info.default_factory_takes_validated_data:
            return Default()
        raw = info.get_default(call_default_factory=True)
    kind = type(raw)
    if raw is None or annotation is kind or kind in tp.get_args(annotation) or issubclass(kind, pydantic.BaseModel):
        return Default((raw,), raw)
    if _is_exact(raw, annotation) and not info.metadata and not _has_validators(cls):
        return Default((raw,), raw)
    raw = info.get_default(call_default_factory=True)  # a copy, which validators may change
    try:
        # X() holds the 1 of `a: float = 1` as it is, but any copy that is read from a file holds 1.0
        model = cls.model_construct()
        cls.__pydantic_validator__.validate_assignment(model, name, raw)
        valid = model.__dict__[name]
        same = _uid.canonical(raw), _uid.canonical(valid)
        if same[0] != same[1] and _means_the_same(raw, valid):
            return Default((valid,), raw, same)
    except Exception:  # a validator of the user's may raise anything: the default is what it is
        pass
    return Default((raw,), raw)


def _is_exact(value: object, annotation: object) -> bool:
    """Whether validation surely leaves a value as it is: what it takes to find out is long."""
    kind, args = type(value), tp.get_args(annotation)
    if tp.get_origin(annotation) is tp.Literal:
        return any(type(arg) is kind and arg == value for arg in args)
    if kind in (list, set, frozenset, dict) and tp.get_origin(annotation) is kind:
        items = tp.cast("tp.Collection[object]", value)
        return not items or (kind is not dict and {*map(type, items)} <= _ATOMS.intersection(args))
    return False


def _has_validators(cls: type[pydantic.BaseModel]) -> bool:
    rules = cls.__pydantic_decorators__
    return any((rules.validators, rules.field_validators, rules.root_validators, rules.model_validators))


def _means_the_same(raw: object, valid: object) -> bool:
    """Whether nothing but a type that a configuration file cannot hold tells two values apart."""
    return bool(raw == valid or pydantic_core.to_jsonable_python(raw) == pydantic_core.to_jsonable_python(valid))


@functools.lru_cache(maxsize=4096)
def fields_of(cls: type[pydantic.BaseModel]) -> tuple[Field, ...]:
    """The fields of a class that count, by name."""
    return tuple(
        Field(name, of_str(name), (info.annotation, info, *info.metadata))
        for name, info in sorted(cls.__pydantic_fields__.items())
        if not is_marked(info)
    )


def is_marked(info: FieldInfo) -> bool:
    """True if a field is marked `NotInUid`."""
    if not info.metadata and isinstance(info.annotation, type):
        return False
    metadata, alias = list(info.metadata), info.annotation
    while (value := getattr(alias, "__value__", None)) is not None:  # type Device = Annotated[str, NotInUid]
        metadata += getattr(value, "__metadata__", ())
        alias = value
    return any(meta is NotInUid or isinstance(meta, NotInUid) for meta in metadata)


@functools.lru_cache(maxsize=4096)
def models_of(field: Field) -> Models:
    """The models that a field may hold: looked for where there is one, since most have none."""
    classes: set[type] = set()
    discriminators: set[str] = set()
    for annotation in field.annotations:
        _collect(annotation, classes, discriminators, {})
    return Models(frozenset(classes), tuple(sorted(discriminators)))


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
        if isinstance(meta, (FieldInfo, Discriminator)) and isinstance(name, str):
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
    names = tuple(name for name in models_of(field).discriminators if name in cls.__pydantic_fields__)
    texts = tuple(f"{name}={_constant(value.__dict__.get(name))}" for name in names)
    return _tag(cls, field, names, texts), frozenset(names)


@functools.lru_cache(maxsize=4096)
def _tag(cls: type[pydantic.BaseModel], field: Field, names: tuple[str, ...], texts: tuple[str, ...]) -> str:
    classes = models_of(field).classes
    if cls not in classes or not (names or len(classes) == 1):
        return class_path(cls)
    if any(_could_be(other, names, texts) for other in classes if other is not cls):
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
