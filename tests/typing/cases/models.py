"""Models inside models, unions, pydantic's own methods: everything that a pydantic model is to checkers."""

import typing as tp
from pathlib import Path

import pydantic

import cachedmodel as cm


class Encoder(cm.CachedModel, version="2"):
    kind: tp.Literal["encoder"] = "encoder"
    dim: int = pydantic.Field(default=12, ge=1)
    _count: int = pydantic.PrivateAttr(default=0)

    @cm.task
    def weights(self) -> list[float]:
        self._count += 1
        return [0.0] * self.dim


class Decoder(cm.CachedModel):
    kind: tp.Literal["decoder"] = "decoder"
    path: Path = Path()

    @cm.task
    def bias(self) -> float:
        return 0.0


class Experiment(cm.CachedModel):
    encoder: Encoder = Encoder()
    part: tp.Annotated[Encoder | Decoder, pydantic.Field(discriminator="kind")] = Decoder()
    many: list[Encoder] = []
    name: str = pydantic.Field(default="xp", alias="title")

    @cm.task
    def total(self) -> float:
        part = self.part
        if part.kind == "encoder":
            return sum(part.weights())
        return part.bias() + sum(sum(encoder.weights()) for encoder in self.many)

    @property
    def dims(self) -> list[int]:
        return [encoder.dim for encoder in self.many]

    @classmethod
    def of(cls, dim: int) -> tp.Self:
        return cls(encoder=Encoder(dim=dim))


xp = Experiment.of(3)
tp.assert_type(xp, Experiment)
tp.assert_type(xp.encoder.weights(), list[float])
tp.assert_type(xp.dims, list[int])
tp.assert_type(xp.model_copy(update={"name": "b"}), Experiment)
tp.assert_type(xp.model_copy(deep=True).total(), float)
tp.assert_type(Experiment.model_validate({}), Experiment)
tp.assert_type(Experiment.model_validate_json("{}").total(), float)
tp.assert_type(xp.model_dump(), dict[str, tp.Any])
Experiment(title="b")
Experiment(encoder=Decoder())  # E not: lax
Experiment(colour="red")  # E
Encoder(_count=1)  # E
xp.total.foo  # E
xp.colour  # E


class Described:
    """A mixin that is no model."""

    def describe(self) -> str:
        return ""


class Mixed(Described, Encoder, cluster="auto"):
    more: int = 1


tp.assert_type(Mixed(more=2, dim=3).describe(), str)
tp.assert_type(Mixed(more=2).weights(), list[float])
