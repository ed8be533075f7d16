"""@task: what is decorated, what it is on the class and on an instance, and what overrides it."""

import abc
import typing as tp

import cachedmodel as cm

T = tp.TypeVar("T")


class Training(cm.CachedModel, version="1"):
    param: int = 12
    device: tp.Annotated[str, cm.NotInUid] = "cpu"

    @cm.task
    def process(self) -> float:
        """Trains."""
        return self.param * 2.0

    @cm.task(exclude=("param",), infra={"gpus_per_node": 8}, codec="pickle")
    def fit(self) -> dict[str, list[int]]:
        return {}

    @cm.task()
    def nothing(self) -> None: ...


xp = Training(param=1, infra={"folder": "cache", "cluster": "auto"})
tp.assert_type(Training.process, cm.Task[float])
tp.assert_type(xp.process, cm.BoundTask[float])
tp.assert_type(xp.process(), float)
tp.assert_type(xp.fit(), dict[str, list[int]])
tp.assert_type(xp.fit.job().result()["a"], list[int])
tp.assert_type(xp.nothing, cm.BoundTask[None])
tp.assert_type(xp.process.status(), cm.Status)
tp.assert_type(xp.process.uid(), str)
tp.assert_type(xp.process.config(), cm.ConfDict)
tp.assert_type(xp.process.is_cached(), bool)
xp.process(12)  # E
xp.process.foo()  # E
xp.process = 12  # E
wrong: str = xp.process()  # E
tp.assert_type(Training.process.__get__(xp)(), float)


class Exclusive(cm.CachedModel):
    x: int = 1

    def seldom(self) -> list[str]:
        return ["x"]

    @cm.task(exclude=seldom)
    def by_method(self) -> int:
        return 1

    @cm.task(exclude="seldom")
    def by_name(self) -> int:
        return 1

    @cm.task(exclude=lambda model: ["x"])
    def by_function(self) -> int:
        return 1


# -- abstract tasks, overrides, super ------------------------------------------------------------------------------------


class Base(cm.CachedModel, abc.ABC):
    @cm.task
    @abc.abstractmethod
    def run(self) -> float: ...

    @cm.task
    def fit(self) -> float:
        return 1.0


Base()  # E


class Sub(Base):
    @cm.task
    def run(self) -> int:
        tp.assert_type(super().fit, cm.BoundTask[float])
        return int(super().fit())

    @cm.task
    def fit(self) -> float:
        return super().fit() + 1


class OtherType(Sub):
    @cm.task
    def run(self) -> str:  # E
        return ""


class Undecorated(Sub):
    def run(self) -> int:  # E
        return 12


sub = Sub()
tp.assert_type(sub.run, cm.BoundTask[int])
tp.assert_type(sub.run(), int)
tp.assert_type(Sub.run, cm.Task[int])
wider: cm.BoundTask[float] = sub.run


def ask(task: cm.BoundTask[T]) -> T:
    return task()


tp.assert_type(ask(sub.run), int)


# -- generics ------------------------------------------------------------------------------------------------------------


class Box(cm.CachedModel, tp.Generic[T]):
    value: T

    @cm.task
    def get(self) -> T:
        return self.value

    @cm.task
    def pair(self) -> tuple[T, T]:
        return self.value, self.value


class TextBox(Box[str]):
    @cm.task
    def get(self) -> str:
        return super().get()


tp.assert_type(Box[int](value=12).get(), int)
tp.assert_type(Box[str](value="a").pair(), tuple[str, str])
tp.assert_type(TextBox(value="a").pair(), tuple[str, str])
Box[int](value="a")  # E not: lax


# -- what cannot be a task -----------------------------------------------------------------------------------------------


class Wrong(cm.CachedModel):
    @cm.task  # E
    def parameter(self, x: int) -> int:
        return x

    @cm.task  # E
    def no_self() -> int:
        return 1

    @cm.task  # E
    @classmethod
    def of_class(cls) -> int:
        return 1

    @cm.task  # E
    @staticmethod
    def static() -> int:
        return 1

    @cm.task  # E
    def keyword(self, *, k: int) -> int:
        return 1

    @cm.task(excl=("device",))  # E
    def misspelt(self) -> int:
        return 1

    @cm.task(exclude=("device", 12))  # E
    def no_name(self) -> int:
        return 1

    @cm.task(infra={"gpus": 8})  # E
    def no_setting(self) -> int:
        return 1

    # no error for checkers: a parameter that has a default may be left out; the class statement raises it
    @cm.task
    def default(self, x: int = 12) -> int:
        return x


class NotModel:
    @cm.task  # E
    def f(self) -> int:
        return 1
