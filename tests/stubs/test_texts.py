"""Types of run time as text: under a public name, with the imports that it needs."""

from __future__ import annotations

import collections
import enum
import pathlib
import re
import sys
import types
import typing as tp
from collections.abc import Callable, Mapping

import numpy as np
import pydantic
import pytest

import cachedmodel as cm
from cachedmodel.stubs.texts import Texts


class Colour(enum.Enum):
    RED = "red"


class Box(pydantic.BaseModel, tp.Generic[tp.AnyStr]):
    text: tp.AnyStr


def texts() -> Texts:
    """Writes types as this module sees them."""
    return Texts(sys.modules[__name__])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "int"),
        (None, "None"),
        (type(None), "None"),
        (tp.Any, "_typing.Any"),
        (list[int], "list[int]"),
        (tp.Optional[int], "int | None"),  # noqa: UP045  # what is written is the same
        (None | int | str, "int | str | None"),
        (tp.Union[int, list[tp.Union[str, None]]], "int | list[str | None]"),  # noqa: UP007
        (tuple[int, ...], "tuple[int, ...]"),
        (tuple[()], "tuple[()]"),
        (tp.Literal["a", 1, None], "_typing.Literal['a', 1, None]"),
        (tp.Literal[Colour.RED], "_typing.Literal[Colour.RED]"),
        (tp.Annotated[int, "note"], "int"),
        (Callable[[int, str], None], "_collections_abc.Callable[[int, str], None]"),
        (Callable[..., int], "_collections_abc.Callable[..., int]"),
        (Mapping[str, Colour], "_collections_abc.Mapping[str, Colour]"),
        (type[int], "type[int]"),
        (pathlib.Path, "_pathlib.Path"),
        (collections.OrderedDict[str, int], "_collections.OrderedDict[str, int]"),
        (re.Pattern[str], "_re.Pattern[str]"),
        (np.ndarray, "_numpy.ndarray"),
        (cm.Infra, "_cachedmodel.Infra"),
        (Box[str], "Box[str]"),
        (tp.ForwardRef("Colour"), "Colour"),
    ],
    ids=str,
)
def test_text(kind: object, text: str) -> None:
    """A type is written as one would write it, with the shortest public name."""
    writer = texts()

    assert writer.text(kind) == text
    assert writer.notes == []


def test_what_cannot_be_named_is_noted() -> None:
    """A class inside a function is found under no name: Any, and a note."""

    class Local: ...

    writer = texts()

    assert writer.text(list[Local]) == "list[_typing.Any]"
    assert len(writer.notes) == 1
    assert "Local is found under no name" in writer.notes[0]


def test_imports_cannot_clash() -> None:
    """Modules are imported under names of their own, sorted: ``from datetime import datetime`` stays what it is."""
    writer = texts()
    for kind in (pathlib.Path, collections.abc.Sized, re.Pattern[str]):
        writer.text(kind)

    lines = writer.import_lines().splitlines()

    assert lines == ["import collections.abc as _collections_abc", "import pathlib as _pathlib", "import re as _re"]


def test_unions_are_flat() -> None:
    """Each member of a union is named once, None last; Any is all that is left of a union with it."""
    writer = texts()

    assert writer.union(["int | None", "str", "int", "list[int | str]"]) == "int | str | list[int | str] | None"
    assert writer.union(["int", writer.any(), "str"]) == "_typing.Any"
    assert writer.union(["_typing.Literal['a | b']", "int"]) == "_typing.Literal['a | b'] | int"


def test_names_of_this_module_need_no_import() -> None:
    """What the module defines itself is written as it is."""
    writer = Texts(types.ModuleType("elsewhere"))

    assert texts().text(Colour) == "Colour"
    assert writer.text(Colour) == f"_{__name__.replace('.', '_')}.Colour"
