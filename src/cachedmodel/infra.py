"""Where to run and where to keep results: values only, each checked by itself.

What comes of them for a model is decided in `resolution`.
"""

import copy
import os
import re
import typing as tp
from collections.abc import Mapping
from pathlib import Path

import pydantic
from typing_extensions import TypedDict

from .errors import InfraError
from .workdir import WorkDir

if tp.TYPE_CHECKING:
    from .bound import BoundInfra
    from .model import CachedModel

# Annotations are no strings here: evaluating forty of them would take a good part of the time to import the package.

Mode = tp.Literal["cached", "retry", "force", "read-only"]

_VERSION = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,63}")
M = tp.TypeVar("M", bound="CachedModel")


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
    methods: "dict[str, InfraDict]"


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
        Seconds after which the silence of a computing process on another host counts as its death, and after which items of
        a map whose iterator nobody advances are free for others.
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

    # deferred: building a schema takes as long as importing all of the package
    model_config: tp.ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(
        extra="forbid", validate_assignment=True, hide_input_in_errors=True, defer_build=True
    )
    __slots__ = ("__infra_derived__", "__infra_given__", "__infra_layers__")
    __infra_derived__: dict[tp.Hashable, tp.Any]
    __infra_given__: dict[str, tp.Any]
    __infra_layers__: "Layers | None"

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
        @tp.overload
        def __get__(self, obj: M, owner: type[M] | None = None, /) -> "BoundInfra[M]": ...
        @tp.overload
        def __get__(self, obj: object, owner: type | None = None, /) -> tp.Self: ...
        def __get__(self, obj: object, owner: type | None = None, /) -> tp.Any: ...  # Any: as the overloads say
        def __set__(self, obj: object, value: "Infra | InfraDict", /) -> None: ...

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
        return _expanded_folder(value) if info.field_name == "folder" else _expanded(value)

    @pydantic.field_validator("logs")
    @classmethod
    def _is_template(cls, value: str) -> str:
        if set(re.findall(r"{(.*?)}", value)) - {"folder", "user"}:
            raise InfraError(f"logs {value!r} is no folder's name: only {{folder}} and {{user}} are filled in")
        return value

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
        if isinstance(value, str):
            raise InfraError(f"trusted_users={value!r} is one text: give a list of names, as [{value!r}]")
        return tuple(value) if isinstance(value, list) else value

    @pydantic.field_validator("methods", mode="before")
    @classmethod
    def _methods(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        for name, settings in value.items():
            if not isinstance(settings, Mapping):
                raise InfraError(
                    f"methods[{name!r}] is {settings!r}: give a dict of settings, as {{{name!r}: {{'cluster': None}}}}"
                )
            if {"methods", "version"} & set(settings):
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

    @property
    def layers(self) -> "Layers | None":
        """What it was merged from, if it is that of a model."""
        return getattr(self, "__infra_layers__", None)

    @property
    def derived(self) -> dict[tp.Hashable, tp.Any]:  # Any: whatever that is
        """What others found out about settings that are these, to be kept as long as nothing changes them."""
        try:
            return self.__infra_derived__
        except AttributeError:
            object.__setattr__(self, "__infra_derived__", {})
            return self.__infra_derived__

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in Infra.__pydantic_fields__:
            given = {**self.given, name: self.__dict__[name]}
            object.__setattr__(self, "__infra_given__", given)
            object.__setattr__(self, "__infra_derived__", {})

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if isinstance(other, Infra) else NotImplemented

    def __hash__(self) -> int:
        values = self.__dict__  # some of them: the others may be dicts, or rarely differ
        return hash((values["folder"], values["cluster"], values["mode"], values["version"]))

    def __repr_name__(self) -> str:
        return "Infra"

    def __repr_args__(self) -> tp.Iterator[tuple[str, object]]:
        usual = {**LIBRARY, **self.layers.cls} if self.layers else LIBRARY
        yield from ((key, value) for key, value in self.__dict__.items() if value != usual.get(key))

    def __reduce_ex__(self, protocol: tp.SupportsIndex) -> tuple[tp.Any, ...]:
        return make, (dict(self.__dict__), dict(self.given), self.layers)  # no longer bound to a model

    def __copy__(self) -> "Infra":  # a copy of what is bound to a model is not
        return make(dict(self.__dict__), dict(self.given), self.layers)

    def __deepcopy__(self, memo: dict[int, tp.Any] | None = None) -> "Infra":
        return make(copy.deepcopy(self.__dict__, memo), copy.deepcopy(self.given, memo), self.layers)

    def model_copy(self, *, update: Mapping[str, tp.Any] | None = None, deep: bool = False) -> "Infra":
        """A copy that belongs to no model, with some settings updated.

        Parameters
        ----------
        update
            Settings, which are validated and count as given.
        deep
            Whether values are copied too.
        """
        out = self.__deepcopy__() if deep else self.__copy__()
        changes = validated(update or {}, "infra")
        out.__dict__.update(changes)
        out.__pydantic_fields_set__.update(changes)
        out.given.update(changes)
        return out

    def __conf_value__(self) -> dict[str, object]:
        """What a config shows of it: what was given."""
        return dict(self.given)

    def __uid_value__(self) -> dict[str, object]:
        """The version alone counts in a uid."""
        return {"version": self.version}


class Layers(tp.NamedTuple):
    """What the settings of a model were merged from, below what was given to it.

    Attributes
    ----------
    base
        What the environment and `defaults` gave when the model was made.
    cls
        The defaults of its class.
    """

    base: Mapping[str, tp.Any]
    cls: Mapping[str, tp.Any]


LIBRARY: dict[str, tp.Any] = {name: info.get_default() for name, info in Infra.__pydantic_fields__.items()}
#: The settings that may be a dict or a list.
_CHANGEABLE = ("slurm_additional_parameters", "slurm_setup", "methods")


def _expanded(value: str | Path) -> str:
    return os.path.expandvars(os.path.expanduser(os.fspath(value)))


def _expanded_folder(value: str | Path) -> str:
    text = _expanded(value)
    if not text:
        raise InfraError("folder '' is no path: give one, or None to keep results in memory only")
    return os.path.abspath(text)


_FLAGS = frozenset(name for name, value in LIBRARY.items() if type(value) is bool)
_TEXTS = frozenset(("cluster", "job_name", "slurm_constraint", "slurm_partition", "slurm_account", "slurm_qos"))
_COUNTS = frozenset(
    ("max_jobs", "min_items_per_job", "chunk_size", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task")
)
_PATHS = (str, type(Path()))


def checked(settings: Mapping[str, object]) -> dict[str, tp.Any]:
    """Settings, each validated: what is obviously right without the schema, which takes ten milliseconds to build.

    Raises
    ------
    pydantic.ValidationError
        If a setting has a wrong value.
    InfraError
        If a setting does not exist.
    """
    out: dict[str, tp.Any] = {}
    for name, value in settings.items():
        if not _is_right(name, value):
            return Infra.model_validate(dict(settings)).given
        is_path = name == "folder" and value is not None
        out[name] = Path(_expanded_folder(tp.cast("str | Path", value))) if is_path else value
    return out


def _is_right(name: str, value: object) -> bool:
    """True if a value surely is one that the setting can have, and stays as it is."""
    if value is None:
        return name in LIBRARY and LIBRARY[name] is None
    if name in _FLAGS:
        return type(value) is bool
    if name in _COUNTS:
        return type(value) is int and 1 <= value < 1 << 62
    if name == "folder":
        return type(value) in _PATHS and (text := str(value)) != "" and text.isascii() and "$" not in text
    if type(value) is not str or not value.isascii():
        return False
    if name == "mode":
        return value in tp.get_args(Mode)
    return bool(_VERSION.fullmatch(value)) if name == "version" else name in _TEXTS


def own(infra: Infra) -> dict[str, tp.Any]:
    """Its values, so that no change in place of one is seen in the other."""
    values = infra.__dict__.copy()
    for name in _CHANGEABLE:
        value = values[name]
        if value is not None:
            values[name] = copy.deepcopy(value) if value else type(value)()
    return values


def make(values: dict[str, tp.Any], given: dict[str, tp.Any], layers: Layers | None) -> Infra:
    """An Infra of validated values."""
    out = Infra.__new__(Infra)
    fill(out, values, given, layers)
    return out


def fill(infra: Infra, values: dict[str, tp.Any], given: dict[str, tp.Any], layers: Layers | None) -> None:
    """Gives a bare Infra its validated values."""
    put = object.__setattr__
    put(infra, "__dict__", values)
    put(infra, "__pydantic_fields_set__", set(given))
    put(infra, "__pydantic_extra__", None)
    put(infra, "__pydantic_private__", None)
    put(infra, "__infra_given__", given)
    put(infra, "__infra_layers__", layers)


def unknown_setting(name: str, where: str = "infra") -> str:
    """The message for a setting that does not exist."""
    import difflib  # for messages alone

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
    if not settings:
        return {}
    try:
        return dict(checked(settings))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(x) for x in first["loc"])
        wrong = first["input"]
        hint = f", not {wrong!r}: write '{wrong}'" if first["type"] == "string_type" else ""
        raise InfraError(
            f"{where}{f': {place}' if place else ''}: {first['msg'].removeprefix('Value error, ')}{hint}"
        ) from None
