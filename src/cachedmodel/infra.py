"""Where to run and where to keep results: values only.

Settings come in layers, weakest first: the library's defaults, the environment (``CACHEDMODEL_FOLDER``, ...),
`defaults`, the class, the decorator, the instance, the instance's ``methods``. A None that was given counts as
given; dicts merge key by key. They are resolved when the model is made, and travel with it into jobs.
"""

from __future__ import annotations

import contextvars
import difflib
import functools
import getpass
import json
import os
import re
import typing as tp
from collections.abc import Mapping
from pathlib import Path

import pydantic
import pydantic_core
from typing_extensions import TypedDict

from .errors import InfraError
from .workdir import WorkDir

if tp.TYPE_CHECKING:
    from .bound import BoundInfra

Mode = tp.Literal["cached", "retry", "force", "read-only"]
Cluster = str  # None, "auto", "debug", "local", "slurm", "threadpool", "processpool", or an installed submitit plugin's
#: Clusters whose jobs run in this process or its own pools: they work without a folder.
IN_PROCESS = (None, "debug", "threadpool", "processpool")

_VERSION = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,63}")
M = tp.TypeVar("M")


class InfraDict(TypedDict, total=False):
    """`Infra` as a plain dict: any of its settings, none of them required."""

    folder: str | Path | None
    cluster: str | None
    mode: Mode
    keep_in_ram: bool
    version: str
    logs: str | Path
    permissions: int | str | None
    max_jobs: int | None
    min_items_per_job: int
    chunk_size: int
    forbid_single_item_computation: bool
    progress: bool
    allow_pickle: bool
    trusted_users: tuple[str, ...] | list[str]
    lease_s: float
    survive_submitter: bool
    workdir: WorkDir | dict[str, tp.Any] | None  # Any: the fields of a WorkDir, checked when the model is made
    conda_env: str | Path | None
    job_name: str | None
    timeout_min: int | None
    nodes: int | None
    tasks_per_node: int | None
    cpus_per_task: int | None
    gpus_per_node: int | None
    mem_gb: float | None
    max_pickle_size_gb: float
    slurm_constraint: str | None
    slurm_partition: str | None
    slurm_account: str | None
    slurm_qos: str | None
    slurm_use_srun: bool
    slurm_additional_parameters: dict[str, int | str | float | bool] | None
    slurm_setup: list[str] | None
    methods: dict[str, InfraDict]


class Infra(pydantic.BaseModel):
    """Where a model's methods run, and where their results are kept.

    Parameters
    ----------
    folder
        Folder of the cache; ``~`` and variables are expanded, and it is made absolute. None: results live in memory,
        as long as the model does.
    cluster
        None (this process), "threadpool", "processpool", "local" (a process of its own), "slurm", "auto" (Slurm where
        there is one, else "local"), "debug" (here, with the debugger at a failure) or the name of an executor that
        an installed submitit plugin provides.
    mode
        "cached", "retry" (a stored failure is computed again), "force" (computed again once) or "read-only".
    keep_in_ram
        Hand out the same object again instead of reading it anew; its arrays are made read-only.
    version
        The only setting that is part of the uid: change it when the code changes what it computes.
    logs
        Folder of the logs of jobs; ``{folder}`` and ``{user}`` are filled in.
    permissions
        Mode of what is created, eg ``0o775`` or "775"; None follows the umask.
    max_jobs
        Never more jobs, workers or processes at once than this. None: 128 on a cluster, the cores elsewhere.
    min_items_per_job
        Do not split a map into jobs of fewer items.
    chunk_size
        Most items that a map's method is given at once in this process.
    forbid_single_item_computation
        Raise instead of computing a single missing item: a guard for maps that are meant to be computed beforehand.
    progress
        Show progress bars on terminals.
    allow_pickle
        False neither writes nor loads a pickled entry.
    trusted_users
        Users whose pickled entries are loaded, beside this user and root.
    lease_s
        Seconds after which the silence of a computing process on another host counts as its death.
    survive_submitter
        Whether local jobs go on when the submitting process ends.
    workdir
        A copy of code to run the jobs in.
    conda_env, job_name, timeout_min, nodes, tasks_per_node, cpus_per_task, gpus_per_node, mem_gb, max_pickle_size_gb
        What a job asks for; minutes and gigabytes where the name says so.
    slurm_constraint, slurm_partition, slurm_account, slurm_qos, slurm_use_srun, slurm_additional_parameters, slurm_setup
        Passed to Slurm through submitit.
    methods
        Settings by method name, which override all others for that method.
    """

    model_config = pydantic.ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)
    # what was given to this instance, the environment and defaults at that time, and the class's defaults below it
    __slots__ = ("__infra_base__", "__infra_class__", "__infra_given__")
    __infra_given__: dict[str, tp.Any]
    __infra_base__: Mapping[str, tp.Any]
    __infra_class__: Mapping[str, tp.Any]

    folder: Path | None = None
    cluster: str | None = None
    mode: Mode = "cached"
    keep_in_ram: bool = False
    version: str = "0"
    logs: str = "{folder}/logs/{user}"
    permissions: int | None = None
    max_jobs: tp.Annotated[int, pydantic.Field(ge=1)] | None = None
    min_items_per_job: int = pydantic.Field(default=1, ge=1)
    chunk_size: int = pydantic.Field(default=256, ge=1)
    forbid_single_item_computation: bool = False
    progress: bool = True
    allow_pickle: bool = True
    trusted_users: tuple[str, ...] = ()
    lease_s: float = pydantic.Field(default=60.0, gt=0)
    survive_submitter: bool = False
    workdir: WorkDir | None = None
    conda_env: str | None = None
    job_name: str | None = None
    timeout_min: tp.Annotated[int, pydantic.Field(ge=1)] | None = None
    nodes: tp.Annotated[int, pydantic.Field(ge=1)] | None = None
    tasks_per_node: tp.Annotated[int, pydantic.Field(ge=1)] | None = None
    cpus_per_task: tp.Annotated[int, pydantic.Field(ge=1)] | None = None
    gpus_per_node: tp.Annotated[int, pydantic.Field(ge=0)] | None = None
    mem_gb: tp.Annotated[float, pydantic.Field(gt=0)] | None = None
    max_pickle_size_gb: float = pydantic.Field(default=1.0, gt=0)
    slurm_constraint: str | None = None
    slurm_partition: str | None = None
    slurm_account: str | None = None
    slurm_qos: str | None = None
    slurm_use_srun: bool = False
    slurm_additional_parameters: dict[str, int | str | float | bool] | None = None
    slurm_setup: list[str] | None = None
    methods: dict[str, dict[str, tp.Any]] = {}

    if tp.TYPE_CHECKING:

        def __init__(self, **kwargs: tp.Unpack[InfraDict]) -> None: ...

        # For type checkers only: ``infra: Infra`` in a class body reads as an Infra and takes `Infra | InfraDict`.
        def __get__(self, obj: M, owner: type[M] | None = None, /) -> BoundInfra[M]: ...
        def __set__(self, obj: object, value: Infra | InfraDict, /) -> None: ...

    @pydantic.model_validator(mode="before")
    @classmethod
    def _did_you_mean(cls, data: object) -> object:
        if isinstance(data, Mapping):
            unknown = [key for key in data if key not in cls.__pydantic_fields__]
            if unknown:
                raise InfraError(unknown_setting(str(unknown[0])))
        return data

    @pydantic.field_validator("folder", "conda_env", "logs", mode="before")
    @classmethod
    def _expand(cls, value: object, info: pydantic.ValidationInfo) -> object:
        if not isinstance(value, (str, Path)):
            return value
        text = os.path.expandvars(os.path.expanduser(os.fspath(value)))
        return os.path.abspath(text) if info.field_name == "folder" else text

    @pydantic.field_validator("version")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _VERSION.fullmatch(value):
            raise InfraError(
                f"version {value!r} is part of a folder's name: use 1 to 64 letters, digits and '_.+-', not a '.' first"
            )
        return value

    @pydantic.field_validator("permissions", mode="before")
    @classmethod
    def _octal(cls, value: object) -> object:
        value = int(value, 8) if isinstance(value, str) and re.fullmatch("(0o)?[0-7]{3,4}", value) else value
        if isinstance(value, int) and not 0 <= value <= 0o7777:
            raise InfraError(f"permissions {value!r} are no mode of a file: give an octal like 0o775 or '775'")
        return value

    @pydantic.field_validator("trusted_users", mode="before")
    @classmethod
    def _users(cls, value: object) -> object:
        return tuple(value) if isinstance(value, (list, set, frozenset)) else value

    @pydantic.field_validator("methods", mode="before")
    @classmethod
    def _methods(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        for name, settings in value.items():
            if isinstance(settings, Mapping) and {"methods", "version"} & set(settings):
                raise InfraError(f"methods[{name!r}] cannot hold 'methods' or 'version': give them to the whole model")
        return {name: validated(settings, f"methods[{name!r}]") for name, settings in value.items()}

    @pydantic.model_serializer(mode="wrap")
    def _given_only(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, tp.Any]:
        # a dump holds what was given to this model: what its class, the decorators and the environment give is theirs
        # to give again, and would outrank the decorators if it came back as if it had been given here
        given = self.given
        return {key: value for key, value in handler(self).items() if key in given}

    @property
    def given(self) -> dict[str, tp.Any]:  # Any: settings have many types
        """The settings given to this very instance."""
        try:
            return self.__infra_given__
        except AttributeError:
            return {key: self.__dict__[key] for key in self.__pydantic_fields_set__}

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in Infra.__pydantic_fields__:
            with_given = {**self.given, name: self.__dict__[name]}
            object.__setattr__(self, "__infra_given__", with_given)

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if isinstance(other, Infra) else NotImplemented

    def __hash__(self) -> int:
        return hash(json.dumps(self.__dict__, sort_keys=True, default=str))

    def __repr_args__(self) -> tp.Iterator[tuple[str, object]]:
        yield from ((key, value) for key, value in self.__dict__.items() if value != LIBRARY.get(key))

    def __getstate__(self) -> dict[tp.Any, tp.Any]:
        layers = (self.given, getattr(self, "__infra_base__", {}), getattr(self, "__infra_class__", {}))
        return {**super().__getstate__(), "layers": layers}

    def __setstate__(self, state: dict[tp.Any, tp.Any]) -> None:
        state = dict(state)
        layers = state.pop("layers")
        super().__setstate__(state)
        for name, value in zip(("__infra_given__", "__infra_base__", "__infra_class__"), layers, strict=True):
            object.__setattr__(self, name, value)

    def __copy__(self) -> tp.Self:
        out = super().__copy__()
        _set_layers(out, dict(self.given), getattr(self, "__infra_base__", {}), getattr(self, "__infra_class__", {}))
        return out

    def __deepcopy__(self, memo: dict[int, tp.Any] | None = None) -> tp.Self:
        return self.__copy__()  # its values are never changed in place

    def __conf_value__(self) -> dict[str, object]:
        """What a config shows of it: what was given."""
        return dict(self.given)

    def __uid_value__(self) -> dict[str, object]:
        """The version alone counts in a uid."""
        return {"version": self.version}


LIBRARY: dict[str, tp.Any] = {name: info.get_default() for name, info in Infra.__pydantic_fields__.items()}
_ENVIRONMENT = {f"CACHEDMODEL_{name.upper()}": name for name in LIBRARY if name != "version"}
_ENVIRONMENT_KEYS = frozenset(os.fsencode(key) for key in _ENVIRONMENT)
_global_defaults: dict[str, tp.Any] = {}
_defaults: contextvars.ContextVar[dict[str, tp.Any] | None] = contextvars.ContextVar(
    "cachedmodel_defaults", default=None
)


def unknown_setting(name: str, where: str = "infra") -> str:
    """The message for a setting that does not exist."""
    near = difflib.get_close_matches(name, Infra.__pydantic_fields__, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"settings are {', '.join(Infra.__pydantic_fields__)}"
    return f"{where} has no setting {name!r}: {hint}"


def validated(settings: Mapping[str, object] | Infra, where: str) -> dict[str, tp.Any]:
    """Settings given as a dict or an Infra, each validated; only those that were given.

    Raises
    ------
    InfraError
        If a setting does not exist or has a wrong value.
    """
    if isinstance(settings, Infra):
        return dict(settings.given)
    try:
        return dict(Infra.model_validate(dict(settings)).given)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(x) for x in first["loc"])
        raise InfraError(
            f"{where}{f': {place}' if place else ''}: {first['msg'].removeprefix('Value error, ')}"
        ) from None


class defaults:  # used like a function: cm.defaults(folder=...)
    """Defaults for all models made from now on; as a context manager, until its block ends.

    Parameters
    ----------
    **settings
        Any setting of `Infra` but ``version``.

    Examples
    --------
    >>> with defaults(cluster="threadpool"):
    ...     pass
    """

    def __init__(self, **settings: tp.Unpack[InfraDict]) -> None:
        if "version" in settings:
            raise InfraError(
                "version belongs to a class or a model: it is part of the uid, and cannot be a global default"
            )
        self._settings = validated(settings, "defaults")
        self._before = dict(_global_defaults)
        _global_defaults.update(merge(_global_defaults, self._settings))

    def __enter__(self) -> defaults:
        _global_defaults.clear()
        _global_defaults.update(self._before)
        # from here on, for this context alone: other threads and asynchronous tasks do not see it
        self._token = _defaults.set(merge(_defaults.get() or {}, self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        _defaults.reset(self._token)


def merge(under: Mapping[str, tp.Any], over: Mapping[str, tp.Any]) -> dict[str, tp.Any]:
    """One layer of settings over another; dicts merge key by key."""
    out = dict(under)
    for key, value in over.items():
        below = out.get(key)
        out[key] = merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return out


def base() -> Mapping[str, tp.Any]:
    """What the environment and `defaults` give right now."""
    local = _defaults.get()
    environ = getattr(os.environ, "_data", os.environ)  # the bytes behind it: a look at them takes 1 µs instead of 30
    if local is None and not _global_defaults and _ENVIRONMENT_KEYS.isdisjoint(environ):
        return _NOTHING
    given = {name: os.environ[key] for key, name in _ENVIRONMENT.items() if key in os.environ}
    return merge(merge(_from_environment(given), _global_defaults), local or {})


_NOTHING: Mapping[str, tp.Any] = {}


def _from_environment(given: Mapping[str, str]) -> dict[str, tp.Any]:
    out: dict[str, tp.Any] = {}
    for name, text in given.items():
        value: object = text
        if text[:1] in "[{" or text in ("null", "None"):
            try:
                value = None if text == "None" else pydantic_core.from_json(text)
            except ValueError as error:
                raise InfraError(
                    f"CACHEDMODEL_{name.upper()}={text!r} is neither a plain value nor JSON: {error}"
                ) from None
        out[name] = value
    return validated(out, "the environment") if out else out


def resolve(class_defaults: Mapping[str, tp.Any], given: Mapping[str, tp.Any], below: Mapping[str, tp.Any]) -> Infra:
    """The settings of a model: what was given over its class's defaults over the environment's; all are validated."""
    infra = make({**LIBRARY, **merge(merge(below, class_defaults), given)}, dict(given), below, class_defaults)
    check(infra)
    return infra


def for_method(infra: Infra, name: str, decorator: Mapping[str, tp.Any]) -> Infra:
    """The settings in force for one method of a model."""
    class_defaults: Mapping[str, tp.Any] = getattr(infra, "__infra_class__", {})
    layers = merge(getattr(infra, "__infra_base__", {}), class_defaults)
    for layer in (
        class_defaults.get("methods", {}).get(name, {}),
        decorator,
        infra.given,
        infra.given.get("methods", {}).get(name, {}),
    ):
        layers = merge(layers, layer)
    out = make({**LIBRARY, **layers}, dict(infra.given), {}, {})
    check(out, f" (for method {name!r})")
    return out


def make(
    values: dict[str, tp.Any], given: dict[str, tp.Any], below: Mapping[str, tp.Any], cls: Mapping[str, tp.Any]
) -> Infra:
    """An Infra of validated values and the layers they come from."""
    out = Infra.__new__(Infra)
    object.__setattr__(out, "__dict__", values)
    object.__setattr__(out, "__pydantic_fields_set__", set(given))
    object.__setattr__(out, "__pydantic_extra__", None)
    object.__setattr__(out, "__pydantic_private__", None)
    _set_layers(out, given, below, cls)
    return out


def _set_layers(infra: Infra, given: dict[str, tp.Any], below: Mapping[str, tp.Any], cls: Mapping[str, tp.Any]) -> None:
    object.__setattr__(infra, "__infra_given__", given)
    object.__setattr__(infra, "__infra_base__", below)
    object.__setattr__(infra, "__infra_class__", cls)


def check(infra: Infra, where: str = "") -> None:
    """Refuses combinations that cannot work.

    Raises
    ------
    InfraError
        Naming the combination and the remedy.
    """
    values = infra.__dict__
    cluster, folder = values["cluster"], values["folder"]
    if folder is None:
        if cluster not in IN_PROCESS:
            raise InfraError(
                f"cluster={cluster!r} needs a folder{where}: results of jobs travel through the cache; set infra.folder"
            )
        if values["mode"] == "read-only":
            raise InfraError(
                f"mode='read-only' needs a folder{where}: without one there is nothing to read; set infra.folder"
            )
    else:
        check_folder(os.fspath(folder))
    if values["workdir"] is not None and cluster in IN_PROCESS:
        raise InfraError(
            f"workdir needs jobs of their own{where}: set cluster to 'local', 'slurm' or 'auto', not {cluster!r}"
        )
    if values["conda_env"] is not None and cluster in IN_PROCESS:
        raise InfraError(
            f"conda_env needs jobs of their own{where}: set cluster to 'local', 'slurm' or 'auto', not {cluster!r}"
        )


@functools.lru_cache(maxsize=1024)
def _known_good(folder: str) -> bool:
    return _check_folder(folder)


def check_folder(folder: str) -> None:
    """Refuses a folder that can neither be read nor made.

    Raises
    ------
    InfraError
        If neither the folder nor its parent exists, or it is a file.
    """
    _known_good(folder)  # a folder that was fine once is not looked at again: a model must be quick to make


def _check_folder(folder: str) -> bool:
    if os.path.isdir(folder):
        return True
    if os.path.exists(folder):
        raise InfraError(f"folder {folder!r} is a file: give the path of a folder, or of one to be made")
    parent = os.path.dirname(folder)
    if not os.path.isdir(parent):
        raise InfraError(
            f"folder {folder!r} cannot be made: its parent does not exist; make {parent!r} first, or correct the path"
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InfraError(
            f"folder {folder!r} cannot be made: its parent {parent!r} is not writable for user {getpass.getuser()!r}"
        )
    return True


class Resolver:
    """Validates the field ``infra`` of one class: what is given, over the defaults of the class."""

    def __init__(self, class_defaults: Mapping[str, tp.Any]) -> None:
        self.class_defaults = class_defaults
        self._default: tuple[Mapping[str, tp.Any], Infra] | None = None

    def __get_pydantic_core_schema__(
        self, source: object, handler: pydantic.GetCoreSchemaHandler
    ) -> pydantic_core.core_schema.CoreSchema:
        return pydantic_core.core_schema.no_info_after_validator_function(self.resolve, handler(source))

    def resolve(self, infra: Infra) -> Infra:
        """The settings of an instance that was given `infra`."""
        given = infra.given
        passed_on = getattr(infra, "__infra_class__", None)
        if passed_on is self.class_defaults:  # of a model of this class: what held when that was made goes on to hold
            return resolve(self.class_defaults, given, infra.__infra_base__)
        if passed_on is not None:
            # the settings of another model: what it inherited is passed on too, but for the version, which is its own
            inherited = {k: v for k, v in infra.__dict__.items() if v != LIBRARY[k] and k not in ("version", "methods")}
            given = {**inherited, **given}
        return resolve(self.class_defaults, given, base())

    def default(self) -> Infra:
        """The settings of an instance that was given none; shared, as nothing changes an Infra that is not bound."""
        below = base()
        if self._default is None or self._default[0] is not below:
            self._default = below, resolve(self.class_defaults, {}, below)
        return self._default[1]
