"""The settings in force: layers from the library's defaults to those of one method, and what cannot work together."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import typing as tp
from pathlib import Path

import pytest

import cachedmodel as cm


class Plain(cm.CachedModel):
    x: int = 1

    @cm.task
    def train(self) -> int:
        return self.x

    @cm.map(item_uid=str, infra={"cluster": "threadpool", "gpus_per_node": 1})
    def embed(self, items: tp.Iterable[int]) -> tp.Iterator[int]:
        yield from items


class Versioned(cm.CachedModel, version="2", job_name="class", methods={"train": {"job_name": "class train"}}):
    @cm.task(infra={"mem_gb": 1})
    def train(self) -> int:
        return 1

    @cm.task(infra={"job_name": "decorator"})
    def test(self) -> int:
        return 2


# -- precedence -------------------------------------------------------------------------------------------------------


def test_each_layer_outranks_those_before() -> None:
    """Library, environment, defaults, class, decorator, instance, instance's methods: each wins over the weaker."""
    code = textwrap.dedent(
        """
        import os
        import cachedmodel as cm

        def job_name(infra, **keywords):
            decorator = keywords.pop("decorator", {})
            class Model(cm.CachedModel, **keywords):
                @cm.task(infra=decorator)
                def run(self) -> int:
                    return 1
            return Model(infra=infra).run.infra.job_name

        print(job_name({}))
        os.environ["CACHEDMODEL_JOB_NAME"] = "environment"
        print(job_name({}))
        cm.defaults(job_name="defaults")
        print(job_name({}))
        with cm.defaults(job_name="block"):
            print(job_name({}))
            print(job_name({}, job_name="class"))
            print(job_name({}, job_name="class", decorator={"job_name": "decorator"}))
            print(job_name({"job_name": "instance"}, job_name="class", decorator={"job_name": "decorator"}))
            print(job_name({"job_name": "instance", "methods": {"run": {"job_name": "method"}}}, job_name="class"))
            print(job_name({"job_name": None}, job_name="class", decorator={"job_name": "decorator"}))
        print(job_name({}))
        """
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [
        "None",
        "environment",
        "defaults",
        "block",
        "class",
        "decorator",
        "instance",
        "method",
        "None",
        "defaults",
    ]


def test_class_settings_for_methods() -> None:
    """What a class says of one of its methods is under the decorator, and over the rest of the class."""
    xp = Versioned()

    assert (xp.train.infra.job_name, xp.test.infra.job_name) == ("class train", "decorator")
    assert xp.train.infra.mem_gb == 1
    assert Versioned(infra={"job_name": "mine"}).train.infra.job_name == "mine"


def test_methods_have_settings_of_their_own(tmp_path: Path) -> None:
    """``methods`` changes one method only; a None given there counts."""
    xp = Plain(
        infra={
            "folder": tmp_path,
            "methods": {"train": {"cluster": "local", "gpus_per_node": 8}, "embed": {"gpus_per_node": None}},
        }
    )

    assert (xp.train.infra.cluster, xp.train.infra.gpus_per_node) == ("local", 8)
    assert (xp.embed.infra.cluster, xp.embed.infra.gpus_per_node) == ("threadpool", None)
    assert xp.infra.cluster is None
    assert xp.train.infra.folder == xp.embed.infra.folder == tmp_path


def test_dicts_merge_key_by_key() -> None:
    """A dict of a stronger layer changes single keys of a weaker one."""

    class Model(cm.CachedModel, slurm_additional_parameters={"a": 1, "b": 1, "c": 1}):
        @cm.task(infra={"slurm_additional_parameters": {"b": 2}})
        def run(self) -> int:
            return 1

    xp = Model(infra={"slurm_additional_parameters": {"c": 3}})

    assert xp.run.infra.slurm_additional_parameters == {"a": 1, "b": 2, "c": 3}
    assert xp.infra.slurm_additional_parameters == {"a": 1, "b": 1, "c": 3}
    assert Model.__infra_defaults__["slurm_additional_parameters"] == {"a": 1, "b": 1, "c": 1}


def test_values_of_a_model_are_its_own() -> None:
    """Changing a dict of one model's settings in place changes no other model's."""

    class Model(cm.CachedModel, slurm_additional_parameters={"a": 1}):
        pass

    parameters = Model().infra.slurm_additional_parameters
    assert parameters is not None
    parameters["a"] = 2

    assert Model().infra.slurm_additional_parameters == {"a": 1}


def test_types_of_equal_settings_are_told_apart() -> None:
    """Settings that are equal but of other types are validated each by itself."""
    one = cm.CachedModel.model_validate({"infra": {"slurm_use_srun": True}})
    two = cm.CachedModel.model_validate({"infra": {"slurm_use_srun": 1}})

    assert one.infra.slurm_use_srun is two.infra.slurm_use_srun is True
    with pytest.raises(ValueError, match="valid string"):
        cm.CachedModel.model_validate({"infra": {"version": 1}})


# -- environment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("MAX_JOBS", "3", 3),
        ("KEEP_IN_RAM", "true", True),
        ("PROGRESS", "0", False),
        ("MEM_GB", "1.5", 1.5),
        ("CLUSTER", "None", None),
        ("CLUSTER", "null", None),
        ("CLUSTER", "threadpool", "threadpool"),
        ("CLUSTER", "", None),
        ("TRUSTED_USERS", '["me"]', ("me",)),
        ("SLURM_ADDITIONAL_PARAMETERS", '{"a": 1}', {"a": 1}),
    ],
)
def test_environment_variables_are_parsed(name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables give settings of their types; lists and dicts are JSON; an empty one is none."""
    monkeypatch.setenv(f"CACHEDMODEL_{name}", text)

    assert getattr(Plain().infra, name.lower()) == value


def test_misspelt_variables_are_told() -> None:
    """A variable that is none of ours, though it looks so, is ignored with a warning; others are none of our business."""
    names = {"CACHEDMODEL_MDOE": "read-only", "CACHEDMODEL_CORES": "1", "CACHEDMODEL_MODE": "retry", "MDOE": "x"}
    command = [sys.executable, "-W", "always", "-c", "import cachedmodel"]
    told = subprocess.run(command, env={**os.environ, **names}, stderr=subprocess.PIPE, text=True, check=True).stderr

    assert told.count("Warning") == 1
    assert "CACHEDMODEL_MDOE is ignored: the environment has no setting 'mdoe': did you mean 'mode'?" in told


def test_environment_is_read_when_a_model_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model keeps what held when it was made; a relative folder is below the directory of that time."""
    monkeypatch.setenv("CACHEDMODEL_FOLDER", "cache")
    monkeypatch.chdir(tmp_path)
    first = Plain()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    second = Plain()
    monkeypatch.delenv("CACHEDMODEL_FOLDER")

    assert first.infra.folder == first.train.infra.folder == tmp_path / "cache"
    assert second.infra.folder == tmp_path / "sub" / "cache"
    assert Plain().infra.folder is None
    assert Plain(infra=first.infra).infra.folder == tmp_path / "cache"
    assert first.infra.clone_obj({"infra.mode": "retry"}).infra.folder == tmp_path / "cache"


@pytest.mark.parametrize("folder", ["cache", Path("cache"), "./cache"])
def test_relative_folder_is_below_todays_directory(
    folder: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same settings, given again after a change of directory, mean a folder below the new one."""
    (tmp_path / "sub").mkdir()
    found = []
    for place in (tmp_path, tmp_path / "sub", tmp_path):
        monkeypatch.chdir(place)
        found.append(Plain(infra={"folder": folder}).infra.folder)

    assert found == [tmp_path / "cache", tmp_path / "sub" / "cache", tmp_path / "cache"]


def test_wrong_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that cannot be read says which it is."""
    monkeypatch.setenv("CACHEDMODEL_MAX_JOBS", "many")
    with pytest.raises(
        ValueError, match=r"environment \(CACHEDMODEL_\.\.\.\): max_jobs: Input should be a valid integer"
    ):
        Plain()
    monkeypatch.setenv("CACHEDMODEL_MAX_JOBS", "[1")
    with pytest.raises(ValueError, match=r"CACHEDMODEL_MAX_JOBS='\[1' is neither a plain value nor JSON"):
        Plain()


# -- defaults ---------------------------------------------------------------------------------------------------------


def test_blocks_nest_and_end() -> None:
    """``with cm.defaults(...)`` holds in its block alone; what is made there keeps it."""
    with cm.defaults(cluster="threadpool", job_name="outer"):
        with cm.defaults(job_name="inner"):
            inner = Plain()
        outer = Plain()

    assert (inner.infra.cluster, inner.infra.job_name) == ("threadpool", "inner")
    assert (outer.infra.cluster, outer.infra.job_name) == ("threadpool", "outer")
    assert Plain().infra.job_name is None
    assert inner.infra.job_name == inner.train.infra.job_name == "inner"


def test_blocks_are_those_of_their_thread() -> None:
    """Another thread does not see a block's defaults."""
    seen: list[str | None] = []
    with cm.defaults(job_name="block"):
        thread = threading.Thread(target=lambda: seen.append(Plain().infra.job_name))
        thread.start()
        thread.join()

    assert seen == [None]


def test_a_block_that_fails_ends_too() -> None:
    """An exception ends a block's defaults."""
    with pytest.raises(KeyError), cm.defaults(job_name="block"):
        raise KeyError

    assert Plain().infra.job_name is None


def test_wrong_defaults_are_refused() -> None:
    """``version`` and what does not exist cannot be defaults, and leave nothing behind."""
    with pytest.raises(cm.InfraError, match="version belongs to a class or a model"):
        cm.defaults(version="1")
    with pytest.raises(cm.InfraError, match="did you mean 'folder'"):
        cm.defaults(foldr="x")  # type: ignore[call-arg]
    with pytest.raises(cm.InfraError, match="no cluster 'slrum'"):
        cm.defaults(cluster="slrum")

    assert Plain().infra == cm.Infra()


# -- settings passed on -----------------------------------------------------------------------------------------------


def test_settings_of_another_model_are_passed_on(tmp_path: Path) -> None:
    """What another model was given or inherited is taken, but for the version of its class and its methods."""
    one = Versioned(infra={"folder": tmp_path, "methods": {"test": {"mem_gb": 2}}})
    two = Plain(infra=one.infra)

    assert (two.infra.folder, two.infra.job_name, two.infra.version) == (tmp_path, "class", "0")
    assert two.infra.methods == {}
    assert Versioned(infra=one.infra).infra == one.infra
    assert Plain(infra=one.train.infra).infra.mem_gb == 1


def test_one_infra_for_many_models(tmp_path: Path) -> None:
    """Models that were given the same Infra do not share it."""
    infra = cm.Infra(folder=tmp_path)
    one, two = Plain(infra=infra), Plain(infra=infra)
    one.infra.folder = None

    assert (two.infra.folder, infra.folder) == (tmp_path, tmp_path)


# -- what cannot work -------------------------------------------------------------------------------------------------

IMPOSSIBLE: dict[str, tuple[dict[str, tp.Any], str]] = {
    "unknown cluster": ({"cluster": "slrum"}, r"There is no cluster 'slrum': use None, 'auto'.* 'threadpool'"),
    "slurm without folder": ({"cluster": "slurm"}, "cluster='slurm' needs a folder: .*set infra.folder"),
    "local without folder": ({"cluster": "local"}, "cluster='local' needs a folder"),
    "auto without folder": ({"cluster": "auto"}, "cluster='auto' needs a folder"),
    "nothing to read": ({"mode": "read-only"}, "mode='read-only' needs a folder: .*set infra.folder"),
    "no parent": ({"folder": "/no/such/place"}, "its parent does not exist; make '/no/such' first"),
    "file": ({"folder": __file__}, "is a file: give the path of a folder"),
    "workdir": ({"workdir": {"copied": ["x"]}}, "workdir needs jobs of their own: set infra.cluster to 'local'"),
    "conda_env": ({"conda_env": "x", "cluster": "threadpool"}, "conda_env needs jobs .*, or infra.conda_env to None"),
    "method": ({"methods": {"train": {"cluster": "local"}}}, r"needs a folder \(for method 'train'\)"),
    "no method": ({"methods": {"trian": {"cluster": None}}}, "no cached method of Plain: it has 'train', 'embed'"),
    "none": ({"methods": {"embed": {"mode": "read-only"}}}, r"needs a folder \(for method 'embed'\)"),
}


@pytest.mark.parametrize(("settings", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_combinations_are_refused(settings: dict[str, tp.Any], message: str) -> None:
    """What cannot work is refused when the model is made or changed, with the remedy, and changes nothing."""
    with pytest.raises(ValueError, match=message):
        Plain.model_validate({"infra": settings})
    xp = Plain()
    with pytest.raises(ValueError, match=message):
        xp.infra = tp.cast("cm.InfraDict", settings)
    if len(settings) == 1:
        ((name, value),) = settings.items()
        with pytest.raises(ValueError, match=message):
            setattr(xp.infra, name, value)
    assert xp.infra == cm.Infra()


@pytest.mark.parametrize("value", [None, 12, "folder", ["folder"]])
def test_infra_is_an_infra_or_a_dict(value: object) -> None:
    """Anything else is refused, and told what is taken."""
    with pytest.raises(ValueError, match="infra takes an Infra, or a dict of its settings, not"):
        Plain.model_validate({"infra": value})


def test_settings_of_a_decorator_are_checked() -> None:
    """A model whose decorator's settings cannot work with its own is refused when it is made."""

    class Model(cm.CachedModel):
        @cm.task(infra={"cluster": "local"})
        def run(self) -> int:
            return 1

    with pytest.raises(cm.InfraError, match=r"cluster='local' needs a folder \(for method 'run'\)"):
        Model()


@pytest.fixture
def unprivileged() -> tp.Iterator[None]:
    """Whether this user may write is asked for another, as permissions do not stop root."""
    real, effective = os.getuid(), os.geteuid()
    if effective == 0:
        os.setreuid(65534, 0)
    yield
    os.setreuid(real, effective)


def test_a_folder_that_cannot_be_made(tmp_path: Path, unprivileged: None) -> None:
    """A folder whose parent is not writable is refused; one that exists is not, as it may be read."""
    (tmp_path / "there").mkdir()
    tmp_path.chmod(0o555)

    with pytest.raises(ValueError, match=f"cannot be made: its parent {str(tmp_path)!r} is not writable for user"):
        Plain(infra={"folder": tmp_path / "new"})
    assert Plain(infra={"folder": tmp_path / "there"}).infra.folder == tmp_path / "there"
