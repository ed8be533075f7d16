"""Uids that were handed out once: they never change, whatever becomes of the code, and are the same on every Python.

`golden.json` says what they were. A difference makes entries of users unreadable, so the file is never written anew: `make
test-all` compares each supported version of Python with it.
"""

# ruff: noqa: RUF012  # pydantic copies defaults, and users write them so
from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import json
import math
import re
import typing as tp
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path, PurePosixPath

import numpy as np
import pydantic
import pytest

import cachedmodel as cm
from cachedmodel import uid
from cachedmodel.differing import Baseline
from cachedmodel.identity import Identity
from cachedmodel.schema import NotInUid

GOLDEN: dict[str, tp.Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
NOON = datetime.datetime(2020, 7, 1, 12)


class Color(enum.Enum):
    RED = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    LOW = 1


class Pair(tp.NamedTuple):
    a: int
    b: int


class Optim(pydantic.BaseModel):
    lr: float = 1e-3
    momentum: float = 1
    name: str = "adam"
    betas: tuple[float, ...] = (0.9, 0.99)


class SubOptim(Optim):
    nesterov: bool = False


class A(pydantic.BaseModel):
    kind: tp.Literal["a"] = "a"
    lr: float = 0.1


class B(pydantic.BaseModel):
    kind: tp.Literal["b"] = "b"
    lr: float = 0.1


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int = 1


class Frozen(pydantic.BaseModel, frozen=True):
    x: int = 0
    items: tuple[int, ...] = ()


class Root(pydantic.RootModel[list[int]]):
    pass


class Node(pydantic.BaseModel):
    value: int = 0
    children: list[Node] = []


class Inner(cm.CachedModel, version="3"):
    size: int = 2

    @cm.task
    def run(self) -> int:
        return self.size


class Everything(cm.CachedModel, version="1"):
    any: tp.Any = None
    number: float = 1
    ratio: float = 0.0
    count: int = 3
    flag: bool = False
    optional: int | None = 2
    text: str = "text"
    level: Level = Level.LOW
    path: Path = "a"  # type: ignore[assignment]  # as users write it
    numbers: list[float] = [1]
    sizes: tuple[float, ...] = [1, 2]  # type: ignore[assignment]
    table: dict[str, list[int]] = {}
    names: set[str] = {"a", "b"}
    optim: Optim = Optim()
    maybe: Optim | None = None
    layers: list[Optim] = [Optim()]
    by_name: dict[str, A | B] = {}
    model: tp.Annotated[A | B, pydantic.Field(discriminator="kind")] = A()
    frozen: Frozen = Frozen()
    members: frozenset[Frozen] = frozenset()
    open: Open = Open()
    root: Root = Root([])
    tree: Node = Node()
    inner: Inner = Inner()
    seed: int = pydantic.Field(default_factory=lambda: 7)
    hidden: int = pydantic.Field(default=0, exclude=True)
    renamed: int = pydantic.Field(default=0, alias="Renamed")
    device: tp.Annotated[str, NotInUid] = "cpu"

    @cm.task(exclude=("count", "optim.name"))
    def run(self) -> float:
        return self.number


#: Configurations, by what is given to them.
CONFIGURATIONS: dict[str, dict[str, tp.Any]] = {
    "default": {},
    "defaults given": {"number": 1.0, "ratio": 0.0, "count": 3, "numbers": [1.0], "optim": {"lr": 1e-3}, "seed": 7},
    "plain": {"number": 2.5, "count": 4, "flag": True, "text": "a/b c", "optional": None, "numbers": [1, 2.5]},
    "lookalikes": {"any": True, "ratio": -0.0, "optional": 0, "text": "None"},
    "one": {"any": 1},
    "float": {"any": 1.0},
    "not a number": {"number": math.nan, "ratio": math.inf},
    "long": {"text": "x" * 300, "count": 10**40},
    "letters": {"text": "ä=,\n*" * 3},
    "nested": {"optim": {"lr": 0.5, "momentum": 1, "betas": (1, 2)}, "maybe": {"lr": 0.5}, "inner": {"size": 3}},
    "subclass": {"optim": SubOptim(nesterov=True), "maybe": SubOptim()},
    "excluded": {"count": 5, "optim": {"name": "sgd"}, "device": "cuda"},
    "version of inner": {"inner": {"infra": {"version": "9"}}},
    "layers": {"layers": [Optim(), Optim(lr=0.5), SubOptim()], "by_name": {"x": A(), "y": B(lr=1)}},
    "no layers": {"layers": []},
    "models in anything": {"any": {"a": [Optim(lr=2), (Root([1]),)]}},
    "discriminated": {"model": {"kind": "b", "lr": 2}},
    "sets": {"names": {"z", "a"}, "members": frozenset({Frozen(x=1), Frozen(items=(1,))}), "frozen": Frozen(x=2)},
    "containers": {"any": [{"b": 1, "a": {2, 1}}, (None, b"x"), deque([1], 3), OrderedDict(b=1, a=2)]},
    "arrays": {"any": {"small": np.arange(3), "large": np.ones((20, 3), "f4"), "scalar": np.float32(0.5)}},
    "open": {"open": {"x": 2, "z": 1, "a": [1]}, "root": [1, 2]},
    "tree": {"tree": {"value": 1, "children": [{"value": 2}, {"children": [{}]}]}},
    "others": {"level": 1, "path": "a/b", "table": {"b": [1], "a": []}, "hidden": 1, "Renamed": 2},
}

VALUES: list[object] = [
    *(None, True, False, 0, 1, -1, 2**64, -(2**64), 0.0, -0.0, 1.0, 0.1, math.inf, math.nan, 1j, "", "a", "\ud800"),
    *(b"", b"a", bytearray(b"a"), Ellipsis, decimal.Decimal("1.0"), fractions.Fraction(1, 3), uuid.UUID(int=1)),
    *(NOON, NOON.date(), NOON.time(), NOON.replace(tzinfo=datetime.timezone.utc), datetime.timedelta(1, 2, 3)),  # noqa: UP017
    *(NOON.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Paris")), zoneinfo.ZoneInfo("Asia/Tokyo")),
    *([], (), set(), frozenset(), {}, [1, [2.5, "x"]], (1, "a"), {3, 1, 2}, frozenset({"b", "a"}), {"b": 1, "a": [2]}),
    *({1: True, "1": None}, OrderedDict(b=1, a=2), Counter("abca"), defaultdict(list, a=[1]), deque([1, 2], 5)),
    *(
        Color.RED,
        Access.READ | Access.WRITE,
        Level.LOW,
        Pair(1, 2),
        PurePosixPath("a/b"),
        Path("c"),
        re.compile("a", re.I),
    ),
    *(range(1, 9, 2), slice(1, None, 2), functools.partial(math.pow, 2), len, int, Optim, Optim(lr=2), Frozen(x=1)),
    *(
        np.arange(4),
        np.ones((30, 2)),
        np.array(["a", None], object),
        np.int8(3),
        np.dtype("f4"),
        np.datetime64("2020-01-01"),
    ),
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    *(pydantic.HttpUrl("http://a.b/c"), pydantic.TypeAdapter(pydantic.IPvAnyAddress).validate_python("127.0.0.1")),
]


def seen(values: dict[str, tp.Any]) -> dict[str, tp.Any]:
    """All that is kept of a configuration: its uid, its complete hash, and what an entry and the folder hold of it."""
    model = Everything(**values)
    baseline = Baseline()
    found = Identity(model, baseline, frozenset(("infra", "count", "optim.name")))
    assert found.uid == model.run.uid()
    return {
        "uid": found.uid,
        "complete": found.complete.hex(),
        "stored": uid.digest(found.stored()),
        "defaults": uid.digest(json.dumps(baseline.known, sort_keys=True).encode()),
    }


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_uid_never_changes(name: str) -> None:
    """A configuration has the uid it always had, and agrees with what its entries keep of it."""
    assert seen(CONFIGURATIONS[name]) == GOLDEN["configurations"][name]


def test_an_encoding_never_changes() -> None:
    """Values have the encodings they always had."""
    digests = [uid.digest(uid.canonical(value)) for value in VALUES]

    assert [repr(v) for v, now, then in zip(VALUES, digests, GOLDEN["values"], strict=True) if now != then] == []


def test_folders_keep_their_names(tmp_path: Path) -> None:
    """A method's folder has the name it always had, and a map the uid that a task has."""
    model = Everything(number=2.0, infra={"folder": tmp_path})
    folder = model.run.uid_folder()

    assert folder is not None
    assert Path(folder).relative_to(tmp_path).as_posix() == GOLDEN["folder"]
