"""Uses the example `digits` through its stub."""

import typing as tp

from digits import Array, Digits, Logistic, Score

import cachedmodel as cm

xp = Digits(data={"images": 500}, classifier={"kind": "neighbours", "k": 3}, infra={"cluster": "threadpool"})
Digits(features={"cells": 2}, classifier=Logistic(c=2))
tp.assert_type(xp.score(), Score)
tp.assert_type(xp.score.job(), cm.Job[Score])
tp.assert_type(xp.describe, cm.BoundMap[Array, Array])
tp.assert_type(xp.infra.clone_obj({"data.seed": 1}), Digits)
settings: cm.Infra = xp.infra
Digits(data={"image": 500})  # E
Digits(classifier={"kind": "neighbour"})  # E
Digits(classifier={"k": 3})  # E
Digits(infra={"clusters": "local"})  # E
xp.describe([1])  # E
wrong: str = xp.score()  # E
