"""Classes whose instances the tests of codecs store."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import typing as tp

import pydantic


class Color(enum.Enum):
    """Members without an order."""

    RED = 1
    GREEN = "g"
    ALIAS = 1  # noqa: PIE796  # another name of a member


class Level(enum.IntEnum):
    """Members that are integers."""

    LOW = 0
    HIGH = 10


class Name(enum.StrEnum):
    """Members that are strings."""

    ADA = "ada"


class Permission(enum.Flag):
    """Members that combine."""

    READ = 1
    WRITE = 2
    RUN = 4


@dataclasses.dataclass
class Plain:
    """The usual dataclass."""

    a: tp.Any
    b: tp.Any = None

    def __post_init__(self) -> None:
        assert not getattr(self, "restored", False)

    @functools.cached_property
    def double(self) -> tp.Any:
        return self.a * 2


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A dataclass that may be a key."""

    a: tp.Any
    b: tp.Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    """A dataclass without a __dict__."""

    a: tp.Any
    b: tp.Any = None


@dataclasses.dataclass(slots=True)
class SlottedChild(Plain):
    """A dataclass with slots beside the __dict__ of its parent."""

    c: int = 3


@dataclasses.dataclass(eq=False)
class Identical:
    """A dataclass that is equal to nothing but itself."""

    a: tp.Any = None


@dataclasses.dataclass
class Hooked:
    """A dataclass that says itself how it is pickled."""

    a: int

    def __getstate__(self) -> dict[str, int]:
        return {"a": self.a + 1}


@dataclasses.dataclass
class Listed(list[int]):
    """A dataclass that is more than its fields."""

    a: int = 0


class Pair(tp.NamedTuple):
    """A named tuple of the typing module."""

    first: tp.Any
    second: tp.Any = 0


Point = collections.namedtuple("Point", "x y")  # the other sort of named tuple


class Strict(pydantic.BaseModel):
    """A model whose validation would refuse what is in it."""

    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)

    number: int = 0
    inner: tp.Any = None
    _private: int = 5

    @pydantic.field_validator("number")
    @classmethod
    def positive(cls, number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number


class FrozenModel(pydantic.BaseModel, frozen=True):
    """A model that may be a key."""

    number: int = 0


class Outer:
    """A class around another."""

    @dataclasses.dataclass
    class Inner:
        a: int = 1


class Simple:
    """A class of none of the sorts that need no pickle."""

    def __init__(self, a: int = 0) -> None:
        self.a = a

    def __repr__(self) -> str:
        return f"Simple({self.a})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Simple) and other.a == self.a

    def __hash__(self) -> int:
        return self.a
