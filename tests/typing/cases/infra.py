"""The field `infra`: what it takes, what it reads as, and what it gives back of the model's own type."""

import os
import typing as tp
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pydantic

import cachedmodel as cm


class Base(cm.CachedModel):
    x: int = 1

    @cm.task
    def run(self) -> int:
        return self.x


class Sub(Base, version="3"):
    y: int


class InBody(Base):
    infra: cm.Infra = cm.Infra(version="2", mode="retry")


class BelowBody(InBody):
    z: int


class Box(cm.CachedModel, tp.Generic[tp.AnyStr]):
    text: tp.AnyStr


# -- what it takes -------------------------------------------------------------------------------------------------------

base = Base(x=12, infra={"folder": "/tmp", "cluster": "auto", "methods": {"run": {"cluster": "slurm", "nodes": 2}}})
Base(infra=cm.Infra(folder="/tmp"))
Base(infra=cm.InfraDict(folder="/tmp"))
InBody(infra={"version": "3"})
Base(x="a")  # E not: lax
Base(y=1)  # E
Base(infra={"foldr": 1})  # E
Base(infra={"timeout_min": "12"})  # E
Base(infra={"mode": "cachd"})  # E
Base(infra={"methods": {"run": {"foldr": "/x"}}})  # E
Base(infra=12)  # E
Base(infra=cm.Infra(foldr="/x"))  # E
cm.Infra(chunk_size="256")  # E
InBody(infra={"foldr": 1})  # E
BelowBody(z=1, infra={"foldr": 1})  # E
settings: cm.InfraDict = {"foldr": "/x"}  # E
base.infra = {"folder": "/x"}
base.infra = cm.Infra(folder="/x")
base.infra = {"foldr": "/x"}  # E
base.infra.version = "3"
base.infra.version = 3  # E

# -- what it reads as ----------------------------------------------------------------------------------------------------

tp.assert_type(base.infra.version, str)
tp.assert_type(base.infra.mode, tp.Literal["cached", "retry", "force", "read-only"])
tp.assert_type(base.run.infra, cm.Infra)
of_base: cm.Infra = base.infra
of_sub: cm.Infra = Sub(y=1).infra
of_body: cm.Infra = InBody(infra={"version": "3"}).infra
of_box: cm.Infra = Box[str](text="a").infra
# pydantic's plugin declares inherited fields anew, with the type of what can be set: see docs/typing.md
below_body: cm.Infra = BelowBody(z=1).infra  # E only: pydantic

# -- of the model's own type ---------------------------------------------------------------------------------------------

tp.assert_type(base.infra.clone_obj({"x": 1}), Base)
tp.assert_type(Sub(y=1).infra.clone_obj({"a.b": 1}, y=12), Sub)
tp.assert_type(Box[str](text="a").infra.clone_obj(), Box[str])
tp.assert_type(base.infra.iter_cached(), Iterator[Base])
tp.assert_type(Sub(y=1).infra.job_array(), AbstractContextManager[list[Sub], bool | None])
with Sub(y=1).infra.job_array(max_workers=12) as array:
    tp.assert_type(array, list[Sub])
    array.append(Sub(y=2))
    array.append(Base())  # E
tp.assert_type(base.infra.uid(), str)
tp.assert_type(base.infra.config(exclude_defaults=True), cm.ConfDict)
tp.assert_type(base.infra.uid_folder(create=True), os.PathLike[str] | None)
tp.assert_type(base.infra.status(), cm.Status)
base.infra.foo()  # E


class Generic(tp.Generic[tp.AnyStr]):
    def clone(self, model: Box[tp.AnyStr]) -> Box[tp.AnyStr]:
        return model.infra.clone_obj()


M = tp.TypeVar("M", bound=cm.CachedModel)


def clone(model: M) -> M:
    return model.infra.clone_obj()


tp.assert_type(clone(Sub(y=1)), Sub)

# -- in a class body and in a class statement ----------------------------------------------------------------------------


class OtherType(cm.CachedModel):
    infra: str = "x"  # E


class WrongName(cm.CachedModel):
    infra: cm.Infra = cm.Infra(versio="2")  # E


class WrongValue(cm.CachedModel):
    infra: cm.Infra = cm.Infra(version=2)  # E


class TaskName(cm.CachedModel):
    @cm.task  # E only: plain pydantic
    def infra(self) -> int:  # E
        return 1


class Keywords(cm.CachedModel, version="1", cluster="auto", cache_name="here", frozen=True, title="a title"):
    x: int = pydantic.Field(default=12, ge=1)


class WrongKeyword(cm.CachedModel, versio="1"):  # E only: pyright plugin
    pass


class BelowKeyword(Sub, clutser="auto"):  # E only: pyright plugin
    pass


class WrongKeywordValue(cm.CachedModel, version=1):  # E only: pyright
    pass


Keywords().x = 1  # E
with cm.defaults(folder="/tmp", cluster="auto"):
    Base()
cm.defaults(foldr="/tmp")  # E
