"""Functions: with_infra, to_config, to_config_model."""

import typing as tp

import cachedmodel as cm


@cm.with_infra(folder="/tmp", cluster="slurm")
def train(x: int, y: str = "a") -> float:
    return 1.0


@cm.with_infra(foldr="/tmp")  # E
def misspelt(x: int) -> float:
    return 1.0


tp.assert_type(train(1), float)
tp.assert_type(train(x=1, y="b"), float)
tp.assert_type(train.job(x=1), cm.Job[float])
tp.assert_type(train.job(1).result(), float)
tp.assert_type(train.config(1).build, cm.BoundTask[float])
train(x="a")  # E
train(z=1)  # E
train()  # E
train.job("a")  # E
train.config("a")  # E


def func(x: int, y: str = "a") -> float:
    return x * 2.0


config = cm.to_config(func, x=12, infra={"folder": "/x"})
tp.assert_type(config.build, cm.BoundTask[float])
tp.assert_type(config.build(), float)
tp.assert_type(config.infra.clone_obj(y="b").build(), float)

Model = cm.to_config_model(func)
tp.assert_type(Model(x=12).build(), float)
Model(x="a")  # E
Model(z=1)  # E
# beyond inline types: a generated stub has the fields, and infra (see docs/typing.md)
Model(x=12, infra={"folder": "/x"})  # E
Model(x=12).x  # E
