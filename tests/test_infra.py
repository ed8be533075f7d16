"""Infra: what each setting takes, and what an Infra is by itself."""

from __future__ import annotations

import copy
import os
import pickle
import typing as tp
from pathlib import Path, PurePosixPath

import pydantic
import pytest

import cachedmodel as cm
from cachedmodel.infra import checked


def infra(**settings: tp.Any) -> cm.Infra:
    """An Infra of settings that no checker looks at."""
    return cm.Infra(**settings)


VALUES: list[object] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2**70,
        1.0,
        "",
        "a",
        "1",
        "~/a",
        "$HOME/a",
        "$NONE",
        "a/../b",
        "cached",
        "forced",
        "é",
    ),
    *("x" * 65, ".", "null", b"a", Path(), Path("a"), PurePosixPath("a"), (), [], ["a"], {}, {"a": 1}, object()),
]


@pytest.mark.parametrize("name", [*cm.Infra.model_fields, "foldr"])
def test_what_needs_no_schema_is_what_it_would_be(name: str) -> None:
    """Settings that are taken without the schema come out, or are refused, as with it."""

    def outcome(check: tp.Callable[[dict[str, object]], dict[str, object]], value: object) -> object:
        try:
            given = check({name: value})
        except ValueError as error:
            return type(error), str(error)
        return given, list(map(type, given.values()))

    for value in VALUES:
        assert outcome(checked, value) == outcome(lambda given: cm.Infra.model_validate(given).given, value)


WRONG: dict[str, tuple[dict[str, tp.Any], str]] = {
    "unknown": ({"foldr": "x"}, "infra has no setting 'foldr': did you mean 'folder'"),
    "strange": ({"zzz": 1}, "infra has no setting 'zzz': settings are folder, cluster"),
    "mode": ({"mode": "forced"}, "Input should be 'cached', 'retry', 'force' or 'read-only'"),
    "cluster": ({"cluster": 12}, "Input should be a valid string"),
    "folder": ({"folder": 12}, "folder"),
    "no folder": ({"folder": ""}, "folder '' is no path: give one, or None"),
    "version": ({"version": 12}, "Input should be a valid string"),
    "version above": ({"version": "../x"}, "version '../x' is part of a folder's name: use 1 to 64 letters"),
    "version dot": ({"version": "."}, "not a '.' first"),
    "version empty": ({"version": ""}, "use 1 to 64 letters"),
    "version long": ({"version": "x" * 65}, "use 1 to 64 letters"),
    "version slash": ({"version": "a/b"}, "part of a folder's name"),
    "logs": ({"logs": "{foldr}/logs"}, r"only \{folder\} and \{user\} are filled in"),
    "permissions": ({"permissions": 0o77777}, "are no mode of a file: give an octal like 0o775 or '775'"),
    "permission text": ({"permissions": "rwx"}, "Input should be a valid integer"),
    "max_jobs": ({"max_jobs": 0}, "greater than or equal to 1"),
    "chunk_size": ({"chunk_size": 0}, "greater than or equal to 1"),
    "min_items_per_job": ({"min_items_per_job": -1}, "greater than or equal to 1"),
    "lease_s": ({"lease_s": 0}, "greater than 0"),
    "gpus_per_node": ({"gpus_per_node": -1}, "greater than or equal to 0"),
    "mem_gb": ({"mem_gb": 0}, "greater than 0"),
    "trusted_users": ({"trusted_users": "me"}, r"give a list of names, as \['me'\]"),
    "workdir": ({"workdir": {"copied": []}}, "workdir.copied names nothing"),
    "workdir key": ({"workdir": {"copies": ["x"]}}, "Field required|Extra inputs"),
    "methods": ({"methods": {"train": {"cluter": "local"}}}, r"methods\['train'\].*no setting 'cluter': did you mean"),
    "method version": ({"methods": {"train": {"version": "1"}}}, "give them to the whole model"),
    "methods in methods": ({"methods": {"train": {"methods": {}}}}, "give them to the whole model"),
    "method text": ({"methods": {"train": "local"}}, r"methods\['train'\] is 'local': give a dict of settings"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_wrong_settings_are_refused(settings: dict[str, tp.Any], message: str) -> None:
    """An unknown or wrong setting says what is wrong with it, by itself and given to a model."""
    with pytest.raises(ValueError, match=message):
        infra(**settings)
    with pytest.raises(ValueError, match=message):
        cm.CachedModel.model_validate({"infra": settings})


def test_every_setting_is_taken(tmp_path: Path) -> None:
    """Each setting of InfraDict is one of Infra, and takes the values that it documents."""
    given: dict[str, tp.Any] = {
        "folder": tmp_path,
        "cluster": "slurm",
        "mode": "force",
        "keep_in_ram": True,
        "version": "1.2-a",
        "logs": "{folder}/logs/{user}/%j",
        "permissions": "775",
        "max_jobs": 3,
        "min_items_per_job": 2,
        "chunk_size": 10,
        "forbid_single_item_computation": True,
        "progress": False,
        "allow_pickle": False,
        "trusted_users": ["me", "you"],
        "lease_s": 1.5,
        "survive_submitter": True,
        "workdir": {"copied": ["x.py"]},
        "conda_env": "env",
        "job_name": "name",
        "timeout_min": 1,
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": 1,
        "gpus_per_node": 0,
        "mem_gb": 0.5,
        "max_pickle_size_gb": 0.5,
        "slurm_constraint": "x",
        "slurm_partition": "x",
        "slurm_account": "x",
        "slurm_qos": "x",
        "slurm_use_srun": True,
        "slurm_additional_parameters": {"a": 1, "b": "x", "c": True},
        "slurm_setup": ["module load x"],
        "methods": {"train": {"cluster": None}},
    }

    made = infra(**given)

    assert set(given) == set(cm.InfraDict.__annotations__) == set(cm.Infra.model_fields)
    assert made.permissions == 0o775
    assert made.trusted_users == ("me", "you")
    assert isinstance(made.workdir, cm.WorkDir)
    assert set(made.given) == set(given)


def test_folders_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` and variables are expanded, and a relative path is below the current directory."""
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert cm.Infra(folder="~/x").folder == Path.home() / "x"
    assert cm.Infra(folder="$PLACE/x").folder == tmp_path / "x"
    assert cm.Infra(folder="x/../y").folder == tmp_path / "y"
    assert cm.Infra(folder=Path("x")).folder == Path(os.getcwd()) / "x"


def test_equal_by_values() -> None:
    """Settings are equal, and hash alike, however they were given."""
    one, two = cm.Infra(cluster="auto", mode="cached"), cm.Infra(cluster="auto")

    assert one == two
    assert hash(one) == hash(two)
    assert one != cm.Infra(cluster="local")
    assert one != "auto"


def test_copies_keep_what_was_given() -> None:
    """Copies and pickles are equal and know what was given; updates are validated and count as given."""
    one = cm.Infra(cluster="auto", slurm_setup=["a"])
    deep = copy.deepcopy(one)

    for other in (copy.copy(one), deep, pickle.loads(pickle.dumps(one)), one.model_copy()):
        assert (other, other.given) == (one, one.given)
    assert deep.slurm_setup is not one.slurm_setup
    assert one.model_copy(update={"mode": "retry"}).given == {**one.given, "mode": "retry"}
    with pytest.raises(cm.InfraError, match="did you mean 'mode'"):
        one.model_copy(update={"mod": "retry"})


def test_dump_holds_what_was_given() -> None:
    """A dump gives the same settings again, in Python and JSON."""
    one = cm.Infra(folder="/tmp", permissions="775", workdir={"copied": ["x.py"]})

    assert one.model_dump(mode="json")["permissions"] == 0o775
    assert set(one.model_dump()) == {"folder", "permissions", "workdir"}
    assert cm.Infra.model_validate(one.model_dump()) == one
    assert cm.Infra.model_validate_json(one.model_dump_json()) == one


def test_assignment_is_validated() -> None:
    """A setting that is assigned counts as given, and a wrong one is refused."""
    one = cm.Infra()
    one.cluster = "auto"

    assert one.given == {"cluster": "auto"}
    with pytest.raises(pydantic.ValidationError):
        one.max_jobs = -1
    assert one.max_jobs is None
