"""Uses the package `zoo` through its stubs: what inline types cannot say, too."""

import typing as tp
from collections.abc import Iterator
from pathlib import Path

from zoo import Experiment
from zoo.configs import Array, Box, Encoder, Kind, Node, Optimizer, Scheduler
from zoo.experiment import NAMES, Dynamic, Later, Model, Plain, cached, count, xp
from zoo.plain import double

import cachedmodel as cm

# -- nested configurations as dicts --------------------------------------------------------------------------------------

Experiment(required="x", encoder={"dim": 12, "lr": 3}, encoders=[{"dim": 12}, Encoder()], infra={"folder": "/x"})
Experiment(required="x", encoder={"infra": {"version": "2"}}, optimizer={"rate": 2.0})
Experiment(required="x", part={"kind": "step", "steps": 3}, parts=[{"kind": "adam"}, Scheduler(steps=2)])
Experiment(required="x", node={"children": [{"value": 1}, Node(by_name={"a": {"value": 2}})]}, box={"value": 2})
Experiment(required="x", encoder={"dimm": 12})  # E
Experiment(required="x", encoder={"path": 12})  # E
Experiment(required="x", encoder={"infra": {"foldr": "/x"}})  # E
Experiment(required="x", part={"kind": "stp"})  # E
Experiment(required="x", part={"steps": 3})  # E
Experiment(required="x", optimizer={"kind": "step"})  # E
Experiment(required="x", node={"children": [{"valu": 1}]})  # E
Experiment(required="x", box={})  # E

# -- what pydantic converts ----------------------------------------------------------------------------------------------

Encoder(path="/tmp", lr=2.0, kind="fast", day="2024-01-01", dim="12")
Experiment(required="x", pair=[1, "a"], paths={"a": "b", "c": Path()}, ints=(1, 2), other=1)
Experiment(required="x", another=1)
Later(required="x", extra=[1, 2])
Encoder(kind="slow")  # E
Encoder(aliased=2.0)  # E
Encoder(lr="fast")  # E
Later(required="x", extra=["a"])  # E
Experiment()  # E
Experiment(required="x", colour="red")  # E
Experiment(required="x", infra={"foldr": "/x"})  # E

# -- tasks, maps, infra --------------------------------------------------------------------------------------------------

tp.assert_type(Experiment(required="x").train(), float)
tp.assert_type(Later(required="x").train.job(), cm.Job[int])
tp.assert_type(Experiment(required="x").arrays(), dict[str, list[float]])
tp.assert_type(Encoder().embed([1]), Iterator[Array])
tp.assert_type(Encoder().embed.plan([1]), cm.Plan[int])
tp.assert_type(Later(required="x").infra.clone_obj(), Later)
of_body: cm.Infra = Experiment(required="x").infra
below_body: cm.Infra = Later(required="x").infra
tp.assert_type(Box(value=12).get(), int)
tp.assert_type(Box[str](value="a").get(), str)
Encoder().embed(["a"])  # E

# -- made at run time ----------------------------------------------------------------------------------------------------

made = Dynamic(needed="a", added=3, required="x", encoder={"dim": 1})
tp.assert_type(made.added, int)
tp.assert_type(made.train(), float)
below_dynamic: cm.Infra = made.infra
Dynamic(required="x")  # E
Dynamic(needed="a", required="x", addded=3)  # E

config = Model(1, y="b", infra={"folder": "/x"})
tp.assert_type(config.x, int)
tp.assert_type(config.y, Path)
tp.assert_type(config.build(), float)
tp.assert_type(config.build.job(), cm.Job[float])
Model("a")  # E
Model(x=1, z=3)  # E
config.z  # E

# -- plain code ----------------------------------------------------------------------------------------------------------

tp.assert_type(cached(3, y="b"), list[str])
tp.assert_type(cached.job(3).result(), list[str])
tp.assert_type(count(3, y="b"), int)
tp.assert_type(Plain(1).z, int)
tp.assert_type(Plain(1).kind, Kind)
tp.assert_type(xp, Experiment)
tp.assert_type(xp.pick("a"), str)
tp.assert_type(xp.doubled, int)
tp.assert_type(NAMES, list[str])
tp.assert_type(double(3), int)
cached("a")  # E
count("a")  # E


class Down(Later):
    more: int = 1


# pydantic's mypy plugin takes any keyword where there are AliasChoices
Down(required="x", more=2, encoder=Encoder(), part=Optimizer())
Down(required="x", mor=2)  # E not: plugin
