"""The fields of every configuration, as a plain pydantic model: the floor, and what the models of libraries derive from."""

from __future__ import annotations

import typing as tp

import pydantic


class Optimizer(pydantic.BaseModel, extra="forbid"):
    """What is nested."""

    lr: float = 1e-3
    momentum: float = 0.9
    name: str = "adam"


class Fields(pydantic.BaseModel, extra="forbid"):
    """Ten fields and a nested model."""

    a: int = 0
    b: float = 0.0
    c: str = "name"
    d: bool = False
    e: list[int] = [1]
    f: tp.Literal["x", "y"] = "x"
    g: int | None = None
    h: float = 0.5
    i: str = "hello"
    j: int = 3
    optimizer: Optimizer = Optimizer()
