"""The canonical encoding: different values differ, equal ones do not, and what cannot be told apart is refused."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import ipaddress
import itertools
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import types
import typing as tp
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachedmodel import containers, uid
from cachedmodel.classpath import class_path
from cachedmodel.errors import UidError

UTC = datetime.UTC
NOON = datetime.datetime(2020, 7, 1, 12)
PARIS = zoneinfo.ZoneInfo("Europe/Paris")


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796  # an alias
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    A = "a"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    pass


class Numbers(list[int]):
    pass


class Pair(tp.NamedTuple):
    a: object
    b: object


class Other(tp.NamedTuple):
    a: object
    b: object


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True)
class Fixed:
    x: object
    y: object = 0


class Plain(pydantic.BaseModel):
    x: tp.Any = 0


class Alike(pydantic.BaseModel):
    x: tp.Any = 0


class Custom:
    def __init__(self, value: object) -> None:
        self.value = value

    def __uid_value__(self) -> object:
        return self.value


class Settings:
    def __init__(self, value: object) -> None:
        self.value = value

    def __uid_value__(self) -> object:
        return {"value": self.value}


def function(*args: object, **kwargs: object) -> None:
    pass


def other_function() -> None:
    pass


#: Values of which each differs from every other in value or type, however alike they look.
DISTINCT: list[object] = [
    *(None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 2**64, -(2**64), 10**5000, 1j, 0j),
    *(complex(0.0, -0.0), "", "1", "None", "True", "a", "a\0", "=replace=", "\ud800", "\U00010000", "\ud800\udc00"),
    *(b"", b"1", b"a", bytearray(b"a"), Ellipsis, "..."),
    *(decimal.Decimal(1), decimal.Decimal("1.0"), decimal.Decimal("NaN"), decimal.Decimal("-0"), decimal.Decimal(0)),
    *(fractions.Fraction(1), fractions.Fraction(1, 2), fractions.Fraction(10**5000, 3)),
    *(uuid.UUID(int=1), datetime.timedelta(1), datetime.timedelta(seconds=1), datetime.time(12), datetime.time(0, 12)),
    *(NOON.date(), NOON, NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=PARIS), NOON.replace(microsecond=1)),
    NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    datetime.datetime(2020, 10, 25, 2, 30, tzinfo=PARIS),
    datetime.datetime(2020, 10, 25, 2, 30, tzinfo=PARIS, fold=1),
    *(datetime.time(12, tzinfo=UTC), datetime.time(12, tzinfo=PARIS), UTC, PARIS),
    *(Color.RED, Color.BLUE, Level.LOW, Name.A, Access.READ, Access.WRITE, Access.READ | Access.WRITE, Access(0)),
    *(Text("a"), Numbers([1]), Pair(1, 2), Other(1, 2), Point(1), Point(1.0), Point(1, 1), Fixed(1), Plain(), Alike()),
    *(Plain(x=1), Plain(x=Plain()), Custom(1), Custom(1.0)),
    *([], (), set(), frozenset(), {}, OrderedDict(), Counter(), defaultdict(int), defaultdict(list), deque()),
    *(deque(maxlen=3), types.MappingProxyType({}), [[]], [()], ([],), [None], [0], [1], [True], [1.0], (1,), {1}),
    *(frozenset({1}), {1: 1}, {True: 1}, {"1": 1}, {1.0: 1}, {1: True}, {1: 1, 2: 2}, [1, 2], [2, 1], [[1], 2]),
    *([1, [2]], [[1, 2]], {"a.b": 1}, {"a": {"b": 1}}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {("a", "b"): 1}),
    *(OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), Counter(a=1), range(3), range(0, 3, 2), slice(3), slice(0, 3)),
    *(["ab", "c"], ["a", "bc"], ["a", "b", "c"], "abc", ["abc"], {"a": "b:c"}, {"a:b": "c"}),
    *(pathlib.Path("a"), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.Path("a/b")),
    *(re.compile("a"), re.compile("a", re.I), re.compile(b"a"), function, other_function, len, math.sin, int, float),
    *(functools.partial(function), functools.partial(function, 1), functools.partial(function, a=1), Plain, Point),
    *(pydantic.HttpUrl("http://a.b"), pydantic.AnyUrl("http://a.b"), ipaddress.ip_address("::1")),
    *(ipaddress.ip_interface("1.1.1.1"), ipaddress.ip_network("1.1.1.1"), ipaddress.ip_address("1.1.1.1")),
    *(
        np.bool_(True),
        np.int8(1),
        np.int64(1),
        np.uint64(1),
        np.float16(1),
        np.float32(1),
        np.float64(1),
        np.longdouble(1),
    ),
    *(np.complex64(1), np.complex128(complex(math.nan, 1)), np.complex128(complex(math.nan, 2)), np.str_("a")),
    *(np.bytes_(b"a"), np.datetime64("2020"), np.datetime64("2020-01-01"), np.datetime64("NaT"), np.timedelta64("NaT")),
    *(np.float64(0.0), np.float64(-0.0), np.float64(math.nan), np.sin, np.cos, np.mean),
    *(
        np.zeros(2),
        np.zeros((2, 1)),
        np.zeros((1, 2)),
        np.zeros(2, "f4"),
        np.zeros(2, ">f8"),
        np.zeros(2, "i8"),
        -np.zeros(2),
    ),
    *(
        np.zeros(0),
        np.zeros((0, 3)),
        np.array(0.0),
        np.ones(100),
        np.ones(101),
        np.full(100, math.nan),
        np.ones((10, 10)),
    ),
    *(np.array([1, "a", None], object), np.array([1.0, "a", None], object), np.array(["a"]), np.array(["a"], "U2")),
    *(np.array(["a"], np.dtypes.StringDType()), np.zeros(2, "M8[s]"), np.zeros(2, "M8[ms]"), np.zeros(1, "V8")),
    *(np.zeros(1, [("a", "i4"), ("b", "i4")]), np.zeros(1, [("b", "i4"), ("a", "i4")]), np.zeros(1, [("a", "i4", 2)])),
    *(np.zeros(1, np.dtype([("a", "i1"), ("b", "i4")], align=True)), np.zeros(1, [("a", "i1"), ("b", "i4")])),
    *(
        np.dtype("f4"),
        np.dtype("f8"),
        np.dtype([("a", "i4")]),
        np.float32,
        np.array([1, 2], np.longdouble),
        np.array([1, 3], np.longdouble),
    ),
]


@pytest.mark.parametrize("hashed", [False, True])
def test_values_that_differ_have_different_encodings(hashed: bool) -> None:
    """However alike two values look or compare, another value or type is another encoding."""
    encodings = [uid.canonical(value) for value in DISTINCT]
    names = [uid.digest(encoding) if hashed else encoding for encoding in encodings]

    same = [(DISTINCT[i], DISTINCT[j]) for i, j in itertools.combinations(range(len(names)), 2) if names[i] == names[j]]

    assert same == []


def test_no_encoding_is_the_start_of_another() -> None:
    """Encodings say where they end, so that those of parts can be joined."""
    encodings = sorted(uid.canonical(value) for value in DISTINCT)

    assert [(a, b) for a, b in itertools.pairwise(encodings) if b.startswith(a)] == []


EQUAL: list[tuple[object, object]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1, 2, 3}, {3, 2, 1}),
    ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}}),
    (math.nan, -math.nan),
    (math.nan, struct.unpack("d", struct.pack("Q", 0x7FF8000000000123))[0]),
    (Color.RED, Color.CRIMSON),
    (NOON.replace(tzinfo=UTC), pydantic.TypeAdapter(datetime.datetime).validate_json('"2020-07-01T12:00:00Z"')),
    (NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=zoneinfo.ZoneInfo("UTC"))),
    (NOON, NOON.replace(fold=1)),
    (UTC, datetime.timezone(datetime.timedelta(0), "named")),
    (pathlib.Path("a//b/./c"), pathlib.Path("a/b/c")),
    (np.ones((200, 3)), np.asfortranarray(np.ones((200, 3)))),
    (np.arange(200), np.arange(400)[::2] // 2),
    (np.full(200, math.nan), -np.full(200, math.nan)),
    (np.array(["a", 1], object), np.array(["a", 1], object)),
    (np.array([1, 2], "M8[s]"), np.array([1, 2], "M8[s]")),
]


@pytest.mark.parametrize(("one", "two"), EQUAL)
def test_equal_values_have_one_encoding(one: object, two: object) -> None:
    """Order of sets and mappings, memory layout, payloads of nan and names of offsets are no part of a value."""
    assert uid.canonical(one) == uid.canonical(two)


def test_bytes_between_and_beside_numbers_do_not_count() -> None:
    """The padding of structured arrays and of long doubles is undefined."""
    padded = np.dtype([("a", "i1"), ("b", "i4")], align=True)
    one, two = np.zeros(50, padded), np.frombuffer(b"\xff" * padded.itemsize * 50, padded).copy()
    two["a"] = two["b"] = 0
    long = np.ones(20, np.longdouble)
    dirty = long.copy()
    if np.finfo(np.longdouble).nmant == 63:
        dirty.view(np.uint8).reshape(-1, 16)[:, 10:] = 7

    assert uid.canonical(one) == uid.canonical(two)
    assert uid.canonical(one[0]) == uid.canonical(two[0])
    assert uid.canonical(long) == uid.canonical(dirty)
    assert uid.canonical(long[0]) == uid.canonical(dirty[0])


def test_tensors_count_by_content() -> None:
    """Dtype, shape, content and whether a gradient is asked for; not memory layout, views or lazy conjugation."""
    torch = pytest.importorskip("torch")
    base = torch.arange(12.0).reshape(3, 4)
    distinct = [
        *(base, base.double(), base.bfloat16(), base.half(), base.int(), base.bool(), base.reshape(4, 3), base + 1),
        *(base.clone().requires_grad_(), torch.zeros(0), torch.zeros(0, 2), torch.tensor(1.0), torch.tensor(math.nan)),
        *(
            torch.complex(base, base),
            torch.complex(base, -base),
            base.to(torch.float8_e4m3fn),
            base.to(torch.float8_e5m2),
        ),
        *(torch.float32, torch.bfloat16, torch.device("cpu"), base.numpy()),
    ]
    lazy = torch.complex(base, -base).conj()

    assert len({uid.canonical(value) for value in distinct}) == len(distinct)
    assert uid.canonical(base.t().contiguous().t()) == uid.canonical(base)
    assert uid.canonical(lazy) == uid.canonical(torch.complex(base, base))
    assert uid.canonical(torch.stack([base, base])[1]) == uid.canonical(base)
    for refused in (base.to_sparse(), torch.nn.Parameter(base), base.to("meta")):
        with pytest.raises(UidError, match="cannot be encoded: use a dense"):
            uid.canonical(refused)


def test_a_large_array_is_hashed_without_a_copy() -> None:
    """64 MB take a few more, with nan in them too."""
    code = """
import numpy as np, resource
from cachedmodel import uid
array = np.zeros(8_000_000); uid.canonical(np.zeros(100)); array[5] = array[7_000_000] = np.nan
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
uid.canonical(array)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    assert grown < (40_000 if sys.platform == "linux" else 40_000_000)


# -- generated values -------------------------------------------------------------------------------------------------

numbers = st.sampled_from([0, 1, -1, True, False, 0.0, -0.0, 1.0, math.nan, math.inf, 10**30, 1e30, 1 + 0j, 0.1])
keys = st.one_of(numbers, st.text(max_size=2), st.binary(max_size=2), st.none(), st.dates(), st.uuids())
atoms = st.one_of(keys, st.text(), st.integers(), st.floats(), st.decimals(), st.fractions(), st.datetimes())


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    lists = st.lists(inner, max_size=3)
    return st.one_of(
        lists,
        lists.map(tuple),
        st.dictionaries(keys, inner, max_size=3),
        st.frozensets(keys, max_size=3),
        st.sets(keys, max_size=3),
        st.builds(Fixed, inner, inner),
        st.builds(Plain, x=inner),
    )


values = st.recursive(st.one_of(numbers, atoms), nested, max_leaves=8)


def is_same(one: tp.Any, two: tp.Any) -> bool:
    """Whether two values are one in value and type, said by their content alone."""
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", two) or (math.isnan(one) and math.isnan(two))
    if isinstance(one, complex):
        return is_same(one.real, two.real) and is_same(one.imag, two.imag)
    if isinstance(one, decimal.Decimal):
        return str(one) == str(two)
    if isinstance(one, datetime.datetime):
        return str(one) == str(two)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(is_same, one, two))
    if isinstance(one, (dict, set, frozenset)):
        first = list(one.items()) if isinstance(one, dict) else list(one)
        second = list(two.items()) if isinstance(two, dict) else list(two)
        return len(first) == len(second) and all(any(is_same(a, b) for b in second) for a in first)
    if isinstance(one, Fixed):
        return is_same((one.x, one.y), (two.x, two.y))
    if isinstance(one, Plain):
        return is_same(one.x, two.x)
    return bool(one == two)


@given(values, values)
def test_one_encoding_means_one_value(one: object, two: object) -> None:
    """Two values share an encoding exactly if they are the same in value and type."""
    assert (uid.canonical(one) == uid.canonical(two)) == is_same(one, two)


@given(st.lists(numbers, max_size=3), st.lists(numbers, max_size=3))
def test_one_encoding_means_one_list_of_lookalikes(one: list[object], two: list[object]) -> None:
    """The same for values that Python takes for equal."""
    assert (uid.canonical(one) == uid.canonical(two)) == is_same(one, two)


PRINT = """
import sys; sys.path.insert(0, sys.argv[1])
from {module} import DISTINCT
from cachedmodel import uid
for value in DISTINCT: print(uid.digest(uid.canonical(value)))
"""


def test_encodings_are_those_of_any_process() -> None:
    """Another hash seed, another working directory and numpy's print options change nothing."""
    here = Path(__file__)
    code = PRINT.format(module=here.stem)
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(here.parent)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert len(seen) == 1


# -- refusals -----------------------------------------------------------------------------------------------------------


class Stateful(dict[str, int]):
    pass


class Slotted(str):
    __slots__ = ("more",)


def stateful() -> Stateful:
    out = Stateful()
    out.more = 1  # type: ignore[attr-defined]
    return out


def circle() -> list[object]:
    out: list[object] = []
    out.append(out)
    return out


def deep() -> object:
    out: object = 1
    for _ in range(100_000):
        out = [out]
    return out


class Local:
    pass


def make_local() -> type:
    class Inner:
        pass

    return Inner


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Local(), "a value of type .*Local cannot be told from others by its content: mark the field NotInUid"),
        (lambda: object(), "builtins.object cannot be told"),
        (
            lambda: pydantic.SecretStr("x"),
            "a secret cannot be part of a uid, which is readable: mark the field NotInUid",
        ),
        (lambda: [pydantic.SecretBytes(b"x")], "a secret cannot"),
        (lambda: lambda: 1, "no name under which another process would find the very same: use a function at the top"),
        (lambda: [].append, "no name under which"),
        (make_local, "the class .*Inner of .* has no name under which .* define it at the top level of a module"),
        (stateful, "a Stateful may hold more than the dict it is"),
        (lambda: Slotted("a"), "a Slotted may hold more than the str it is"),
        (lambda: iter([1]), "list_iterator cannot be told"),
        (lambda: np.ma.array([1]), "an array of type MaskedArray may hold more than its values"),
        (lambda: np.random.default_rng(0), "Generator cannot be told"),
        (circle, "contains itself, or is nested too deeply"),
        (deep, "contains itself, or is nested too deeply"),
        (
            lambda: NOON.replace(tzinfo=Zone()),
            "a time zone of type Zone cannot be told from others: use zoneinfo or UTC",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_refused(make: tp.Callable[[], object], message: str) -> None:
    """A value without a faithful encoding is an error that says what to do, never an approximation."""
    with pytest.raises(UidError, match=message):
        uid.canonical(make())


class Zone(datetime.tzinfo):
    def utcoffset(self, _: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=1)

    def dst(self, _: datetime.datetime | None) -> None:
        return None

    def tzname(self, _: datetime.datetime | None) -> str:
        return "zone"


# -- classes ------------------------------------------------------------------------------------------------------------


def test_classes_of_functions_carry_their_fields() -> None:
    """Classes of one name made in a function differ if their fields do, and are one if not."""

    def make(annotation: object) -> type:
        class Inner(pydantic.BaseModel):
            a: annotation  # type: ignore[valid-type]

        return Inner

    assert class_path(make(int)) == class_path(make(int))
    assert class_path(make(int)) != class_path(make(float))
    assert uid.canonical(make(int)(a=1)) != uid.canonical(make(float | int)(a=1))


def test_addresses_are_no_part_of_a_class() -> None:
    """A validator in an annotation is written by Python with its address, which is another in each process."""

    def make() -> type:
        class Inner(pydantic.BaseModel):
            a: list[tp.Annotated[int, pydantic.AfterValidator(lambda value: value)]]

        return Inner

    assert class_path(make()) == class_path(make())


T = tp.TypeVar("T")


class Box(pydantic.BaseModel, tp.Generic[T]):
    item: T


def test_generics_carry_the_modules_of_their_arguments(tmp_path: Path) -> None:
    """`Box[a.Item]` and `Box[b.Item]` are both named `Box[Item]` by pydantic."""
    boxes = []
    for name in ("uid_module_a", "uid_module_b"):
        module = types.ModuleType(name)
        exec("import pydantic\nclass Item(pydantic.BaseModel):\n    a: int = 1", module.__dict__)
        boxes.append(getattr(Box, "__class_getitem__")(vars(module)["Item"]))  # noqa: B009  # no type that is known here

    assert len({class_path(box) for box in boxes}) == 2
    assert class_path(tp.cast("type", Box[int])).endswith("test_uid:Box[builtins:int]")


MAIN = """
import pydantic, typing, enum, dataclasses
from cachedmodel import uid
class Part(pydantic.BaseModel):
    a: {annotation} = 1
class Kind(enum.Enum):
    A = 1
    {member} = 2
@dataclasses.dataclass
class Data:
    a: {annotation}
print(*(uid.digest(uid.canonical(value)) for value in (Part(), Kind.A, Data(1))))
"""


def test_classes_of_scripts_carry_their_fields(tmp_path: Path) -> None:
    """Two scripts may each have a class of one name: they share only if the classes have the same fields."""

    def run(annotation: str, member: str) -> list[str]:
        script = tmp_path / f"{annotation}{member}.py"
        script.write_text(MAIN.format(annotation=annotation, member=member))
        return subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout.split()

    first, second, third = run("int", "B"), run("int", "B"), run("object", "C")

    assert first == second
    assert not set(first) & set(third)


# -- what is watched ----------------------------------------------------------------------------------------------------

CHANGES: list[tuple[tp.Any, tp.Callable[[tp.Any], object]]] = [
    ([1, 2], lambda value: value.append(3)),
    ([1, 2], lambda value: value.__setitem__(0, 1.0)),
    ([1, 2], lambda value: value.reverse()),
    ([[1]], lambda value: value[0].clear()),
    ([], lambda value: value.append(1)),
    (list(range(16)), lambda value: value.__setitem__(1, True)),
    (list(range(16)), lambda value: value.pop()),
    (list(range(17)), lambda value: value.__setitem__(1, True)),
    (list(range(17)), lambda value: value.append(1)),
    (([1, 2], [3]), lambda value: value[1].insert(0, value[0].pop())),
    ({"a": 1}, lambda value: value.update(a=True)),
    ({"a": 1}, lambda value: value.update(b=value.pop("a"))),
    ({1}, lambda value: value.add(2)),
    (({"a": {2}},), lambda value: value[0]["a"].clear()),
    (bytearray(b"ab"), lambda value: value.__setitem__(0, 1)),
    (deque([1]), lambda value: value.append(1)),
    (OrderedDict(a=1, b=2), lambda value: value.move_to_end("a")),
    (Counter("ab"), lambda value: value.update("a")),
    (Point(1), lambda value: setattr(value, "x", 2)),
    (Fixed([1]), lambda value: value.x.append(2)),
    (functools.partial(function, a=[1]), lambda value: value.keywords["a"].append(2)),
    (Custom([1]), lambda value: value.value.append(2)),
    (Settings("1"), lambda value: setattr(value, "value", "2")),
    (Settings(1), lambda value: setattr(value, "value", True)),
    (Settings([1]), lambda value: value.value.append(2)),
]


@pytest.mark.parametrize(("value", "change"), CHANGES)
def test_each_change_in_place_is_seen(value: tp.Any, change: tp.Callable[[tp.Any], object]) -> None:
    """What was watched is no longer the same once anything in it changed."""
    encoding = uid.Encoding()
    encoding.value(value)

    looks_same = containers.looks_same(encoding.watched)
    assert looks_same()
    change(value)
    assert not looks_same()


@pytest.mark.parametrize("value", [np.zeros(3), Numbers([1]), [np.zeros(3)]])
def test_what_cannot_be_watched_is_opaque(value: object) -> None:
    """The content of an array can only be read again."""
    encoding = uid.Encoding()
    encoding.value(value)

    assert encoding.opaque


# -- names --------------------------------------------------------------------------------------------------------------


@given(st.text(), st.binary())
def test_names_are_safe(readable: str, encoding: bytes) -> None:
    """The text of a uid is a file name on any system, means itself in a glob, and is told from others by its hash."""
    name = uid.text(readable, encoding)

    assert re.fullmatch(r"[A-Za-z0-9_=+,][A-Za-z0-9_.,=+-]*-[0-9a-z]{20}", name)
    assert len(name.encode()) < 255
    assert name.endswith(uid.digest(encoding))
    assert name != "default"


def test_hashes_differ_beyond_case() -> None:
    """Names differ in their hashes, so that a file system that folds case keeps them apart."""
    names = {uid.text(text, uid.canonical(text)).lower() for text in ("a", "A", "ä", "Ä", " ", "_")}

    assert len(names) == 6
