"""Dataclasses, pydantic models, enums and named tuples."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import subprocess
import sys
import typing as tp
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydantic
import pytest

from cachedmodel.codecs import PickleRefusedError, dump, load
from cachedmodel.errors import CacheError
from tests.codecs.classes import (
    Color,
    Frozen,
    FrozenModel,
    Hooked,
    Identical,
    Level,
    Listed,
    Name,
    Outer,
    Pair,
    Permission,
    Plain,
    Point,
    Simple,
    Slotted,
    SlottedChild,
    Strict,
)
from tests.codecs.roundtrip import again, join
from tests.conformance import CodecTests


class TestClasses(CodecTests):
    """What the tree knows of the user's classes."""

    codec = "tree1"

    def values(self) -> Sequence[object]:
        return [
            Plain(1, [2.5]),
            Plain({"a": Plain(None)}, np.arange(3)),
            Frozen((1, 2)),
            Slotted("a", None),
            SlottedChild(1, 2, 3),
            Outer.Inner(5),
            Color.RED,
            Color.ALIAS,
            Level.HIGH,
            Name.ADA,
            Permission.READ | Permission.RUN,
            Permission(0),
            Pair(1, [2]),
            Point(1, 2),
            Strict(number=3, inner=FrozenModel(number=1)),
            FrozenModel(),
            {Frozen(1): [Frozen(1), Color.GREEN], Color.GREEN: Pair(Color.RED), FrozenModel(number=2): 1},
            [Plain(number, str(number)) for number in range(100)],
        ]

    def declined(self) -> Sequence[object]:
        @dataclasses.dataclass
        class Local:
            a: int = 1

        return [Simple(), Hooked(1), Listed(), Local(), Plain(Simple()), Plain, Strict(inner=Simple()), [Local]]


def test_rows_take_little_room() -> None:
    """The path of a class and the names of its fields are written once."""
    rows = [Plain(number, 0.5) for number in range(1000)]

    assert len(join(dump(rows))) < 50 * 1000


def test_no_code_of_a_class_runs() -> None:
    """Neither __init__ nor __post_init__ nor validators see the values, which may have changed since."""
    plain, model = Plain(1), Strict(number=1)
    plain.restored = True  # type: ignore[attr-defined]  # would stop __post_init__
    model.__dict__["number"] = -5

    assert again(plain).restored
    assert again(model).number == -5


def test_all_that_is_in_an_instance_comes_back() -> None:
    """Cached properties, more attributes, and attributes that are missing."""
    plain = Plain(21)
    assert plain.double == 42
    plain.more = [plain.__dict__["double"]]  # type: ignore[attr-defined]  # Python allows it
    del plain.b
    back = again(plain)

    assert vars(back) == {"a": 21, "double": 42, "more": [42]}


def test_models_come_back_whole() -> None:
    """Fields that were set, extra fields and private attributes are as they were."""
    model = Strict(number=3, other=[1])  # type: ignore[call-arg]  # extra fields are allowed
    model._private = 7
    back = again(model)

    assert back == model
    assert back.model_fields_set == {"number", "other"}
    assert back.model_extra == {"other": [1]}
    assert back._private == 7
    assert back.model_dump() == model.model_dump()


def test_instances_stay_shared() -> None:
    """One instance that is met twice is one instance again."""
    inner = Identical()
    back = again([Plain(inner, inner), inner])

    assert back[0].a is back[0].b is back[1]


def test_members_are_the_very_members() -> None:
    """Enums are singletons."""
    for member in (Color.RED, Level.LOW, Name.ADA, Permission.READ):
        assert again(member) is member


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module `shapes` that the test can rewrite."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "shapes.py"
    write(path, "side: float = 1.0")
    yield path
    sys.modules.pop("shapes", None)


def write(path: Path, fields: str, sort: str = "@dataclass\nclass Square:") -> None:
    """Writes the module anew, and forgets the old one."""
    path.write_text(f"from dataclasses import dataclass\nfrom enum import Enum\n{sort}\n    {fields}\n")
    sys.modules.pop("shapes", None)
    importlib.invalidate_caches()
    sys.dont_write_bytecode = True


def square() -> tp.Any:
    return importlib.import_module("shapes").Square()


def test_a_class_is_imported_when_its_instance_is_read(module: Path) -> None:
    """Reading imports the module of the class."""
    payload = dump(square())
    sys.modules.pop("shapes")
    back: tp.Any = load(payload.codec, join(payload), allow_pickle=False)

    assert type(back) is sys.modules["shapes"].Square
    assert back.side == 1.0


@pytest.mark.parametrize(
    ("fields", "sort", "message"),
    [
        ("size: float = 1.0", "@dataclass\nclass Square:", r"shapes.Square, which has other fields now \(were: side\)"),
        ("side: float = 1.0", "class Square:", "dataclass shapes.Square, which is not there any more"),
        ("side = 1", "class Square(Enum):", "dataclass shapes.Square, which is not there any more"),
        ("side: float = 1.0", "@dataclass\nclass Other:", "dataclass shapes.Square, which is not there any more"),
        ("raise OSError('broken')", "if True:", r"cannot be imported \(OSError: broken\)"),
    ],
)
def test_a_class_that_changed_is_an_error(module: Path, fields: str, sort: str, message: str) -> None:
    """An instance of a class that is gone, is of another sort or has other fields is not restored."""
    payload = dump(square())
    write(module, fields, sort)
    with pytest.raises(CacheError, match=message):
        load(payload.codec, join(payload))


def test_a_class_that_is_found_elsewhere_needs_pickle(module: Path) -> None:
    """An instance of a class that was made anew is not stored as if it were of the new one."""
    value = square()
    write(module, "side: float = 1.0")
    importlib.import_module("shapes")
    with pytest.raises(PickleRefusedError, match="another object is found under this name"):
        dump(value, allow_pickle=False)


def test_only_the_four_sorts_are_restored() -> None:
    """Bytes that name another class, or another sort of value than the class is of, are refused."""
    payload = bytes(join(dump(Plain(1))))
    assert b"Plain" in payload
    for name in (b"Simpl", b"Outer", b"Color"):
        with pytest.raises(CacheError, match="not there any more"):
            load("tree1", memoryview(payload.replace(b"Plain", name)))
    with pytest.raises((ValueError, CacheError)):
        load("tree1", memoryview(payload.replace(b"cls.dataclass", b"cls.enum     ")))
    with pytest.raises(ValueError, match="module"):
        load("tree1", memoryview(payload.replace(b"tests.codecs.classes", b"tests.codecs/classes")))


def test_classes_of_main_come_back_by_pickle() -> None:
    """A dataclass of a script needs pickle, and the message tells where to put it."""
    script = (
        "import dataclasses\n"
        "from cachedmodel.codecs import dump, load\n"
        "@dataclasses.dataclass\n"
        "class Mine:\n"
        "    a: int\n"
        "payload = dump([Mine(3)])\n"
        "print(payload.codec, load(payload.codec, memoryview(b''.join(payload.parts))))\n"
        "try:\n"
        "    dump([Mine(3)], allow_pickle=False)\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=script.encode(), capture_output=True, check=True)

    assert done.stdout.decode().startswith("pickle1 [Mine(a=3)]\n")
    assert "value[0] is of the class __main__.Mine, which other processes do not find: define it in a module" in (
        done.stdout.decode()
    )


def test_local_classes_come_back_by_pickle() -> None:
    """Classes made in a function are of the same type after loading, in the same process."""

    class Mood(enum.Enum):
        GOOD = 1

    class Local(pydantic.BaseModel):
        a: int = 1

    assert again([Mood.GOOD, Local(a=2)], allow_pickle=True) == [Mood.GOOD, Local(a=2)]
