"""CachedModel: class keywords, refused classes, and everything that works on a pydantic model."""

from __future__ import annotations

import abc
import copy
import pickle
import subprocess
import sys
import textwrap
import typing as tp
from pathlib import Path

import cloudpickle
import pydantic
import pytest

import cachedmodel as cm

T = tp.TypeVar("T")


class Training(cm.CachedModel, version="1"):
    param: int = 12
    _count: int = pydantic.PrivateAttr(default=0)

    @cm.task
    def train(self) -> float:
        """Trains."""
        return float(self.param)

    @cm.map(item_uid=str)
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        """Embeds."""
        for item in items:
            yield item * self.param


class Sub(Training, version="2"):
    kind: tp.Literal["sub"] = "sub"

    @cm.task
    def train(self) -> float:
        return super().train() + 1


class Other(cm.CachedModel):
    kind: tp.Literal["other"] = "other"
    infra: cm.Infra = cm.Infra(version="5", mode="retry")

    @cm.task
    def run(self) -> int:
        return 3


class Nested(cm.CachedModel):
    xp: Training = Training()
    choice: tp.Annotated[Sub | Other, pydantic.Field(discriminator="kind")] = Other()
    xps: tuple[Training, ...] = ()

    @cm.task
    def all(self) -> float:
        return self.xp.train() + sum(xp.train() for xp in self.xps)


class Box(cm.CachedModel, tp.Generic[T], version="3"):
    x: T

    @cm.task
    def get(self) -> T:
        return self.x


IntBox = Box[int]


# -- class keywords ---------------------------------------------------------------------------------------------------


def test_class_keywords_are_defaults(tmp_path: Path) -> None:
    """Settings of the class are under those of the instance, key by key."""

    class Here(cm.CachedModel, version="1", folder=tmp_path, slurm_additional_parameters={"a": 1, "b": 1}):
        pass

    xp = Here(infra={"slurm_additional_parameters": {"b": 2}})

    assert (xp.infra.version, xp.infra.folder) == ("1", tmp_path)
    assert xp.infra.slurm_additional_parameters == {"a": 1, "b": 2}


def test_class_defaults_are_inherited(tmp_path: Path) -> None:
    """A subclass changes one default and keeps the others."""

    class Base(cm.CachedModel, version="1", folder=tmp_path, cluster="threadpool"):
        pass

    class Child(Base, version="2"):
        pass

    class Grandchild(Child):
        infra: cm.Infra = cm.Infra(cluster=None)

    assert [(c().infra.version, c().infra.cluster) for c in (Base, Child, Grandchild)] == [
        ("1", "threadpool"),
        ("2", "threadpool"),
        ("2", None),
    ]
    assert Grandchild().infra.folder == tmp_path


def test_body_gives_defaults() -> None:
    """``infra: Infra = Infra(...)`` in the body does what keywords do, with postponed annotations too."""
    assert (Other().infra.version, Other().infra.mode) == ("5", "retry")
    assert Other(infra={"cluster": "threadpool"}).infra.version == "5"
    assert Other(infra=cm.Infra(cluster="threadpool")).infra.mode == "retry"


def test_multiple_inheritance_merges_defaults() -> None:
    """The first base wins, as its attributes do; what it does not say comes from the others."""

    class Left(cm.CachedModel, version="left"):
        left: int = 1

    class Right(cm.CachedModel, version="right", cluster="threadpool"):
        right: int = 2

    class Both(Left, Right):
        pass

    assert (Both().infra.version, Both().infra.cluster, Both().right) == ("left", "threadpool", 2)


def test_keywords_of_users_hooks_work() -> None:
    """``__init_subclass__`` of a user gets its keywords."""
    seen: list[object] = []

    class Base(cm.CachedModel):
        def __init_subclass__(cls, tag: str = "", **kwargs: tp.Any) -> None:
            seen.append(tag)
            super().__init_subclass__(**kwargs)

        @classmethod
        def __pydantic_init_subclass__(cls, *, late: int = 0, **kwargs: tp.Any) -> None:
            seen.append(late)
            super().__pydantic_init_subclass__(**kwargs)

    with pytest.raises(TypeError):  # each hook must take the other's, as in pydantic

        class Wrong(Base, tagg="x"):
            pass

    class Right(Base, tag="x", version="4"):
        pass

    assert seen[-2:] == ["x", 0]
    assert Right().infra.version == "4"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"versio": "x"}, "no class keyword 'versio'; did you mean 'version'"),
        ({"froze": True}, "did you mean 'frozen'"),
        ({"zzz": True}, "keywords are 'cache_name'"),
        ({"extra": "allow"}, "extra='allow' would let a misspelt field"),
        ({"version": 12}, "version: Input should be a valid string, not 12: write '12'"),
        ({"version": "../x"}, "part of a folder's name"),
        ({"cluster": "slrum"}, "no cluster 'slrum'"),
        ({"methods": {"train": {"cluster": None}}}, "methods names 'train', which is no cached method"),
        ({"cache_name": "a/b"}, "cache_name='a/b' names folders"),
        ({"cache_name": ""}, "names folders"),
    ],
)
def test_wrong_keywords_are_refused(keywords: dict[str, tp.Any], message: str) -> None:
    """A class keyword that does not exist or cannot work says what to write instead, when the class is made."""
    with pytest.raises(cm.CachedModelError, match=message):
        pydantic.create_model("Wrong", __base__=cm.CachedModel, __cls_kwargs__=keywords)


def test_extra_is_refused_in_each_form() -> None:
    """``extra`` other than "forbid" is refused in the configuration too, and a base cannot bring it in."""
    with pytest.raises(cm.DefinitionError, match="extra='ignore'"):

        class Wrong(cm.CachedModel):
            model_config = pydantic.ConfigDict(extra="ignore")

    class Mixin(pydantic.BaseModel, extra="allow"):
        y: int = 1

    class Model(cm.CachedModel, Mixin):
        pass

    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        Model(z=1)  # type: ignore[call-arg]


# -- wrong classes ----------------------------------------------------------------------------------------------------

WRONG = {
    "a task takes no arguments but self": """
        class A(cm.CachedModel):
            @cm.task
            def f(self, x: int = 12) -> int: ...""",
    "make them fields of the model": """
        class A(cm.CachedModel):
            @cm.task
            def f(self, *args: int) -> int: ...""",
    "one iterable of items, annotated": """
        class A(cm.CachedModel):
            @cm.map(item_uid=str)
            def f(self, items: tp.Iterable[int], other: int) -> tp.Iterator[int]: ...""",
    "'items' is not annotated": """
        class A(cm.CachedModel):
            @cm.map(item_uid=str)
            def f(self, items): ...""",
    "item_uid='x' is not callable": """
        class A(cm.CachedModel):
            @cm.map(item_uid="x")
            def f(self, items: tp.Iterable[int]) -> tp.Iterator[int]: ...""",
    "is async: write a plain method; its jobs can be awaited": """
        class A(cm.CachedModel):
            @cm.task
            async def f(self) -> int: ...""",
    "embed is async: write a plain method and iterate over items": """
        class A(cm.CachedModel):
            @cm.map(item_uid=str)
            async def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]: ...""",
    "is a generator: return a list": """
        class A(cm.CachedModel):
            @cm.task
            def f(self) -> tp.Iterator[int]:
                yield 1""",
    "only a plain method can be decorated; write def f": """
        class A(cm.CachedModel):
            @cm.task
            @classmethod
            def f(cls) -> int: ...""",
    "only a plain method can be decorated; write def g": """
        class A(cm.CachedModel):
            @cm.task
            @staticmethod
            def g() -> int: ...""",
    "A.f: a cached method cannot be a classmethod": """
        class A(cm.CachedModel):
            @classmethod
            @cm.task
            def f(cls) -> int: ...""",
    "A.f: a cached method cannot be a property": """
        class A(cm.CachedModel):
            @property
            @cm.task
            def f(self) -> int: ...""",
    "cannot override the field 'x'": """
        class A(cm.CachedModel):
            x: int = 1
        class B(A):
            @cm.task
            def x(self) -> int: ...""",
    "A.x is both a field and a task": """
        class A(cm.CachedModel):
            x: int
            @cm.task
            def x(self) -> int: ...""",
    "a field cannot have the name of a cached method": """
        class A(cm.CachedModel):
            @cm.task
            def x(self) -> int: ...
        class B(A):
            x: int = 1""",
    "B.x overrides a cached method, and must be one as well: decorate it with @cm.task": """
        class A(cm.CachedModel):
            @cm.task
            def x(self) -> int: ...
        class B(A):
            def x(self) -> int: ...""",
    "Mixin.x hides a cached method of B": """
        class A(cm.CachedModel):
            @cm.task
            def x(self) -> int: ...
        class Mixin:
            def x(self) -> int: ...
        class B(Mixin, A):
            pass""",
    "'copy' is a method of pydantic's": """
        class A(cm.CachedModel):
            @cm.task
            def copy(self) -> int: ...""",
    "a method cannot be named 'infra'": """
        class A(cm.CachedModel):
            @cm.task
            def infra(self) -> int: ...""",
    "'infra' is reserved": """
        class A(cm.CachedModel):
            infra: str = "x" """,
    "infra = 12 gives no settings": """
        class A(cm.CachedModel):
            infra: cm.Infra = 12""",
    "write infra: Infra = Infra": """
        class A(cm.CachedModel):
            infra = cm.Infra(version="2")""",
    "exclude names 'y', which is no field of A": """
        class A(cm.CachedModel):
            x: int = 1
            @cm.task(exclude=("y",))
            def f(self) -> int: ...""",
    "exclude='x' is no method of A; for a field write exclude=": """
        class A(cm.CachedModel):
            x: int = 1
            @cm.task(exclude="x")
            def f(self) -> int: ...""",
    "exclude=12 names no fields": """
        class A(cm.CachedModel):
            @cm.task(exclude=12)
            def f(self) -> int: ...""",
    "task A.f: infra has no setting 'gpu_per_node': did you mean 'gpus_per_node'": """
        class A(cm.CachedModel):
            @cm.task(infra={"gpu_per_node": 8})
            def f(self) -> int: ...""",
    "'version' and 'methods' belong to the class": """
        class A(cm.CachedModel):
            @cm.task(infra={"version": "1"})
            def f(self) -> int: ...""",
}


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"], ids=["plain", "future"])
@pytest.mark.parametrize("message", WRONG)
def test_wrong_classes_are_refused(message: str, future: str) -> None:
    """A class that cannot work is refused when it is made, and told what to write instead."""
    code = f"{future}import typing as tp\nimport cachedmodel as cm\n" + textwrap.dedent(WRONG[message])

    with pytest.raises(cm.CachedModelError, match=message) as error:
        exec(compile(code, "wrong", "exec", dont_inherit=True), {"__name__": "wrong"})

    assert isinstance(error.value, (cm.DefinitionError, cm.InfraError))


def test_decorating_another_class_is_refused() -> None:
    """A task outside of a CachedModel says so when it is used."""

    class Plain:
        @cm.task  # type: ignore[type-var]
        def run(self) -> int:
            return 1

    with pytest.raises(cm.DefinitionError, match="Plain is no CachedModel"):
        Plain().run()


# -- what works on a pydantic model -----------------------------------------------------------------------------------


def test_misspelt_fields_are_refused() -> None:
    """``extra="forbid"`` holds without being asked for."""
    with pytest.raises(pydantic.ValidationError, match="Extra inputs are not permitted"):
        Training(parm=1)  # type: ignore[call-arg]


def test_nested_models_round_trip() -> None:
    """Dumps, in Python and JSON, give the same model back; discriminated unions and nested infra too."""
    n = Nested.model_validate(
        {"xp": {"param": 2, "infra": {"cluster": "threadpool"}}, "choice": {"kind": "sub"}, "xps": [{}, {"param": 1}]}
    )

    assert isinstance(n.choice, Sub)
    assert n.choice.infra.version == "2"
    assert n.xp.infra.version == "1"
    assert Nested.model_validate(n.model_dump()) == n
    assert Nested.model_validate_json(n.model_dump_json()) == n
    assert Nested(**n.model_dump(exclude_unset=True)) == n
    assert n.model_dump(exclude={"infra"})["xp"]["infra"] == {"cluster": "threadpool"}
    assert n.model_dump(exclude={"xp": {"infra": {"cluster"}}})["xp"]["infra"] == {}
    assert n.all() == 2 + 12 + 1


def test_dump_holds_what_was_given(tmp_path: Path) -> None:
    """A dump has the settings given to the instance: those of the class are the class's to give again."""
    xp = Training(param=1, infra={"folder": tmp_path})

    assert xp.model_dump() == {"infra": {"folder": tmp_path}, "param": 1}
    assert xp.model_dump(mode="json") == {"infra": {"folder": str(tmp_path)}, "param": 1}
    assert Training(param=1).model_dump(exclude_unset=True) == {"param": 1}
    assert Training.model_validate_json(xp.model_dump_json()).infra.folder == tmp_path


def test_json_schema() -> None:
    """The schema refers to that of Infra, with the class's defaults, and forbids other fields."""
    schema = Nested.model_json_schema()

    assert schema["additionalProperties"] is False
    assert schema["properties"]["infra"] == {"$ref": "#/$defs/Infra", "default": {}}
    assert schema["$defs"]["Training"]["properties"]["infra"]["default"] == {"version": "1"}
    assert "gpus_per_node" in schema["$defs"]["Infra"]["properties"]
    assert Training.model_json_schema(mode="serialization")["properties"]["infra"]["$ref"] == "#/$defs/Infra"


def test_unset_and_construct() -> None:
    """What was not given is not set; `model_construct` gives the class's defaults."""
    made = Training.model_construct(param=1)
    raw = Training.model_construct(infra={"cluster": "threadpool"})

    assert "infra" not in Training().model_fields_set
    assert (made.infra.version, made.train()) == ("1", 1.0)
    assert (raw.infra.version, raw.infra.cluster) == ("1", "threadpool")


def test_create_model() -> None:
    """A model made by `create_model` has the methods and defaults of its base."""
    made: tp.Any = pydantic.create_model("Made", __base__=Training, more=(int, 3))
    xp = made(more=4, param=2)

    assert xp.train() == 2.0
    assert xp.infra.version == "1"
    assert made.__cached_methods__ == Training.__cached_methods__


def test_generics() -> None:
    """Parametrised generics and their subclasses validate and keep the class's defaults."""

    class Child(Box[int]):
        pass

    box = Box[int](x=12)

    assert (box.get(), box.infra.version) == (12, "3")
    assert (Child(x=12).get(), Child(x=12).infra.version) == (12, "3")
    assert repr(box) == "Box[int](x=12)"
    with pytest.raises(pydantic.ValidationError):
        Box[int](x="a")  # type: ignore[arg-type]


def test_abstract_classes() -> None:
    """Abstract tasks keep a class from being made, in either order of the decorators."""

    class Base(cm.CachedModel, abc.ABC):
        @cm.task
        @abc.abstractmethod
        def first(self) -> int: ...

        @abc.abstractmethod
        @cm.task
        def second(self) -> int: ...

    class Concrete(Base):
        @cm.task
        def first(self) -> int:
            return 1

        @cm.task
        def second(self) -> int:
            return 2

    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]
    assert Concrete().first() + Concrete().second() == 3


def test_other_metaclasses() -> None:
    """A metaclass of one's own combines with the package's as with pydantic's."""

    class Meta(type):
        pass

    class WithMeta(metaclass=Meta):
        pass

    class Both(type(cm.CachedModel), Meta):  # type: ignore[misc]
        pass

    class Model(cm.CachedModel, WithMeta, metaclass=Both):  # type: ignore[metaclass]
        x: int = 1

        @cm.task
        def run(self) -> int:
            return self.x

    assert Model(x=3).run() == 3  # type: ignore[call-arg]


def test_ignored_types_are_added_to() -> None:
    """Types that a user has pydantic ignore do not take the place of those of the package."""

    class Marker:
        pass

    class Model(cm.CachedModel, ignored_types=(Marker,)):
        mark = Marker()

        @cm.task
        def run(self) -> int:
            return 1

    class Child(Model, ignored_types=()):
        @cm.task
        def more(self) -> int:
            return 2

    assert Child().run() + Child().more() == 3


def test_frozen_models_hash() -> None:
    """A frozen model is hashable, also by its settings, and equal ones hash alike."""

    class Frozen(cm.CachedModel, frozen=True):
        x: int = 1

        @cm.task
        def run(self) -> int:
            return self.x

    xp = Frozen(infra={"cluster": "threadpool"})
    before = hash(xp)

    assert xp.run() == 1
    assert hash(xp) == before == hash(Frozen(infra=cm.Infra(cluster="threadpool")))
    assert {xp, Frozen(infra={"cluster": "threadpool"})} == {xp}
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        xp.x = 2  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        xp.infra = {"cluster": None}
    with pytest.raises(cm.UidError, match=r"Frozen is frozen, and so is its infra: use infra\.clone_obj"):
        xp.infra.cluster = None
    assert xp.infra.clone_obj({"infra.cluster": None}).infra.cluster is None


def test_private_attributes_may_change() -> None:
    """Private attributes are no part of the configuration: they change before, in and after a computation."""
    xp = Training()
    xp.train()
    xp._count += 1

    assert xp._count == 1


def test_validators_and_computed_fields() -> None:
    """Validators run, and computed fields are dumped."""

    class Model(cm.CachedModel):
        x: int = 1
        y: int = 2

        @pydantic.field_validator("x")
        @classmethod
        def _positive(cls, value: int) -> int:
            if value < 0:
                raise ValueError("negative")
            return value

        @pydantic.model_validator(mode="after")
        def _ordered(self) -> Model:
            if self.y < self.x:
                raise ValueError("y < x")
            return self

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def total(self) -> int:
            return self.x + self.y

        @cm.task
        def run(self) -> int:
            return self.total

    assert Model(y=5).model_dump() == {"infra": {}, "x": 1, "y": 5, "total": 6}
    assert Model(y=5).run() == 6
    with pytest.raises(pydantic.ValidationError, match="negative"):
        Model(x=-1)
    with pytest.raises(pydantic.ValidationError, match="y < x"):
        Model().infra.clone_obj(x=3)


def test_models_of_other_kinds_inside() -> None:
    """Root models and dataclasses inside work as in pydantic."""

    class Model(cm.CachedModel):
        root: pydantic.RootModel[dict[str, int]] = pydantic.RootModel[dict[str, int]]({"a.b": 1})

        @cm.task
        def run(self) -> int:
            return sum(self.root.root.values())

    assert Model(root={"c": 3}).run() == 3  # type: ignore[arg-type]
    assert Model.model_validate_json(Model().model_dump_json()) == Model()


def test_aliases(tmp_path: Path) -> None:
    """A model with aliases can be cloned, and found again in its cache."""

    class Model(cm.CachedModel):
        learning_rate: float = pydantic.Field(default=0.1, alias="lr")
        deep: int = pydantic.Field(default=1, validation_alias=pydantic.AliasPath("deep", 0))

        @cm.task
        def run(self) -> float:
            return self.learning_rate

    xp = Model.model_validate({"lr": 0.5, "infra": {"folder": tmp_path}})
    xp.run()
    clone = xp.infra.clone_obj({"deep": 3})

    assert (clone.learning_rate, clone.deep) == (0.5, 3)
    assert list(xp.run.iter_cached()) == [xp]


def test_late_forward_references() -> None:
    """Names that are defined after the class, in a function too, are resolved when the model is rebuilt."""

    class Parent(cm.CachedModel):
        child: Child | None = None

        @cm.task
        def run(self) -> int:
            return self.child.x if self.child else 0

    class Child(pydantic.BaseModel):
        x: int = 1

    Parent.model_rebuild()

    assert Parent(child={"x": 4}).run() == 4  # type: ignore[arg-type]


def test_annotations_name_local_classes() -> None:
    """Postponed annotations find the classes of the function that the model is made in."""

    class Part(pydantic.BaseModel):
        x: int = 1

    class Whole(cm.CachedModel):
        part: Part = Part()
        parts: tuple[Part, ...] = ()

    defaults = 3  # a name that the package uses too

    assert Whole(part={"x": defaults}).part == Part(x=3)  # type: ignore[arg-type]


# -- copies -----------------------------------------------------------------------------------------------------------


def _copies(xp: Training) -> list[Training]:
    return [
        copy.copy(xp),
        copy.deepcopy(xp),
        xp.model_copy(),
        xp.model_copy(deep=True),
        pickle.loads(pickle.dumps(xp)),
        cloudpickle.loads(cloudpickle.dumps(xp)),
        Training.model_validate(xp.model_dump()),
        xp.infra.clone_obj(),
    ]


@pytest.mark.parametrize("computed", [False, True])
def test_copies_share_no_state(computed: bool) -> None:
    """A copy is equal, and has settings, uids and results of its own."""
    xp = Training(param=3, infra={"cluster": "threadpool"})
    if computed:
        xp.train()
    for other in _copies(xp):
        assert other == xp
        assert repr(other) == repr(xp)
        assert other.infra is other.infra is not xp.infra
        other.param = 5
        other.infra.cluster = None
        assert not other.train.is_cached()
        assert other.train() == 5.0
        assert other.train.uid() != xp.train.uid()
    assert (xp.param, xp.infra.cluster) == (3, "threadpool")


def test_a_copy_keeps_its_settings_when_the_original_changes() -> None:
    """Settings that were never read in the copy do not follow the original's."""
    xp = Training(infra={"cluster": "threadpool"})
    assert xp.infra.cluster == "threadpool"
    copies = _copies(xp)
    xp.infra.cluster = None

    assert {other.infra.cluster for other in copies} == {"threadpool"}


def test_a_part_by_default_takes_the_defaults_of_its_whole(tmp_path: Path) -> None:
    """A default was made with the class; the copies of it that pydantic makes follow what `defaults` says by then."""

    class Plain(pydantic.BaseModel):
        training: Training = Training(param=2)

    class Whole(cm.CachedModel):
        training: Training = Training()
        given: Training = Training(infra={"folder": None})
        many: list[Training] = pydantic.Field(default=[Training(param=3)])
        plain: Plain = Plain()

    with cm.defaults(folder=tmp_path):
        whole = Whole()

    for part in (whole.training, whole.many[0], whole.plain.training):
        assert part.infra.folder == tmp_path
    assert whole.given.infra.folder is None
    assert Whole().training.infra.folder is None
    assert copy.deepcopy(whole).training.infra.folder == tmp_path  # what held for the original holds for a copy


def test_model_copy_updates() -> None:
    """`model_copy(update=...)` is never served with the original's uid or result, and takes settings as a dict."""
    xp = Training(param=1)
    xp.train()
    other = xp.model_copy(update={"param": 2, "infra": {"cluster": "threadpool"}})

    assert (other.train(), other.train.uid() == xp.train.uid()) == (2.0, False)
    assert (other.infra.cluster, other.infra.version) == ("threadpool", "1")


def test_pickled_classes(tmp_path: Path) -> None:
    """Models, bound methods and their parents' pickle, by reference where classes are importable."""
    sub = Sub(param=1)

    assert pickle.loads(pickle.dumps(sub.train))() == 2.0
    assert pickle.loads(pickle.dumps(super(Sub, sub).train))() == 1.0
    assert list(pickle.loads(pickle.dumps(sub.embed))([1, 2])) == [1, 2]
    assert pickle.loads(pickle.dumps(IntBox(x=3))).get() == 3
    assert pickle.loads(pickle.dumps(Training)) is Training
    nested = pickle.loads(pickle.dumps(Nested(xp=Training(param=4))))
    assert (nested.xp.param, nested.xp.train()) == (4, 4.0)


SCRIPT = """
from __future__ import annotations
import subprocess, sys, typing as tp
import cloudpickle, pydantic
import cachedmodel as cm

class Inner(cm.CachedModel):
    y: int = 2
    @cm.task
    def run(self) -> int:
        return self.y

class Main(cm.CachedModel, version="7"):
    x: int = 1
    inner: Inner = Inner()
    _p: int = pydantic.PrivateAttr(default=4)
    @cm.task
    def run(self) -> int:
        return self.x + self.inner.run() + self._p
    @cm.map(item_uid=lambda x: str(x))
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        for i in items:
            yield i * self.x

class SubMain(Main):
    @cm.task
    def run(self) -> int:
        return super().run() + 100

def make():
    class Local(cm.CachedModel, tp.Generic[tp.TypeVar("T")]):
        main: Main
        @cm.task
        def run(self) -> int:
            return self.main.run()
    return Local

if __name__ == "__main__":
    m = SubMain(x=3, infra={"cluster": "threadpool"})
    local = make()(main=m)
    uids = [m.run.uid(), repr(m.run), SubMain.__cache_name__, type(local).__cache_name__]
    data = cloudpickle.dumps([m, m.run, m.embed, SubMain, m.infra, local, uids])
    code = '''
import pickle, sys
m, run, embed, cls, infra, local, uids = pickle.load(sys.stdin.buffer)
assert run() == 109, run()
assert list(embed([1, 2])) == [3, 6]
assert local.run() == 109
assert m.infra.version == "7" and infra.cluster == "threadpool"
assert cls(x=1, infra={"cluster": None}).infra.version == "7"
assert m.model_copy(update={"x": 4}).run() == 110
assert [m.run.uid(), repr(m.run), cls.__cache_name__, type(local).__cache_name__] == uids
'''
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], input=data)
    sys.exit(done.returncode)
"""


def test_cloudpickle_of_classes_in_main(tmp_path: Path) -> None:
    """Classes of a script and of a function in it work in a fresh process, under the same names."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    done = subprocess.run([sys.executable, script], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


# -- uid and assignment -----------------------------------------------------------------------------------------------


def test_fields_are_assigned_until_the_uid_is_computed() -> None:
    """Afterwards assignment and deletion are refused, and told of `clone_obj`."""
    xp = Training()
    xp.param = 3
    assert xp.train.uid().startswith("param=3-")

    with pytest.raises(cm.UidError, match=r"its field 'param' cannot change: make another with infra.clone_obj"):
        xp.param = 4
    with pytest.raises(cm.UidError, match="cannot change"):
        del xp.param
    assert xp.infra.clone_obj(param=4).train() == 4.0


def test_looking_at_a_model_changes_nothing() -> None:
    """Equality, hash and repr are the same before and after the settings were read and the uid computed."""
    xp, fresh = Training(param=1), Training(param=1)
    before = repr(xp)
    xp.train()

    assert repr(xp) == before == "Training(param=1)"
    assert xp == fresh == Training(param=1)
    assert str(xp) == "param=1"


def test_repr_shows_settings_that_differ(tmp_path: Path) -> None:
    """Settings at the default of the library or the class are not shown; bound ones look like others."""
    xp = Training(param=1, infra={"folder": "/tmp", "version": "1", "mode": "cached"})

    assert repr(xp) == "Training(param=1, infra=Infra(folder=PosixPath('/tmp')))"
    assert repr(xp.infra) == "Infra(folder=PosixPath('/tmp'))"
    assert repr(cm.Infra(cluster="auto")) == "Infra(cluster='auto')"
    assert repr(Training(infra={"cluster": None})) == "Training(param=12)"


def test_completion_names_the_methods() -> None:
    """`dir` has fields, methods and what to ask of settings."""
    xp = Training()

    assert {"param", "infra", "train", "embed"} <= set(dir(xp))
    assert {"clone_obj", "uid", "folder", "job_array"} <= set(dir(xp.infra))
    assert {"job", "uid_folder", "is_cached"} <= set(dir(xp.train))
    assert not hasattr(Training, "infra")  # as for all fields


def test_multiple_inheritance_of_methods() -> None:
    """Methods of several bases, and of a mixin that is no model, are the class's."""

    class Mixin:
        param: int

        @cm.task  # type: ignore[type-var]
        def double(self) -> int:
            return 2 * self.param

    class Model(Mixin, Training):
        @cm.task
        def double(self) -> int:
            return super().double() + 1

    assert list(Model.__cached_methods__) == ["train", "embed", "double"]
    assert Model(param=2).double() == 5
    assert Model(param=2).train() == 2.0
