"""Configurations as ConfDicts: all of it, what counts, and what differs."""

from __future__ import annotations

import typing as tp
from pathlib import Path

import pydantic
import pytest

import cachedmodel as cm


class Optim(pydantic.BaseModel):
    lr: float = 0.1
    device: tp.Annotated[str, cm.NotInUid] = "cpu"
    seed: int = 0


class Root(pydantic.RootModel[list[Optim]]):
    pass


class Small(pydantic.BaseModel):
    kind: tp.Literal["small"] = "small"
    size: int = 1


class Large(pydantic.BaseModel):
    kind: tp.Literal["large"] = "large"
    size: int = 9


class Training(cm.CachedModel):
    count: int = 3
    path: Path = Path("a")
    optim: Optim = pydantic.Field(default=Optim(), alias="optimizer")
    optims: dict[str, list[Optim]] = pydantic.Field(default_factory=dict)
    root: Root = Root([])
    model: tp.Annotated[Small | Large, pydantic.Field(discriminator="kind")] = Small()
    hidden: int = pydantic.Field(default=0, exclude=True)
    token: tp.Annotated[pydantic.SecretStr, cm.NotInUid] = pydantic.SecretStr("secret")

    @cm.task(exclude=("count", "optim.seed", "optims.seed"))
    def run(self) -> int:
        return self.count


def training(**values: tp.Any) -> Training:
    """A model of what pydantic makes of the values."""
    return Training.model_validate(values)


def test_the_whole_configuration_masks_secrets() -> None:
    """All fields by their names, hidden ones too."""
    conf = training(hidden=2).run.config(uid=False).to_dict()

    assert conf["hidden"] == 2
    assert conf["optim"] == {"lr": 0.1, "device": "cpu", "seed": 0}
    assert conf["token"] == "*" * 10
    assert "secret" not in str(conf)


def test_what_counts_leaves_out_the_rest() -> None:
    """Neither marked nor excluded fields, at any depth, and defaults stay."""
    conf = training(optims={"x": [{"lr": 2}]}, root=[{}]).run.config().to_dict()

    assert conf == {
        "hidden": 0,
        "model": {"kind": "small", "size": 1},
        "optim": {"lr": 0.1},
        "optims": {"x": [{"lr": 2.0}]},
        "path": Path("a"),
        "root": [{"lr": 0.1, "seed": 0}],
    }


def test_what_differs_is_all_that_is_shown() -> None:
    """What does not differ is left out, but for discriminators of what is shown, and for containers, which are whole."""
    values: dict[str, tp.Any] = {
        "count": 9,
        "optimizer": {"lr": 2, "seed": 3, "device": "gpu"},
        "optims": {"a.b": [{"seed": 5}]},
        "model": {"kind": "large"},
        "root": [{"seed": 1}],
    }
    conf = training(**values).run.config(exclude_defaults=True)

    assert conf.to_dict() == {
        "model": {"kind": "large"},
        "optim": {"lr": 2.0},
        "optims": {"a.b": [{"lr": 0.1}]},
        "root": [{"lr": 0.1, "seed": 1}],
    }
    assert training().run.config(exclude_defaults=True).to_dict() == {}


@pytest.mark.parametrize("values", [{}, {"model": {"kind": "large"}, "root": [{"lr": 3}], "optimizer": {"lr": 5}}])
def test_each_says_enough_to_make_the_model_again(values: dict[str, tp.Any]) -> None:
    """Through YAML as well, and with the same uid."""
    one = training(**values)
    for conf in (one.run.config(uid=False), one.run.config(), one.run.config(exclude_defaults=True)):
        again = Training.model_validate(cm.ConfDict.from_yaml(conf.to_yaml()).to_dict(), by_name=True)

        assert again.run.uid() == one.run.uid()


@pytest.mark.parametrize("values", [{}, {"model": {"kind": "large"}, "root": [{"lr": 3}], "optims": {"a.b": [{}]}}])
def test_the_files_of_a_folder_are_the_yaml_of_the_three(values: dict[str, tp.Any], tmp_path: Path) -> None:
    """Though they are written without going through a ConfDict."""
    task = training(**values, infra={"folder": tmp_path}).run
    folder = Path(task.uid_folder(create=True) or "")

    assert (folder / "config.yaml").read_text() == task.config(uid=False).to_yaml()
    assert (folder / "full-uid.yaml").read_text() == task.config().to_yaml()
    assert (folder / "uid.yaml").read_text() == task.config(exclude_defaults=True).to_yaml()
