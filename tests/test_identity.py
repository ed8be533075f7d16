"""The identity of configurations: what differs is told apart, what is at its default is left out, old entries stay right."""

# ruff: noqa: RUF012  # pydantic copies defaults, and users write them so
from __future__ import annotations

import enum
import functools
import math
import os
import subprocess
import sys
import typing as tp
from pathlib import Path

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cachedmodel as cm
from cachedmodel.differing import Baseline
from cachedmodel.errors import UidError
from cachedmodel.identity import Identity
from cachedmodel.schema import NotInUid

Model = pydantic.BaseModel


def uid(model: Model, baseline: Baseline | None = None, exclude: tp.Iterable[str] = ()) -> str:
    """The uid under first defaults, today's if none are given."""
    return Identity(model, baseline or Baseline(), frozenset(exclude)).uid


class Optim(Model):
    lr: float = 0.1
    name: str = "adam"
    betas: tuple[float, ...] = (0.9, 0.99)


class SubOptim(Optim):
    momentum: float = 0.0


class A(Model):
    kind: tp.Literal["a"] = "a"
    lr: float = 0.1


class B(Model):
    kind: tp.Literal["b"] = "b"
    lr: float = 0.1


class Open(Model):
    model_config = pydantic.ConfigDict(extra="allow")
    x: int = pydantic.Field(default=1, alias="y")


def opened(**values: object) -> Open:
    """A model with values beyond its fields."""
    return Open.model_validate(values)


class Frozen(Model, frozen=True):
    x: int = 0
    items: tuple[int, ...] = ()


class Root(pydantic.RootModel[list[int]]):
    pass


class Node(Model):
    value: int = 0
    children: list[Node] = []


T = tp.TypeVar("T")


class Box(Model, tp.Generic[T]):
    item: T


class Level(enum.IntEnum):
    LOW = 1


class Everything(Model):
    any: tp.Any = None
    number: float = 1.5
    count: int = 3
    flag: bool = False
    optional: int | None = 2
    text: str = "text"
    level: Level = Level.LOW
    path: Path = Path("a")
    numbers: list[float] = [1.0]
    table: dict[str, list[int]] = {}
    keyed: dict[int, str] = {1: "a"}
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
    box: Box[int] = Box[int](item=1)
    hidden: int = pydantic.Field(default=0, exclude=True)
    renamed: int = pydantic.Field(default=0, alias="Renamed")
    masked: str = "text"
    device: tp.Annotated[str, NotInUid] = "cpu"
    secret: tp.Annotated[pydantic.SecretStr, NotInUid] = pydantic.SecretStr("")

    @pydantic.field_serializer("masked")
    def _mask(self, _: str) -> str:
        return "*"

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def derived(self) -> float:
        return id(self)


def everything(**values: tp.Any) -> Everything:
    """A model of what pydantic makes of the values."""
    return Everything.model_validate(values)


#: Values of a field that takes any, each of which differs from the others, however alike they look.
ANY: list[object] = [
    *(0, 0.0, -0.0, False, "", "None", math.nan, math.inf, [], (), {}, set(), b"", 1, 1.0, True, "1"),
    *([1], [1.0], (1,), {1: 1}, {True: 1}, {"a.b": 1}, {"a": {"b": 1}}, "=replace=", {"=replace=": True}, {"lr": 0.1}),
    *(A(), B(), Optim(), SubOptim(), Box[int](item=1), Box[float](item=1), Root([1]), [A()], [Optim()], [[Optim()]]),
    *(Level.LOW, Path("a"), np.float64(1), np.float32(1), np.zeros(3), np.zeros((3, 1)), np.zeros(3, "f4")),
    *(Open(), opened(z=1), opened(y=2), opened(x=1), opened(x=2), opened(z=Open())),
]
#: Values of one configuration each, which differ from the default one and from each other.
DIFFERENT: list[dict[str, tp.Any]] = [
    *({"any": value} for value in ANY),
    *({"number": value} for value in (1.0, 0.0, -0.0, math.nan, math.inf, -math.inf, 1.5000000000000002)),
    *({"count": value} for value in (4, -3, 10**40, 10**5000)),
    *({"optional": None}, {"optional": 1}, {"flag": True}, {"text": ""}, {"text": "\ud800"}, {"path": "b"}),
    *({"numbers": []}, {"numbers": [1.0, 1.0]}, {"numbers": [2]}, {"table": {"a": []}}, {"table": {"a": [1]}}),
    *({"table": {"a.b": [1]}}, {"keyed": {}}, {"keyed": {1: "b"}}, {"names": set()}, {"names": {"a", "c"}}),
    *({"optim": {"lr": 1}}, {"optim": {"betas": ()}}, {"optim": SubOptim()}, {"optim": SubOptim(momentum=1)}),
    *({"maybe": {}}, {"maybe": {"lr": 1}}, {"maybe": SubOptim()}, {"layers": []}, {"layers": [{}, {}]}),
    *({"layers": [{"lr": 1}]}, {"layers": [{"lr": 1}, {}]}, {"layers": [{}, {"lr": 1}]}, {"layers": [SubOptim()]}),
    *({"by_name": {"x": A()}}, {"by_name": {"x": B()}}, {"by_name": {"y": B()}}, {"by_name": {"x": A(lr=1)}}),
    *({"model": B()}, {"model": A(lr=1)}, {"model": B(lr=1)}, {"frozen": Frozen(x=1)}, {"frozen": Frozen(items=(1,))}),
    *({"members": {Frozen()}}, {"members": {Frozen(x=1)}}, {"members": {Frozen(), Frozen(x=1)}}),
    *({"open": {"y": 2}}, {"open": {"x": 2}}, {"open": {"x": 1}}, {"open": {"z": 1}}, {"open": {"z": 1.0}}),
    *({"open": {"z": {"a": 1}}}, {"open": {"a.b": 1}}, {"open": {"a": {"b": 1}}}, {"root": [1]}, {"root": [2]}),
    *({"tree": {"value": 1}}, {"tree": {"children": [{}]}}, {"tree": {"children": [{"value": 1}]}}),
    *({"tree": {"children": [{"children": [{}]}]}}, {"box": {"item": 2}}, {"hidden": 1}, {"Renamed": 1}),
    {"masked": "other"},
]


def test_each_difference_counts() -> None:
    """Configurations that differ in one field's value or type have different uids and complete hashes."""
    baseline = Baseline()
    found = [Identity(everything(**values), baseline) for values in ({}, *DIFFERENT)]

    assert len({one.uid for one in found}) == len(found)
    assert len({one.complete for one in found}) == len(found)
    assert not any(one.agrees(two.stored()) for one in found[:40] for two in found[:40] if one is not two)


def test_an_entry_keeps_the_same_whatever_defaults_count() -> None:
    """They make the uid alone: what is kept says all of a configuration."""
    todays = Baseline()
    uid(everything(), todays)  # which takes them in
    none = Baseline(dict.fromkeys(todays.known, ""))

    for values in ({}, *DIFFERENT):
        model = everything(**values)
        assert Identity(model, todays).stored() == Identity(model, none).stored()
    assert uid(everything(), todays) == "default" != uid(everything(), none)


def test_what_is_marked_does_not_count() -> None:
    """`NotInUid` fields change nothing, at any depth and behind a name for the annotation, and may hold secrets."""
    assert uid(everything(device="gpu", secret="x")) == "default"


def test_a_default_that_is_given_is_a_default() -> None:
    """A value equal to the default in value and type is left out, however it was given."""
    values = everything().model_dump(exclude={"secret"}, by_alias=True)

    assert uid(everything(**{**values, "hidden": 0, "masked": "text"})) == "default"
    assert uid(everything(maybe=Optim(betas=(1, 2)))) == uid(everything(maybe={"betas": (1.0, 2.0)}))


def test_the_order_of_sets_and_mappings_does_not_count() -> None:
    """Equal configurations have one uid, its readable part included."""
    one = everything(any={"a": 1, "b": 2, "c": {3, "x"}}, table={"k": [1], "j": [2]}, members=[Frozen(), Frozen(x=1)])
    two = everything(any={"b": 2, "c": {"x", 3}, "a": 1}, table={"j": [2], "k": [1]}, members=[Frozen(x=1), Frozen()])

    assert uid(one) == uid(two)
    assert Identity(one, Baseline()).complete == Identity(two, Baseline()).complete


SCRIPT = """
import sys; sys.path.insert(0, sys.argv[1])
from test_identity import *
for values in DIFFERENT: print(uid(everything(**values)), Identity(everything(**values), Baseline()).stored())
"""


def test_uids_are_those_of_any_process() -> None:
    """Another hash seed changes no uid, and nothing of what is stored."""
    seen = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, os.path.dirname(__file__)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "2")
    }

    assert len(seen) == 1


# -- round trips ------------------------------------------------------------------------------------------------------


class Training(cm.CachedModel):
    number: float = 1
    count: int = 3
    text: str = "text"
    path: Path = "data"  # type: ignore[assignment]  # as users write it
    sizes: tuple[float, ...] = [1, 2]  # type: ignore[assignment]
    table: dict[str, list[int]] = {}
    names: set[str] = set()
    optim: Optim = Optim()
    layers: list[Optim] = []
    model: tp.Annotated[A | B, pydantic.Field(discriminator="kind")] = A()
    frozen: Frozen = Frozen()
    tree: Node = Node()
    root: Root = Root([])
    device: tp.Annotated[str, NotInUid] = "cpu"

    @cm.task
    def run(self) -> float:
        return 0.0


def training(**values: tp.Any) -> Training:
    """The same, of a model with a task."""
    return Training.model_validate(values)


floats = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e300]), st.floats(allow_nan=False, allow_infinity=False))
texts = st.one_of(st.sampled_from(["text", "=replace=", "a.b", "1", "null", "true"]), st.text(max_size=5))
optims = st.fixed_dictionaries({}, optional={"lr": floats, "name": texts, "betas": st.lists(floats, max_size=2)})
configurations = st.fixed_dictionaries(
    {},
    optional={
        "number": floats,
        "count": st.integers(),
        "text": texts,
        "path": st.sampled_from(["data", "a/b"]),
        "sizes": st.lists(floats, max_size=2),
        "table": st.dictionaries(texts, st.lists(st.integers(), max_size=2), max_size=3),
        "names": st.sets(texts, max_size=3),
        "optim": optims,
        "layers": st.lists(optims, max_size=2),
        "model": st.builds(lambda kind, lr: {"kind": kind, "lr": lr}, st.sampled_from("ab"), floats),
        "frozen": st.fixed_dictionaries({"x": st.integers()}),
        "tree": st.recursive(
            st.just({}),
            lambda inner: st.builds(
                lambda kids, value: {"children": kids, "value": value}, st.lists(inner, max_size=2), st.integers()
            ),
            max_leaves=4,
        ),
        "root": st.lists(st.integers(), max_size=2),
        "device": texts,
    },
)


@given(configurations)
def test_round_trips_keep_the_uid(values: dict[str, tp.Any]) -> None:
    """A configuration read back from JSON or YAML, copied or cloned is the same configuration."""
    one = training(**values)
    conf = cm.ConfDict.from_yaml(one.run.config(uid=False).to_yaml())
    copies = [
        Training.model_validate_json(one.model_dump_json(exclude={"infra"}, warnings=False)),
        Training.model_validate(one.model_dump(exclude={"infra"}, warnings=False)),
        training(**conf.to_dict()),
        one.infra.clone_obj(),
        one.model_copy(deep=True),
        training(**values),
    ]

    assert {copy.run.uid() for copy in copies} == {one.run.uid()}
    assert {Identity(copy, Baseline(), frozenset(["infra"])).complete for copy in copies} == {
        Identity(one, Baseline(), frozenset(["infra"])).complete
    }


@given(configurations, configurations)
def test_uids_are_equal_exactly_if_configurations_are(one: dict[str, tp.Any], two: dict[str, tp.Any]) -> None:
    """Uid, complete hash and what is stored agree on whether two configurations are one, as their JSON says."""
    models = [training(**one), training(**two)]
    same = len({repr(_read(model)) for model in models}) == 1
    baseline, exclude = Baseline(), frozenset(["infra"])
    first, second = (Identity(model, baseline, exclude) for model in models)

    assert (first.uid == second.uid) == same
    assert (first.complete == second.complete) == same
    assert first.agrees(second.stored()) == same


def _read(model: Training) -> tp.Any:
    """What is dumped of a model that was read from JSON: its defaults are validated."""
    without = {"infra", "device"}
    again = Training.model_validate_json(model.model_dump_json(exclude=without, warnings=False))
    return _sorted(again.model_dump(mode="json", exclude=without))


def _sorted(value: tp.Any) -> tp.Any:
    """The same with sets and mappings in one order."""
    if isinstance(value, dict):
        return {key: sorted(item) if key == "names" else _sorted(item) for key, item in sorted(value.items())}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


# -- defaults that change ---------------------------------------------------------------------------------------------


def make(name: str = "Version", /, **fields: tp.Any) -> tp.Any:
    """A version of a class, from types and defaults."""
    return pydantic.create_model(name, __module__=__name__, **fields)


def test_a_new_field_keeps_the_uid_and_the_entry() -> None:
    """At any depth, lists and unions included."""
    inner, outer = make(a=(int, 1)), functools.partial(make, x=(int, 0))
    new = make(a=(int, 1), b=(str, "new"))

    def build(cls: tp.Any, **more: tp.Any) -> tp.Any:
        kinds = {
            "one": (cls, cls()),
            "many": (list[cls], []),
            "named": (dict[str, cls], {}),
            "maybe": (cls | None, None),
        }
        return outer(**kinds, **more)(one={"a": 2}, many=[{"a": 1}, {"a": 3}], named={"k": {"a": 1}}, maybe={})

    baseline = Baseline()
    before = Identity(build(inner), baseline)
    after = Identity(build(new, y=(list[int], [1])), Baseline(baseline.known))

    assert after.uid == before.uid
    assert after.complete != before.complete
    assert after.agrees(before.stored())
    assert before.agrees(after.stored())


def test_a_removed_field_keeps_the_uid_if_it_was_at_its_default() -> None:
    """One that was not is another uid."""
    old, new = make(a=(int, 1), b=(int, 2)), make(a=(int, 1))
    baseline = Baseline()
    before, other = Identity(old(a=3), baseline), Identity(old(a=3, b=4), baseline)
    after = Identity(new(a=3), Baseline(baseline.known))

    assert after.uid == before.uid != other.uid
    assert after.agrees(before.stored())


@pytest.mark.parametrize("depth", ["field", "nested", "listed", "union", "default instance", "any"])
def test_a_changed_default_serves_no_old_entry_and_loses_none(depth: str) -> None:
    """The default that counts is the first: today's is written out, and the first one given finds what it made."""

    def version(default: int) -> tuple[tp.Callable[[], Model], tp.Callable[[int], Model]]:
        inner = make(a=(int, default))
        if depth == "field":
            return inner, lambda a: tp.cast("Model", inner(a=a))
        annotations = {
            "nested": (inner, inner()),
            "listed": (list[inner], [inner()]),  # type: ignore[valid-type]
            "union": (inner | A, inner()),
            "default instance": (inner, inner(a=default)),
            "any": (tp.Any, inner()),
        }
        outer = make(x=annotations[depth])
        one = (lambda a: [inner(a=a)]) if depth == "listed" else (lambda a: inner(a=a))
        return outer, lambda a: tp.cast("Model", outer(x=one(a)))

    baseline = Baseline()
    old, old_with = version(1)
    entries = {a: Identity(old_with(a), baseline) for a in (1, 2, 3)}
    new, new_with = version(2)
    later = Baseline(baseline.known)

    assert entries[1].uid == Identity(old(), baseline).uid
    assert {a: Identity(new_with(a), later).uid for a in (1, 2, 3)} == {a: entry.uid for a, entry in entries.items()}
    assert Identity(new(), later).uid == entries[2].uid
    assert all(Identity(new_with(a), later).agrees(entry.stored()) for a, entry in entries.items())


def test_an_entry_made_under_other_defaults_is_not_served() -> None:
    """Where the first defaults were lost, uids may collide: what is stored with the entry tells."""
    old, new = make(a=(int, 1), b=(int, 0)), make(a=(int, 2), b=(int, 0), c=(int, 0))
    before, after = Identity(old(), Baseline()), Identity(new(), Baseline())

    assert before.uid == after.uid == "default"
    assert not after.agrees(before.stored())
    assert after.agrees(Identity(old(a=2), Baseline()).stored())


@pytest.mark.parametrize("place", ["list", "dict", "swapped keys"])
def test_entries_of_containers_are_told_apart_by_each_model(place: str) -> None:
    """Of models in lists and mappings, each value counts at its place."""
    old, new = make(a=(int, 1)), make(a=(int, 2), b=(int, 0))

    def holding(cls: tp.Any, *values: dict[str, int], reverse: bool = False) -> Model:
        if place == "list":
            return tp.cast("Model", make(x=(list[cls], []))(x=list(values)))
        named = dict(zip("kj" if reverse else "jk", values, strict=True))
        return tp.cast("Model", make(x=(dict[str, cls], {}))(x=named))

    reverse = place == "swapped keys"
    before = Identity(holding(old, {"a": 1}, {"a": 2}), Baseline())
    after = Identity(holding(new, {"a": 2}, {"a": 1}), Baseline())
    same = Identity(
        holding(new, *[{"a": 2}, {"a": 1}] if reverse else [{"a": 1}, {"a": 2}], reverse=reverse), Baseline()
    )

    assert not after.agrees(before.stored())
    assert same.agrees(before.stored())


@pytest.mark.parametrize(
    "kept", [b"", b"x" * 16, b"x" * 16 + b"{", b"x" * 16 + b"null", b"x" * 16 + b"[1]", b"\xff" * 40]
)
def test_what_is_damaged_never_agrees(kept: bytes) -> None:
    """An entry whose configuration cannot be read is no entry of this one."""
    assert not Identity(Optim(), Baseline()).agrees(kept)


def test_a_field_that_counts_again_is_unknown_in_old_entries() -> None:
    """What was excluded may have had any value when the entry was made."""
    before = Identity(Optim(lr=5), Baseline(), frozenset(["lr"]))
    after = Identity(Optim(), Baseline())

    assert before.uid == after.uid == "default"
    assert not after.agrees(before.stored())
    assert before.agrees(after.stored())


def test_a_field_that_becomes_optional_or_required_keeps_its_uid() -> None:
    """A field without a first default is always written out; one with a first default is not, even if it is required now."""
    required, optional = make(a=(int, ...)), make(a=(int, 1))
    first, second = Baseline(), Baseline()
    Identity(optional(), second)

    assert uid(required(a=1), first) == uid(optional(), Baseline(first.known)) != "default"
    assert uid(required(a=1), Baseline(second.known)) == "default"


def test_random_defaults_are_never_left_out_wrongly() -> None:
    """A default factory that gives another value each time: each value is a uid of its own."""
    counter = iter(range(100))

    class Random(Model):
        token: int = pydantic.Field(default_factory=lambda: next(counter))

    baseline = Baseline()

    assert len({uid(Random(), baseline) for _ in range(5)}) == 5
    assert uid(Random(token=70), baseline) == uid(Random(token=70), Baseline(baseline.known))


def test_renamed_classes_keep_their_uids() -> None:
    """Where the annotation or a discriminator says what class is meant, its name does not count."""

    def build(name: str, other: str) -> Model:
        one = make(name, kind=(tp.Literal["a"], "a"), lr=(int, 1))
        two = make(other, kind=(tp.Literal["b"], "b"), lr=(int, 1))
        union = tp.Annotated[one | two, pydantic.Field(discriminator="kind")]  # type: ignore[valid-type]
        cls = make(one=(one, one()), many=(list[one], []), union=(union, one()), unions=(list[union], []))  # type: ignore[valid-type]
        values = {"one": {"lr": 2}, "many": [{"lr": 3}], "union": {"kind": "b"}, "unions": [{"kind": "b", "lr": 2}]}
        return tp.cast("Model", cls(**values))

    assert uid(build("One", "Two")) == uid(build("Uno", "Due"))


def test_discriminators_that_two_classes_share_do_not_suffice() -> None:
    """Then the class counts by its name."""

    class First(Model):
        kind: tp.Literal["x"] = "x"
        a: int = 1

    class Second(Model):
        kind: tp.Literal["x", "y"] = "x"
        a: int = 1

    class Third(Model):
        kind: tp.Literal["z"] = "z"

    class Holder(Model):
        items: list[
            tp.Annotated[First | Third, pydantic.Field(discriminator="kind")]
            | tp.Annotated[Second, pydantic.Field(title="second")]
        ] = []

    assert uid(Holder(items=[First()])) != uid(Holder(items=[Second()]))


def test_an_extra_value_is_no_field() -> None:
    """An alias leaves a field's own name to an extra value."""
    assert uid(opened(y=2)) != uid(opened(x=2))
    assert uid(opened(y=2, x=3)) != uid(opened(y=3, x=2))


@pytest.mark.parametrize("name", ["lr", "optim.lr", "layers.lr", "by_name.lr"])
def test_excluded_names_lead_to_fields_at_any_depth(name: str) -> None:
    """``exclude`` knows a field by the dotted names that lead there, containers left out."""

    class Holder(Optim):
        optim: Optim = Optim(lr=7)
        layers: list[Optim] = [Optim(lr=8)]
        by_name: dict[str, Optim] = {}

    base = Holder(by_name={"x": Optim()})
    other = Holder(lr=2, optim=Optim(lr=2), layers=[Optim(lr=2)], by_name={"x": Optim(lr=2)})
    every = {"lr", "optim.lr", "layers.lr", "by_name.lr"}

    assert uid(base, exclude=every) == uid(other, exclude=every)
    assert uid(base, exclude=every - {name}) != uid(other, exclude=every - {name})
    assert uid(Holder(), exclude=every) == "default"


# -- changes in place -------------------------------------------------------------------------------------------------

CHANGES: dict[str, tp.Callable[[Everything], object]] = {
    "list": lambda model: model.numbers.append(2.0),
    "dict": lambda model: model.table.update(a=[1]),
    "set": lambda model: model.names.add("z"),
    "nested": lambda model: setattr(model.optim, "lr", 3.0),
    "listed": lambda model: setattr(model.layers[0], "lr", 3.0),
    "extra": lambda model: setattr(model.open, "z", 3),
    "root": lambda model: model.root.root.append(1),
    "recursive": lambda model: model.tree.children.append(Node()),
    "type": lambda model: model.numbers.__setitem__(0, 1),
    "array": lambda model: model.any.__setitem__(0, 1.0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_in_place_are_noticed(name: str) -> None:
    """Whatever changes inside a model, its identity says so; and takes the change back as no change."""
    model = everything(any=np.zeros(3))
    identity = Identity(model, Baseline())

    assert identity.mutable
    assert identity.is_unchanged()
    CHANGES[name](model)
    assert not identity.is_unchanged()
    assert identity.stored()[16:] == b"null"


def test_equal_replacements_are_no_change() -> None:
    """Neither a new object of the same value nor a cached property nor a field that does not count."""
    model = everything(any=float("1e300"), table={"a": [10**20]})
    identity = Identity(model, Baseline())

    model.table["a"][0] = int("1" + "0" * 20)
    model.table = dict(model.table)
    model.device = "gpu"

    assert identity.is_unchanged()
    assert identity.is_unchanged()


def test_plain_values_need_no_check() -> None:
    """A configuration in which nothing can change in place is not mutable."""
    assert not Identity(Frozen(items=(1, 2)), Baseline()).mutable


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_value_is_refused_with_its_field() -> None:
    """The message names the innermost field and what to do."""
    with pytest.raises(
        UidError, match=r"^field Everything\.any: a value of type builtins.object cannot be told .* NotInUid"
    ):
        uid(everything(any=[object()]))
    with pytest.raises(UidError, match=r"^field Open\.z: a value"):
        uid(everything(open={"z": object()}))
    with pytest.raises(UidError, match=r"^field Box\[SecretStr\]\.item: a secret"):
        uid(everything(any=Box[pydantic.SecretStr](item=pydantic.SecretStr("x"))))
    broken = A.model_construct()
    del broken.__dict__["lr"]
    with pytest.raises(UidError, match=r"^field A\.lr was never set \(by model_construct\?\): set it"):
        uid(broken)


def test_a_circle_is_refused() -> None:
    """A model that contains itself has no uid."""
    node = Node()
    node.children.append(node)

    with pytest.raises(UidError, match="a value in Node contains itself, or is nested too deeply"):
        uid(node)


def test_defaults_that_cannot_be_encoded_are_no_error_of_their_own() -> None:
    """Only a value that is there is refused."""

    class Odd(Model):
        x: tp.Any = pydantic.Field(default_factory=object)

    assert uid(Odd(x=1)).startswith("x=1-")


# -- the readable part ------------------------------------------------------------------------------------------------


def test_a_uid_says_what_differs() -> None:
    """Names and values of the fields that differ, in the order of their names."""
    model = training(
        number=0.5, optim={"lr": 0.25}, model={"kind": "b"}, names={"b", "a"}, table={"k": [1, 2]}, root=[3]
    )

    readable = "model.kind=b,names=a,b,number=0.5,optim.lr=0.25,root=3,table=k-1,2-"
    assert model.run.uid().startswith(readable)


def test_print_options_do_not_count(tmp_path: Path) -> None:
    """How numpy prints an array at the moment is no part of a uid."""
    before = uid(everything(any=np.linspace(0, 1, 3)))
    with np.printoptions(precision=1, threshold=1):
        assert uid(everything(any=np.linspace(0, 1, 3))) == before


def test_uids_are_short_whatever_the_configuration() -> None:
    """Below 255 bytes, with a thousand fields that differ."""
    model = opened(**{f"field{i}": "x" * 100 for i in range(1000)})

    assert len(uid(model)) < 255


def test_an_identity_can_be_renamed() -> None:
    """Another name for it, and changes are noticed as before."""
    identity: Identity = Identity(everything(), Baseline())
    identity.rename("other")

    assert identity.uid == "other"
    assert identity.is_unchanged()
