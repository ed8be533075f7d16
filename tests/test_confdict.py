"""ConfDict: dotted keys, merging, and the ways in and out of it."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import io
import json
import pickle
import subprocess
import sys
import typing as tp
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pydantic
import pytest
import yaml
from hypothesis import example, given, reject

from cachedmodel.confdict import ConfDict
from cachedmodel.confkeys import escape
from cachedmodel.errors import UidError

# -- what configurations hold ---------------------------------------------------------------------------------------

LOOKALIKES = (
    ["", " ", ".", "\\", "a.b", "a\\", "\\.", "0", "-1", "=replace=", "=", "<<", "~", "null", "on", "No", "y", "True"]
    + ["1", "1.0", "1e5", "1e-3", ".5", "0x1F", "0o17", "017", "1_000", "1:30", ".inf", "nan", "2024-01-01", "!!int 3"]
    + ["2024-01-01 10:00:00", "# no comment", "a: b", "- a", "[1]", "{}", "*a", "&a", "%", "@", "`", "|", "> ", "a # b"]
    + [
        "\n",
        "a\n",
        "\na",
        " a\n b\n\n",
        "a\n\n\n",
        "\ta",
        "a\t\n",
        "\x00",
        "\x07",
        "\x85",
        "\u2028",
        "\ufeff",
        "é",
        "😀",
    ]
    + ["---", "...", "--- a", "'", '"', "it's", "a\r\nb", "\ud800", "x" * 300, "a " * 200, "? a", ": a", "a:", "\xa0"]
)
texts = st.sampled_from(LOOKALIKES) | st.text(max_size=12) | st.text(alphabet=" \n\t#:-'\"\\.a", max_size=8)
zones = st.integers(-1439, 1439).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))
times = st.datetimes(timezones=st.none() | st.just(datetime.UTC) | zones).map(lambda time: time.replace(fold=0))
scalars: st.SearchStrategy[tp.Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=20) | st.dates() | times
)
scalars |= st.sampled_from([1e5, 1e16, -0.0, 1e-7, float("inf"), -float("inf"), 2**70, -(2**70)])
keys = texts | st.sampled_from(["a", "b", "c"])
values = st.recursive(
    scalars,
    lambda sub: (
        st.lists(sub, max_size=4)
        | st.dictionaries(keys, sub, max_size=4)
        | st.dictionaries(st.integers() | st.booleans() | st.none(), sub, max_size=3)
    ),
    max_leaves=12,
)
nested = st.dictionaries(keys, values, max_size=5)
"""Plain nested dicts whose keys are to be taken literally."""


def literal(value: tp.Any) -> tp.Any:
    """The same value with its keys escaped: what a user writes to have them taken literally."""
    if isinstance(value, dict):
        return {escape(key) if isinstance(key, str) else key: literal(sub) for key, sub in value.items()}
    return [literal(sub) for sub in value] if isinstance(value, list) else value


def exact(value: tp.Any) -> tp.Any:
    """A form that is equal only for the same types, values (-0.0 and nan too) and order of keys."""
    if isinstance(value, dict):
        return [(exact(key), exact(sub)) for key, sub in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [exact(sub) for sub in value]
    offset = value.utcoffset() if isinstance(value, datetime.datetime) else None
    return type(value).__name__, repr(value.replace(tzinfo=None) if offset is not None else value), offset


# -- one key ----------------------------------------------------------------------------------------------------------


def test_dotted_keys_nest() -> None:
    """Dotted keys and nested mappings are the same thing, in lists and keyword arguments too."""
    conf = ConfDict({"a.b": 1, "c": {"d": 2, "e.f": 3}, "g": [{"h.i": 4}]}, k={"l.m": 5})

    assert conf == {"a": {"b": 1}, "c": {"d": 2, "e": {"f": 3}}, "g": [{"h": {"i": 4}}], "k": {"l": {"m": 5}}}


def test_all_methods_take_dotted_keys() -> None:
    """Reading, writing, deleting, defaults: at any depth."""
    conf = ConfDict({"a.b": 1})
    conf["a.c.d"] = {"e.f": 3}

    assert conf["a"]["c"]["d"]["e"]["f"] == conf["a.c.d.e.f"] == 3
    assert "a.c.d" in conf
    assert "a.x" not in conf
    assert "a.b.c" not in conf
    assert conf.get("a.b") == 1
    assert conf.get("a.x", 5) == 5
    assert conf.get("a.b.c") is None
    assert conf.setdefault("a.b", 2) == 1
    assert conf.setdefault("a.y", {"z.z": 2}) == {"z": {"z": 2}}
    assert conf.pop("a.y.z") == {"z": 2}
    assert conf.pop("a.y.z", None) is None
    del conf["a.c"]
    assert conf == {"a": {"b": 1, "y": {}}}


def test_assignment_takes_the_place_of_what_was_there() -> None:
    """Assignment is no merge: afterwards the key holds what was assigned."""
    conf = ConfDict({"a": {"b": 1, "c": 2}, "n": None})
    conf["a"] = {"b": 3}
    conf["n.x"] = 1

    assert conf == {"a": {"b": 3}, "n": {"x": 1}}


def test_lists_are_reached_by_index() -> None:
    """Items of lists, at any depth, are read, set and deleted with dotted keys."""
    conf = ConfDict({"layers": [{"width": 1}, [{"deep.er": 2}]], "pair": (1, {"a.b": 2})})
    conf["layers.0.width"] = 8
    conf["layers.1.0.new.key"] = 9
    conf["layers.-1.0.last"] = 10

    assert conf["layers.1.0"] == {"deep": {"er": 2}, "new": {"key": 9}, "last": 10}
    assert conf["layers.0"] == {"width": 8}
    assert conf["pair.1.a.b"] == 2
    del conf["layers.1"]
    assert conf["layers"] == [{"width": 8}]


@pytest.mark.parametrize("key", ["layers.2", "layers.2.x", "layers.-3", "layers.x", "layers.1_0", "layers.²"])
def test_no_such_index_names_the_length(key: str) -> None:
    """An index that does not exist is a KeyError, when read, set or deleted, and changes nothing."""
    conf = ConfDict({"layers": [{}, {}]})
    for action in (conf.__getitem__, conf.__delitem__, lambda key: conf.__setitem__(key, 1)):
        with pytest.raises(KeyError, match="'layers', which is a list of length 2"):
            action(key)

    assert key not in conf
    assert conf == {"layers": [{}, {}]}


def test_items_of_tuples_cannot_be_set() -> None:
    """A tuple is not changed behind its back; what is inside of it may."""
    conf = ConfDict({"a.pair": (1, {"b": 2})})
    conf["a.pair.1.b"] = 3
    with pytest.raises(TypeError, match=r"'a.pair' is a tuple"):
        conf["a.pair.0"] = 3
    with pytest.raises(TypeError, match=r"'a.pair' is a tuple"):
        del conf["a.pair.0"]

    assert conf == {"a": {"pair": (1, {"b": 3})}}


def test_missing_keys_say_what_there_is() -> None:
    """The message of a KeyError says where the path ends and what the choice is."""
    conf = ConfDict({"model": {"lr": 1, r"a\.png": 2}})

    with pytest.raises(KeyError, match=r"no key 'rate' in 'model'; the keys are: 'lr', 'a\.png'"):
        conf["model.rate.x"]
    with pytest.raises(KeyError, match=r"'model\.lr' is 1, which has no keys"):
        conf["model.lr.x"]
    with pytest.raises(KeyError, match="a dot that is part of a key is written with a backslash"):
        conf["model.a.png"]
    with pytest.raises(KeyError, match="no key 'x' here"):
        conf.pop("x")


def test_literal_dots_are_escaped() -> None:
    """A backslash takes the meaning from a dot; iteration gives the keys as they are."""
    conf = ConfDict({r"files.a\.png": 1})
    conf[r"files.b\.png.size"] = 2

    assert conf.to_dict() == {"files": {"a.png": 1, "b.png": {"size": 2}}}
    assert conf[r"files.a\.png"] == 1
    assert list(conf["files"]) == ["a.png", "b.png"]
    assert ConfDict({r"C:\dir": 1}) == {r"C:\dir": 1}


def test_from_nested_takes_keys_as_they_are() -> None:
    """A dot in a key of a value, as a field may hold it, is no path; nothing is shared with what was given."""
    source = {"files": {"a.png": [{"b.c": 1}]}}
    conf = ConfDict.from_nested(source)
    conf[r"files.a\.png.0.b\.c"] = 2

    assert conf.to_dict() == {"files": {"a.png": [{"b.c": 2}]}}
    assert source == {"files": {"a.png": [{"b.c": 1}]}}


def test_keys_that_are_no_strings_are_kept() -> None:
    """Mappings from integers are values like others."""
    conf = ConfDict({"a": {1: {"x.y": "z"}}})

    assert conf["a"][1]["x.y"] == "z"
    assert conf.flat() == {"a": {1: {"x": {"y": "z"}}}}
    assert ConfDict.from_yaml(conf.to_yaml()) == conf


@given(nested)
def test_dotted_access_is_nested_access(data: dict[str, tp.Any]) -> None:
    """The escaped parts of a path, joined by dots, give what the parts give one by one."""
    conf = ConfDict(literal(data))

    def check(path: list[str], value: tp.Any) -> None:
        key = ".".join(path)
        assert exact(conf[key]) == exact(value)
        assert key in conf
        sub = dict(enumerate(value)) if isinstance(value, list) else value
        for part, inner in sub.items() if isinstance(sub, dict) else ():
            if isinstance(part, str) or isinstance(value, list):
                check([*path, escape(str(part))], inner)

    for key, value in data.items():
        check([escape(key)], value)


# -- merging ----------------------------------------------------------------------------------------------------------


def test_update_merges_deeply() -> None:
    """Mappings are merged key by key, all other values replaced, the order of keys kept."""
    conf = ConfDict({"a": {"b": 1, "c": [1, 2]}, "d": 3, "e": None})
    conf.update({"a.c": [3], "a": {"x": {"y": 4}}, "d": {"z": 5}}, e={"f": 6})

    assert conf.to_dict() == {"a": {"b": 1, "c": [3], "x": {"y": 4}}, "d": {"z": 5}, "e": {"f": 6}}
    assert list(conf) == ["a", "d", "e"]


def test_update_takes_pairs_and_any_keyword() -> None:
    """Pairs, as for a dict; keywords last, whatever their name."""
    conf = ConfDict([("a.b", 1), ("source", 2)], source=3, self=4)
    conf.update([("a.c", 2)], how=5)

    assert conf == {"a": {"b": 1, "c": 2}, "source": 3, "self": 4, "how": 5}


def test_replace_takes_the_place_of_a_mapping() -> None:
    """ "=replace=": True in a mapping given to update: not merged; it leaves no trace."""
    conf = ConfDict({"a": {"b": {"c": 1}, "d": 2}, "e": 3, "l": [{"x": 1, "y": 2}]})
    conf.update({"a.b": {"=replace=": True, "z": 1}, "new": {"=replace=": True}, "l.0": {"=replace=": True, "x": 3}})
    assert conf == {"a": {"b": {"z": 1}, "d": 2}, "e": 3, "new": {}, "l": [{"x": 3}]}

    conf.update({"=replace=": True, "a.b": conf["a.b"]})
    assert conf == {"a": {"b": {"z": 1}}}


def test_replace_is_an_ordinary_string_everywhere_else() -> None:
    """As a value, as a key of another value, of a list item, of the constructor and of an assignment."""
    data = {"a": {"=replace=": True, "b": "=replace="}}
    conf = ConfDict(data)
    assert conf == data

    conf["a"] = {"=replace=": True}
    conf.update({"x": {"=replace=": 1}, "y": [{"=replace=": True}], "a": {r"\=replace=": False}})
    assert conf == {"a": {"=replace=": False}, "x": {"=replace=": 1}, "y": [{"=replace=": True}]}


def test_update_reaches_into_lists() -> None:
    """Dotted or nested, indexes merge into the items of a list; any other mapping takes its place."""
    conf = ConfDict({"layers": [{"w": 1, "a": 0}, {"w": 2}]})
    conf.update({"layers.0.w": 3})
    conf.update(ConfDict.from_args(["layers.1.w=4"]))
    assert conf == {"layers": [{"w": 3, "a": 0}, {"w": 4}]}

    with pytest.raises(KeyError, match="length 2"):
        conf.update({"layers": {"2": {}}})
    conf.update({"layers": {"n": 1}})
    assert conf == {"layers": {"n": 1}}


def test_containers_are_copied_on_the_way_in() -> None:
    """Neither the mapping given nor a part of itself is shared."""
    source = {"a": {"b": [1]}}
    conf = ConfDict(source)
    conf["x"] = conf["a"]
    conf.update({"a": conf})
    conf["x.b.0"] = 2

    assert source == {"a": {"b": [1]}}
    assert conf == {"a": {"b": [1], "a": {"b": [1]}, "x": {"b": [1]}}, "x": {"b": [2]}}


def test_operators_merge() -> None:
    """`|` gives a new ConfDict, `|=` updates; a plain dict may stand on either side."""
    conf = ConfDict({"a.b": 1})
    both = conf | {"a.c": 2}
    other = {"a": {"b": 0, "d": 3}} | conf
    conf |= {"a.e": 4}

    assert (both, type(both)) == ({"a": {"b": 1, "c": 2}}, ConfDict)
    assert (other, type(other)) == ({"a": {"b": 1, "d": 3}}, ConfDict)
    assert conf == {"a": {"b": 1, "e": 4}}


@given(st.lists(nested, min_size=3, max_size=3))
def test_merges_of_disjoint_keys_are_associative(parts: list[dict[str, tp.Any]]) -> None:
    """Configurations that share no key are merged in any grouping to the same."""
    a, b, c = (ConfDict({f"root.{name}": literal(part)}) for name, part in zip("abc", parts, strict=True))

    assert exact((a | b) | c) == exact(a | (b | c))


@given(nested, nested)
def test_update_makes_its_leaves_true(old: dict[str, tp.Any], new: dict[str, tp.Any]) -> None:
    """After an update each leaf of the patch is there, and updating again changes nothing."""
    conf, patch = ConfDict(literal(old)), ConfDict(literal(new)).flat()
    try:
        conf.update(patch)
    except KeyError:  # a dotted key into a list where there is no such index
        reject()

    for key, leaf in patch.items():
        if not isinstance(leaf, dict):  # empty ones, or with keys that are no strings: merged
            assert exact(conf[key]) == exact(leaf)
    again = conf.copy()
    again.update(patch)
    assert exact(again) == exact(conf)


@given(nested, nested)
def test_replaced_is_what_was_given(old: dict[str, tp.Any], new: dict[str, tp.Any]) -> None:
    """Whatever was there, a mapping with "=replace=" takes its place whole."""
    conf = ConfDict({"x": literal(old), "y": 1})
    conf.update({"x": {"=replace=": True, **literal(new)}})

    assert exact(conf.to_dict()) == exact({"x": new, "y": 1})


# -- out and back -----------------------------------------------------------------------------------------------------


@given(nested)
@example({"a": {"": {}, "b": []}, "": {".": {"\\": 1}}})
def test_flat_round_trip(data: dict[str, tp.Any]) -> None:
    """`flat` is taken back exactly by `from_flat`, the constructor and `update`; `to_dict` gives the literal keys."""
    conf = ConfDict(literal(data))
    flat = conf.flat()
    updated = ConfDict()
    updated.update(flat)

    assert exact(conf.to_dict()) == exact(data)
    assert exact(ConfDict.from_flat(flat)) == exact(ConfDict(flat)) == exact(updated) == exact(conf)


def test_flat_stops_at_leaves() -> None:
    """Lists and empty mappings are leaves."""
    conf = ConfDict({"a": {"b": [{"c.d": 1}], "e": {}}, "f": None})

    assert conf.flat() == {"a.b": [{"c": {"d": 1}}], "a.e": {}, "f": None}


def test_flat_keys_that_contradict_each_other_are_refused() -> None:
    """A key cannot hold a value and other keys at once."""
    for flat in ({"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}, {"a.b": 1, "a": {"b": 1}}):
        with pytest.raises(ValueError, match=r"the key 'a(\.b)?' is given twice"):
            ConfDict.from_flat(flat)


@given(nested)
@example({"a": [1.0, -0.0, float("nan")], "b": [True, 1], "c": [[], {}], "d": {True: 1, None: 2, 3: 4}})
def test_yaml_round_trip(data: dict[str, tp.Any]) -> None:
    """Plain values come back from YAML with their types, as text, bytes or file."""
    conf = ConfDict(literal(data))
    text = conf.to_yaml()

    assert exact(ConfDict.from_yaml(text.encode())) == exact(conf)
    assert exact(ConfDict.from_yaml(io.StringIO(text))) == exact(conf)


@given(st.dictionaries(st.sampled_from("abc"), texts.filter(lambda text: text.isprintable()) | st.floats()))
def test_yaml_is_read_alike_by_others(data: dict[str, tp.Any]) -> None:
    """A reader of YAML 1.1, as PyYAML is, takes no text for a number, date or boolean, and no number for text."""
    assert exact(yaml.safe_load(ConfDict(data).to_yaml())) == exact(data)


def test_yaml_files(tmp_path: Path) -> None:
    """A path is written and read, also when given as a string; so is an open file."""
    path = tmp_path / "conf é.yaml"
    conf = ConfDict({"a.b": "é\nü", "c": [1, 2]})
    assert conf.to_yaml(path) == path.read_text("utf-8") == "a:\n  b: |-\n    é\n    ü\nc: [1, 2]\n"

    with path.open("rb") as file:
        assert ConfDict.from_yaml(path) == ConfDict.from_yaml(str(path)) == ConfDict.from_yaml(file) == conf
    assert ConfDict.from_yaml("") == ConfDict.from_yaml("# nothing\n") == {}


def test_yaml_is_read_by_the_core_schema() -> None:
    """As YAML 1.2 has it: `on` is text and 1e-3 a number; dotted keys nest, `<<` merges, dates are dates."""
    text = "base: &b {x: 1e-3, y: on}\nopt.lr: 017\nopt.d: 2024-01-02\nm:\n  <<: *b\n  y: 0o17\nn: 1_000\n"

    assert ConfDict.from_yaml(text).to_dict() == {
        "base": {"x": 0.001, "y": "on"},
        "opt": {"lr": 17, "d": datetime.date(2024, 1, 2)},
        "m": {"x": 0.001, "y": 15},
        "n": "1_000",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "line 5, column 3 .*the key 'c' is given twice, first in line 3"),
        ("a.b: 1\na:\n  b: 2\n", "the key 'a.b' is given twice, in ways that contradict"),
        ("a: [1, 2\nb: 3\n", "line 2, column 2 is no valid YAML"),
        ("a: !!python/object:os.system x\n", "line 1, column 4 is no valid YAML: could not determine a constructor"),
        ("a: 2024-13-01\n", "line 1, column 4 .* not a valid timestamp: month must be in 1..12"),
        ("a: !!int x\n", "line 1, column 4 .* not a valid int"),
        ("- 1\n", r"holds \[1\], not a mapping"),
        ("conf.yaml", "holds 'conf.yaml', not a mapping of keys to values; there is no file of this name"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1 is no valid YAML: but found another document"),
    ],
)
def test_wrong_yaml_says_where(tmp_path: Path, text: str, message: str) -> None:
    """The file, the line and what is wrong."""
    with pytest.raises(ValueError, match=message):
        ConfDict.from_yaml(text)

    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.yaml'"):
        ConfDict.from_yaml(path)


class Color(enum.Enum):
    """A setting with two values."""

    RED = "red"
    BLUE = 2


class Inner(pydantic.BaseModel):
    """A model without secrets."""

    x: int = 1


def test_yaml_writes_all_else_readably() -> None:
    """Values that YAML does not know come back as the documented plain ones."""
    zone = datetime.timezone(datetime.timedelta(seconds=30))
    data: dict[str, tp.Any] = {
        "tuple": (1, ("a",)), "set": {3, 1, 2}, "path": Path("a/b"), "enum": [Color.RED, Color.BLUE],
        "decimal": decimal.Decimal("1.50"), "float32": np.float32(0.5), "int": np.int64(3), "bool": np.bool_(True),
        "array": np.eye(2), "names": np.array(["a"]), "0d": np.array(3), "model": [Inner()], "class": Color,
        "secret": pydantic.SecretStr("s3"), "time": datetime.time(1, 2), "mapping": {("a", 1): 2, Color.RED: {"x.y"}},
        "second offset": datetime.datetime(2024, 1, 1, tzinfo=zone), "long": np.longdouble(2), "bytes": bytearray(b"a"),
        "date64": np.datetime64("2024-01-02"), "complex": 1j, "float": np.float64("nan"),
    }  # fmt: skip
    text = ConfDict(data).to_yaml()
    back = ConfDict.from_yaml(text).to_dict()

    assert "s3" not in text
    assert np.isnan(back.pop("float"))
    assert back == {
        "tuple": [1, ["a"]], "set": [1, 2, 3], "path": "a/b", "enum": ["red", 2], "decimal": "1.50", "float32": 0.5,
        "int": 3, "bool": True, "array": [[1.0, 0.0], [0.0, 1.0]], "names": ["a"], "0d": 3, "model": [{"x": 1}],
        "class": f"{__name__}:Color", "secret": "**********", "time": "01:02:00", "bytes": b"a",
        "mapping": {"('a', 1)": 2, "red": ["x.y"]}, "second offset": "2024-01-01T00:00:00+00:00:30",
        "long": "2.0", "date64": datetime.date(2024, 1, 2), "complex": "1j",
    }  # fmt: skip


def test_yaml_refuses_to_lose_a_key() -> None:
    """Two keys that would be written alike are an error, not one entry less."""
    with pytest.raises(ValueError, match="two keys of a mapping are both written 'red'"):
        ConfDict({"a": {Color.RED: 1, "red": 2}}).to_yaml()


# -- uid --------------------------------------------------------------------------------------------------------------


def test_uid_is_the_same_in_every_process() -> None:
    """Readable, independent of hash seed and order of keys; another type is another uid."""
    code = "from cachedmodel.confdict import ConfDict; print(ConfDict({'b': {'x', 'y', 'z'}, 'a.c': 1}).uid())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    uid = ConfDict({"a": {"c": 1}, "b": {"z", "y", "x"}}).uid()

    assert uid == ConfDict({"a": {"c": 1}, "b": {"z", "y", "x"}}).uid()
    assert uid.startswith("a.c=1,b=")
    assert out.stdout.strip()[-16:] == uid[-16:]
    assert len({ConfDict(a=value).uid() for value in (1, 1.0, True, "1", [1], {"1": 1}, None)}) == 7


def test_uid_refuses_what_it_cannot_tell_apart() -> None:
    """A value without content to compare is an error."""
    with pytest.raises(UidError, match="cannot be told"):
        ConfDict(a=object()).uid()


# -- command line -----------------------------------------------------------------------------------------------------


def test_from_args_reads_scalars_and_flow() -> None:
    """Values are scalars of YAML 1.2, or flow style where they start so."""
    args = ["--a.b=1", "lr=1e-3", "--flag=true", "x=[1, {y.z: on}]", "name=on", "none=null", "empty=", "d=2024-01-01"]
    args += ["eq=a=b", "text=a: b # c", 'quoted="1"', "big=1_000", "inf=-.inf", "hex=0x1F", "star=*.py", "pad= 1 "]

    assert ConfDict.from_args(args).to_dict() == {
        "a": {"b": 1}, "lr": 0.001, "flag": True, "x": [1, {"y": {"z": "on"}}], "name": "on", "none": None, "empty": "",
        "d": "2024-01-01", "eq": "a=b", "text": "a: b # c", "quoted": "1", "big": "1_000", "inf": -float("inf"),
        "hex": 31, "star": "*.py", "pad": 1,
    }  # fmt: skip
    assert ConfDict.from_args(["a=1", "a=2"]) == {"a": 2}


@pytest.mark.parametrize("arg", ["--flag", "a", "=1", "-a=1", "x=[1, 2", "", "x={a: 1, a: 2}", "x='a' b"])
def test_from_args_names_the_bad_argument(arg: str) -> None:
    """An argument that cannot be read is shown."""
    with pytest.raises(ValueError, match="the argument") as info:
        ConfDict.from_args(["a=1", arg])

    assert repr(arg) in str(info.value)


# -- models -----------------------------------------------------------------------------------------------------------


class Sub(Inner):
    """A subclass with a field of its own."""

    path: Path = Path("p")


class Adam(pydantic.BaseModel):
    """One member of a union."""

    name: tp.Literal["adam"] = "adam"
    lr: float = 0.1


class Sgd(pydantic.BaseModel):
    """The other member."""

    name: tp.Literal["sgd"] = "sgd"
    lr: float = 1.0


Optim = tp.Annotated[Adam | Sgd, pydantic.Field(discriminator="name")]


class Outer(pydantic.BaseModel):
    """A model with all that is hard to dump."""

    model_config = pydantic.ConfigDict(extra="allow")

    required: int
    inner: Inner = Inner()
    many: list[Inner] = []
    token: pydantic.SecretStr = pydantic.SecretStr("s3cr3t")
    tokens: list[pydantic.SecretStr] = []
    optim: Optim = Adam()
    optims: list[Optim] = []
    table: dict[str, int] = {}
    hidden: int = pydantic.Field(0, exclude=True)
    alias: int = pydantic.Field(0, alias="other")
    number: float = 1.0
    old: int = pydantic.Field(0, deprecated=True)
    made: list[int] = pydantic.Field(default_factory=lambda: [1])


def test_from_model_holds_python_values() -> None:
    """All fields by name, with models as mappings, what a dump would drop included, and secrets masked."""
    given = {"tokens": ["x"], "table": {"a.b": 1}, "other": 3, "hidden": 4, "extra": Inner()}
    model = Outer.model_validate({"required": 1, "inner": Sub(), **given})
    conf = ConfDict.from_model(model)

    assert conf.to_dict() == {
        "required": 1, "inner": {"x": 1, "path": Path("p")}, "many": [], "token": "**********",
        "tokens": ["**********"], "optim": {"name": "adam", "lr": 0.1}, "optims": [], "table": {"a.b": 1}, "hidden": 4,
        "alias": 3, "number": 1.0, "old": 0, "made": [1], "extra": {"x": 1},
    }  # fmt: skip
    assert isinstance(conf["inner"], ConfDict)
    assert conf[r"table.a\.b"] == 1
    assert ConfDict.from_yaml(conf.to_yaml())["inner.path"] == "p"


def test_from_model_without_defaults() -> None:
    """What equals its default in type and value goes, discriminators stay where the model does."""
    model = Outer.model_validate(
        {"required": 1, "optim": Sgd(), "optims": [Adam(lr=2)], "made": [1], "token": "s3cr3t"}
    )
    assert ConfDict.from_model(model, exclude_defaults=True) == {
        "required": 1,
        "optim": {"name": "sgd"},
        "optims": [{"name": "adam", "lr": 2.0}],
    }

    model = Outer.model_construct(required=1, number=True, inner=Sub(), made=[True])
    assert ConfDict.from_model(model, exclude_defaults=True) == {
        "required": 1, "number": True, "inner": {}, "made": [True],
    }  # fmt: skip


def test_from_root_model() -> None:
    """The content of a root model stands for it."""

    class Widths(pydantic.RootModel[dict[str, int]]):
        pass

    class Names(pydantic.RootModel[list[str]]):
        pass

    assert ConfDict.from_model(Widths({"a.b": 1})).to_dict() == {"a.b": 1}
    assert ConfDict.from_model(Names(["a"])) == {"root": ["a"]}


# -- as a dict --------------------------------------------------------------------------------------------------------


def test_copies_share_no_container() -> None:
    """`copy` and `copy.copy` copy mappings and lists, `deepcopy` and pickle everything; keys stay literal."""
    conf = ConfDict({"a.b": [{"c": 1}], r"x\.y": Path("p")})
    copies = [conf.copy(), copy.copy(conf), copy.deepcopy(conf), pickle.loads(pickle.dumps(conf))]
    for other in copies:
        assert (other, type(other), type(other["a"])) == (conf, ConfDict, ConfDict)
        other["a.b.0.c"] = 2

    assert conf["a.b.0.c"] == 1


def test_it_is_a_dict() -> None:
    """Whatever takes a dict takes it: equality, json, keyword arguments, pydantic; its repr can be evaluated."""
    conf = ConfDict({"a.b": 1, r"c\.d": [{"e": 2}]})
    plain = {"a": {"b": 1}, "c.d": [{"e": 2}]}

    assert conf == plain
    assert json.loads(json.dumps(conf)) == plain
    assert dict(**conf) == plain
    assert pydantic.TypeAdapter(dict[str, tp.Any]).validate_python(conf) == plain
    assert eval(repr(conf)) == conf
    assert type(conf.to_dict()["a"]) is dict
    assert ConfDict(dict.fromkeys(["a.b"], 1)) == {"a": {"b": 1}}
