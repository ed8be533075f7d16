"""``clone_obj``: every value comes back exactly, but for the updates."""

from __future__ import annotations

import dataclasses
import math
import typing as tp

import pydantic
import pytest

import cachedmodel as cm


class Optim(pydantic.BaseModel, extra="forbid"):
    lr: float = 0.1
    steps: int = 3
    token: pydantic.SecretStr = pydantic.SecretStr("")


class Fancy(Optim):
    warmup: int = 0


class Linear(pydantic.BaseModel, extra="forbid"):
    name: tp.Literal["linear"] = "linear"
    c: float = 1.0


class Forest(pydantic.BaseModel, extra="forbid"):
    name: tp.Literal["forest"] = "forest"
    trees: int = 10


@dataclasses.dataclass
class Point:
    x: int = 0
    y: int = 0


class Stage(cm.CachedModel, version="1"):
    size: int = 1

    @cm.task
    def run(self) -> int:
        return self.size


class Model(cm.CachedModel):
    number: float = 1.0
    secret: pydantic.SecretStr = pydantic.SecretStr("")
    files: dict[str, tp.Any] = pydantic.Field(default={})
    by_number: dict[int, int] = pydantic.Field(default={})
    anything: tp.Any = None
    optim: Optim = Optim()
    optims: tuple[Optim, ...] = ()
    numbers: list[int] = pydantic.Field(default=[])
    classifier: Linear | Forest = pydantic.Field(default=Linear(), discriminator="name")
    stage: Stage = Stage()
    point: Point = Point()
    lazy: int = None  # type: ignore[assignment]
    stamp: float = pydantic.Field(default_factory=iter(range(1000)).__next__)
    _private: int = pydantic.PrivateAttr(default=0)


@pytest.mark.parametrize(
    "values",
    [
        {"number": math.inf},
        {"number": math.nan},
        {"number": -0.0},
        {"secret": "xyz"},
        {"files": {"a.png": 1, "=replace=": True, "b": {"c.d": 2}}},
        {"by_number": {1: 2}},
        {"anything": (1, {2}, b"x")},
        {"anything": {1: "a", "b.c": {}}},
        {"optim": {"lr": math.inf, "token": "abc"}},
        {"optim": Fancy(lr=0.3, warmup=4)},
        {"optims": [{"lr": 0.2}, {}]},
        {"classifier": {"name": "forest", "trees": 3}},
        {"stage": {"size": 3, "infra": {"cluster": "threadpool"}}},
        {"infra": {"cluster": "threadpool", "methods": {}}},
        {"point": Point(1, 2)},
    ],
    ids=str,
)
def test_values_come_back_exactly(values: dict[str, tp.Any]) -> None:
    """A clone has each value, its type and what was set; one updated elsewhere too."""
    xp = Model(**values)
    clone, other = xp.infra.clone_obj(), xp.infra.clone_obj(lazy=3)

    assert type(clone) is Model
    assert repr(clone) == repr(xp)
    assert clone.model_fields_set == xp.model_fields_set
    assert clone.secret.get_secret_value() == xp.secret.get_secret_value()
    assert clone.optim.token == xp.optim.token
    assert type(clone.optim) is type(xp.optim)
    assert clone.stamp == xp.stamp
    assert (clone == xp) or math.isnan(xp.number)
    assert (other.lazy, other.model_copy(update={"lazy": None}).model_dump()) == (
        3,
        other.model_dump() | {"lazy": None},
    )
    assert {**other.__dict__, "lazy": None}.items() >= {"stamp": xp.stamp}.items()


def test_updates_by_path() -> None:
    """Dotted keys reach nested models, mappings and lists; keywords and several updates add up."""
    xp = Model(files={"a.png": {"x": 1}, "b": 2}, optims=(Optim(), Optim(lr=0.2)), numbers=[1, 2])
    clone = xp.infra.clone_obj(
        {"optim.lr": 0.5, "optim": {"steps": 4}, r"files.a\.png.y": 2},
        {"optims.1.steps": 9, "numbers.0": 5},
        number=2,
    )

    assert clone.optim == Optim(lr=0.5, steps=4)
    assert clone.files == {"a.png": {"x": 1, "y": 2}, "b": 2}
    assert clone.optims == (Optim(), Optim(lr=0.2, steps=9))
    assert clone.numbers == [5, 2]
    assert clone.number == 2.0
    assert xp.files == {"a.png": {"x": 1}, "b": 2}
    assert xp.optim == Optim()


def test_given_mappings_are_plain_dicts() -> None:
    """A mapping that is given to a field of any type arrives as a dict."""
    clone = Model().infra.clone_obj({"anything": {"a": {"b": 1}}}, files={"x": [1]})

    assert type(clone.anything) is type(clone.anything["a"]) is dict
    assert clone.files == {"x": [1]}


def test_replace() -> None:
    """``=replace=`` puts a mapping in the place of what was there: another member of a union, or a dict."""
    xp = Model(classifier=Linear(c=3), files={"a": 1})
    clone = xp.infra.clone_obj(
        {"classifier": {"=replace=": True, "name": "forest", "trees": 3}, "files": {"=replace=": True, "b": 2}}
    )

    assert clone.classifier == Forest(trees=3)
    assert clone.files == {"b": 2}
    assert xp.infra.clone_obj({"classifier": Forest(trees=4)}).classifier == Forest(trees=4)
    with pytest.raises(pydantic.ValidationError, match=r"Extra inputs|extra"):
        xp.infra.clone_obj({"classifier": {"name": "forest"}})
    assert Model().infra.clone_obj({"classifier.name": "forest"}).classifier == Forest()


def test_subclasses_stay() -> None:
    """A value of a subclass of what its field names keeps its class and its own fields when it is updated."""
    clone = Model(optim=Fancy(warmup=4)).infra.clone_obj({"optim.lr": 0.5})

    assert clone.optim == Fancy(lr=0.5, warmup=4)


def test_infra_is_updated() -> None:
    """Settings merge into those given; what held below them when the original was made goes on to hold."""
    with cm.defaults(job_name="block"):
        xp = Stage(infra={"cluster": "threadpool", "mode": "retry"})
    clone = xp.infra.clone_obj({"infra.mode": "force", "size": 2})

    assert (clone.infra.cluster, clone.infra.mode, clone.infra.job_name) == ("threadpool", "force", "block")
    assert clone.infra.given == {"cluster": "threadpool", "mode": "force"}
    assert xp.infra.clone_obj({"infra": {"=replace=": True, "mode": "force"}}).infra.cluster is None
    assert xp.infra.clone_obj(infra=cm.Infra(cluster="processpool")).infra.mode == "cached"
    assert Model(stage=xp).infra.clone_obj({"stage.infra.mode": "cached"}).stage.infra.cluster == "threadpool"
    nested = xp.infra.clone_obj({"infra.methods.run": {"mem_gb": 2}, "infra.methods.run.nodes": 1})
    assert nested.infra.methods == {"run": {"mem_gb": 2, "nodes": 1}}


def test_point_is_updated() -> None:
    """Dataclasses are updated by field."""
    assert Model(point=Point(1, 2)).infra.clone_obj({"point.y": 5}).point == Point(1, 5)


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"nmber": 1}, "nmber"),
        ({"optim.learning": 1}, "optim.learning"),
        ({"infra.foldr": 1}, "did you mean 'folder'"),
        ({"number": "x"}, "number"),
        ({"numbers.7": 1}, "numbers"),
    ],
)
def test_wrong_updates_are_refused(update: dict[str, tp.Any], message: str) -> None:
    """What does not exist or has the wrong type is refused, and named."""
    with pytest.raises(ValueError, match=message):
        Model().infra.clone_obj(update)


def test_private_attributes_start_anew() -> None:
    """A clone is a new model: private attributes are no part of the configuration."""
    xp = Model()
    xp._private = 3

    assert xp.infra.clone_obj()._private == 0
