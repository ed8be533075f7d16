"""``xp.infra``: settings bound to one model, and what they say of its method."""

from __future__ import annotations

import copy
import pickle
import typing as tp
from pathlib import Path

import pytest

import cachedmodel as cm


class One(cm.CachedModel, version="1"):
    x: int = 1

    @cm.task
    def run(self) -> int:
        return self.x


class Two(cm.CachedModel):
    x: int = 1

    @cm.task
    def train(self) -> int:
        return self.x

    @cm.map(item_uid=str)
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        yield from items


def test_reading_gives_the_same_object() -> None:
    """Settings are bound once to each instance, and stay with it."""
    xp, other = One(), One()

    assert isinstance(xp.infra, cm.Infra)
    assert xp.infra is xp.infra
    assert xp.infra is not other.infra
    assert xp.infra == other.infra == cm.Infra(version="1")


def test_answers_for_the_only_method(tmp_path: Path) -> None:
    """A model with one method can be asked through its settings."""
    xp = One(x=3, infra={"folder": tmp_path})

    assert xp.infra.uid() == xp.run.uid()
    assert xp.infra.uid_folder() == xp.run.uid_folder()
    assert xp.infra.status() == "not submitted"
    assert not (tmp_path / "x").exists()
    assert xp.infra.job().result() == 3
    assert xp.infra.status() == "completed"
    assert xp.infra.config() == xp.run.config()
    assert list(xp.infra.iter_cached()) == [xp]
    xp.infra.clear_job()
    assert xp.infra.status() == "not submitted"
    folder = xp.infra.uid_folder(create=True)
    assert folder is not None
    assert Path(folder).is_dir()


def test_answers_for_a_named_method() -> None:
    """A model with several methods is asked for one of them by its name."""
    xp = Two(x=3)

    assert xp.infra.uid(method="train") == xp.train.uid()
    assert xp.infra.uid("embed") == xp.embed.uid()
    assert xp.infra.config(method="embed") == {"x": 3}
    assert xp.infra.config(uid=True, exclude_defaults=True, method="train") == {"x": 3}
    assert xp.infra.job("train").result() == 3
    with xp.infra.job_array(method="train") as array:
        array.append(xp.infra.clone_obj(x=4))
    assert array[0].train() == 4


def test_wrong_methods_are_refused() -> None:
    """No, or no such, or not that kind of method: each says what there is."""
    with pytest.raises(cm.InfraError, match=r"Two has 2 cached methods \(train, embed\): say which"):
        Two().infra.uid()
    with pytest.raises(cm.InfraError, match="has no cached method 'test': it has train, embed"):
        Two().infra.uid("test")
    with pytest.raises(cm.InfraError, match=r"is a map, which has a job for each call: use its submit\(items\)"):
        Two().infra.job("embed")
    with pytest.raises(cm.InfraError, match="has no cached method"):
        cm.CachedModel().infra.uid()


def test_settings_are_assigned_before_and_after_the_uid(tmp_path: Path) -> None:
    """Settings other than the version may change at any time, and hold from then on."""
    xp = One(x=3)
    xp.infra.keep_in_ram = True
    assert xp.run() == 3
    uid = xp.run.uid()
    xp.infra.folder = tmp_path

    assert xp.run.infra.folder == tmp_path
    assert (xp.run(), xp.run.uid()) == (3, uid)
    assert xp.run.is_cached()
    assert (xp.infra.keep_in_ram, xp.infra.given) == (True, {"keep_in_ram": True, "folder": tmp_path})
    assert xp.model_fields_set == {"x", "infra"}
    xp.infra = {"folder": None, "cluster": "threadpool"}
    assert xp.infra.clone_obj().infra.given == {"folder": None, "cluster": "threadpool"}
    assert xp.run.infra.cluster == "threadpool"


def test_the_version_is_fixed_with_the_uid() -> None:
    """The version may change until the uid was computed; it may be assigned its own value."""
    xp = One()
    xp.infra.version = "2"
    assert xp.run.infra.version == "2"
    xp.run.uid()

    xp.infra.version = "2"
    with pytest.raises(cm.UidError, match=r"its version cannot change: use infra.clone_obj\(\{'infra.version'"):
        xp.infra.version = "3"
    with pytest.raises(cm.UidError, match=r"'infra.version' cannot change: make another with infra.clone_obj"):
        xp.infra = {"version": "3"}
    xp.infra = {"version": "2", "cluster": "threadpool"}
    assert xp.infra.clone_obj({"infra.version": "3"}).infra.version == "3"


def test_wrong_assignments_change_nothing() -> None:
    """What is refused leaves the settings as they were."""
    xp = One()

    for name, value in {"max_jobs": 0, "cluster": "slurm", "foldr": "x", "mode": "never"}.items():
        with pytest.raises(ValueError, match=r"infra|cluster|mode"):
            setattr(xp.infra, name, value)
    with pytest.raises(cm.InfraError, match="did you mean 'folder'"):
        xp.infra.foldr = "x"
    assert (xp.infra, xp.infra.given) == (cm.Infra(version="1"), {})


def test_copies_of_settings_belong_to_no_model() -> None:
    """A copy or pickle of bound settings can be given to another model, and says the same."""
    xp = One(infra={"cluster": "threadpool"})

    for other in (
        copy.copy(xp.infra),
        copy.deepcopy(xp.infra),
        pickle.loads(pickle.dumps(xp.infra)),
        xp.infra.model_copy(),
    ):
        assert type(other) is cm.Infra
        assert other == xp.infra
        assert One(x=2, infra=other).infra.cluster == "threadpool"
    changed = One(infra=xp.infra.model_copy(update={"cluster": None, "keep_in_ram": True}))
    assert (changed.infra.cluster, changed.infra.keep_in_ram) == (None, True)


def test_settings_outlive_their_model() -> None:
    """Bound settings keep what they need."""
    infra = One(x=5).infra

    assert infra.clone_obj().x == 5
