"""What a model takes for its fields is what pydantic takes: every kind that is written is tried."""

from __future__ import annotations

import datetime
import enum
import sys
import typing as tp
from pathlib import Path

import pydantic
import pytest

from cachedmodel.stubs.inputs import Inputs
from cachedmodel.stubs.texts import Texts


class Colour(enum.Enum):
    RED = "red"


class Inner(pydantic.BaseModel):
    a: int
    b: str = "b"


class Cat(pydantic.BaseModel):
    kind: tp.Literal["cat"] = "cat"


class Dog(pydantic.BaseModel):
    kind: tp.Literal["dog"] = "dog"


def _number(value: int | str) -> int:
    return int(value)


def _anything(value: tp.Any) -> int:  # Any: a validator that does not say what it takes
    return int(value)


class Outer(pydantic.BaseModel):
    plain: int = 0
    path: Path = Path()
    colour: Colour = Colour.RED
    day: datetime.date | None = None
    numbers: list[float] = []
    pair: tuple[int, Path] = (1, Path())
    paths: dict[str, Path] = {}
    inner: Inner | None = None
    inners: list[Inner] = []
    pet: Cat | Dog = pydantic.Field(default=Cat(), discriminator="kind")
    secret: pydantic.SecretStr = pydantic.SecretStr("")
    strict: tp.Annotated[Path, pydantic.Field(strict=True)] = Path()
    parsed: tp.Annotated[int, pydantic.BeforeValidator(_number)] = 0
    untold: tp.Annotated[int, pydantic.BeforeValidator(_anything)] = 0


CASES: list[tuple[str, str, object]] = [
    ("plain", "int", 1),
    ("path", "_pathlib.Path | str", "a"),
    ("colour", "Colour | _typing.Literal['red']", "red"),
    ("day", "_datetime.date | str | None", "2024-01-01"),
    ("numbers", "_collections_abc.Iterable[float]", (1.0, 2.0)),
    ("pair", "tuple[int, _pathlib.Path | str] | list[int | _pathlib.Path | str]", [1, "a"]),
    ("paths", "_collections_abc.Mapping[str, _pathlib.Path | str]", {"a": "b"}),
    ("inner", "Inner | _InnerDict | None", {"a": 1}),
    ("inners", "_collections_abc.Iterable[Inner | _InnerDict]", [{"a": 1}]),
    ("pet", "Cat | _Cat_kind_Dict | Dog | _Dog_kind_Dict", {"kind": "dog"}),
    ("secret", "_pydantic.SecretStr | str", "a"),
    ("strict", "_pathlib.Path", Path()),
    ("parsed", "int | str", "12"),
    ("untold", "_typing.Any", "12"),
]


def inputs() -> Inputs:
    """Writes what is taken, as this module sees it."""
    return Inputs(Texts(sys.modules[__name__]), taken=())


@pytest.mark.parametrize(("name", "text", "value"), CASES, ids=[case[0] for case in CASES])
def test_accepted(name: str, text: str, value: object) -> None:
    """What is written for a field is what pydantic takes."""
    assert inputs().accepted(Outer, name, Outer.model_fields[name]) == text
    Outer.model_validate({name: value})


def test_dicts_of_models() -> None:
    """The dict of a model has its fields, what is required is, and the tag where it tells a union apart."""
    writer = inputs()

    writer.keys(Outer)

    assert writer.dicts["_InnerDict"].splitlines()[1:] == [
        "class _InnerDict(_typing.TypedDict, total=False):",
        "    a: _typing.Required[int]",
        "    b: str",
    ]
    assert "    kind: _typing.Required[_typing.Literal['dog']]" in writer.dicts["_Dog_kind_Dict"]


def test_a_validator_that_says_nothing_is_noted() -> None:
    """Where a validator runs before and takes Any, any value is accepted, and this is reported."""
    writer = inputs()

    writer.keys(Outer)

    assert [note for note in writer.texts.notes if "untold" in note] != []


class Aliased(pydantic.BaseModel):
    one: int = pydantic.Field(alias="uno")
    two: int = pydantic.Field(validation_alias=pydantic.AliasChoices("dos", "deux"))
    three: int = pydantic.Field(default=3, validation_alias=pydantic.AliasPath("numbers", 2))


class ByName(Aliased):
    model_config = pydantic.ConfigDict(validate_by_name=True)


def test_keywords_are_those_that_pydantic_takes() -> None:
    """Aliases take the place of names, or stand beside them where both are taken."""
    aliased = {key.name: key.is_required for key in inputs().keys(Aliased)}
    by_name = {key.name: key.is_required for key in inputs().keys(ByName)}

    assert aliased == {"uno": True, "dos": False, "deux": False, "numbers": False}
    assert by_name == {
        "one": False,
        "uno": False,
        "two": False,
        "dos": False,
        "deux": False,
        "three": False,
        "numbers": False,
    }
    Aliased.model_validate({"uno": 1, "deux": 2, "numbers": [1, 2, 3]})
    ByName.model_validate({"one": 1, "two": 2, "three": 3})
