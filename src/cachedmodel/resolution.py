"""The settings in force: layers merged when a model is made, and every combination that cannot work refused.

Weakest first: the library's defaults, the environment (``CACHEDMODEL_FOLDER``, ...), `defaults`, the class, the decorator,
the instance, the instance's ``methods``. A None that was given counts as given; dicts merge key by key. What a model was
made with travels with it into jobs.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
import typing as tp
import warnings
from collections.abc import Mapping

import pydantic
import pydantic_core
from pydantic_core import core_schema

from .errors import InfraError
from .executors import check_cluster
from .infra import LIBRARY, Infra, InfraDict, Layers, checked, make, unknown_setting, validated

#: Clusters whose jobs run in this process or its own pools: they work without a folder.
IN_PROCESS = (None, "debug", "threadpool", "processpool")

_Settings = Mapping[str, tp.Any]  # Any: settings have many types
_NOTHING: _Settings = {}
_ENVIRONMENT = {f"CACHEDMODEL_{name.upper()}": name for name in LIBRARY if name != "version"}
_ENVIRONMENT_KEYS = frozenset(os.fsencode(key) for key in _ENVIRONMENT)
_OTHER_VARIABLES = ("CACHEDMODEL_CORES",)
_for_all: list[defaults] = []
_for_all_lock = threading.Lock()


def _renew_lock() -> None:
    """In a forked child: a thread that it does not have may hold it."""
    global _for_all_lock
    _for_all_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
_in_block: contextvars.ContextVar[_Settings] = contextvars.ContextVar("cachedmodel_defaults", default=_NOTHING)


def _warn_of_unknown_variables() -> None:
    for key in os.environ:
        if key.startswith("CACHEDMODEL_") and key not in (*_ENVIRONMENT, *_OTHER_VARIABLES):
            name = key.removeprefix("CACHEDMODEL_").lower()
            text = f"the variable {key} is ignored: {unknown_setting(name, 'the environment')}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)


_warn_of_unknown_variables()


# -- layers -----------------------------------------------------------------------------------------------------------


def merge(under: _Settings, over: _Settings) -> dict[str, tp.Any]:
    """One layer of settings over another; dicts merge key by key."""
    out = dict(under)
    for key, value in over.items():
        below = out.get(key)
        out[key] = merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return out


class defaults:  # used like a function: cm.defaults(folder=...)
    """Defaults for all models made from now on; as a context manager, for those its block makes.

    A block's defaults are those of its thread or asynchronous task alone. Called without ``with``, they hold in the whole
    process.

    Parameters
    ----------
    **settings
        Any setting of `Infra` but ``version``.

    Examples
    --------
    >>> import cachedmodel as cm
    >>> class Training(cm.CachedModel):
    ...     seed: int = 0
    >>> with cm.defaults(cluster="threadpool"):
    ...     xp = Training()
    >>> xp.infra.cluster, Training().infra.cluster
    ('threadpool', None)
    """

    def __init__(self, **settings: tp.Unpack[InfraDict]) -> None:
        if "version" in settings:
            raise InfraError(
                "version belongs to a class or a model: it is part of the uid, and cannot be a global default"
            )
        self._settings = validated(tp.cast("Mapping[str, object]", settings), "defaults")
        check_cluster(self._settings.get("cluster"))
        with _for_all_lock:
            _for_all.append(self)

    def __enter__(self) -> tp.Self:
        with _for_all_lock:
            if self in _for_all:
                _for_all.remove(self)
        self._token = _in_block.set(merge(_in_block.get(), self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        _in_block.reset(self._token)


_last_base: tuple[tuple[object, ...], _Settings] = ((), _NOTHING)


def base() -> _Settings:
    """What the environment and `defaults` give right now; the same object as long as it is the same."""
    global _last_base
    block = _in_block.get()
    environ = getattr(os.environ, "_data", os.environ)  # the bytes behind it: a look at them takes 1 µs instead of 30
    if environ.keys().isdisjoint(_ENVIRONMENT_KEYS):
        if block is _NOTHING and not _for_all:
            return _NOTHING
        given = {}
    else:
        given = {name: os.environ[key] for key, name in _ENVIRONMENT.items() if os.environ.get(key)}
    here = os.getcwd() if "folder" in given else ""
    key = (tuple(given.items()), here, tuple(map(id, _for_all)), id(block), block)
    before, found = _last_base
    if before[:-1] != key[:-1]:  # `block` is in the key so that its id stays its own
        found = _from_environment(given)
        for layer in (*(x._settings for x in list(_for_all)), block):
            found = merge(found, layer)
        _last_base = key, found
    return found


def _from_environment(given: Mapping[str, str]) -> _Settings:
    out: dict[str, object] = {}
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
    return validated(out, "the environment (CACHEDMODEL_...)")


def for_method(infra: Infra, name: str, decorator: _Settings) -> Infra:
    """The settings in force for one method of a model."""
    below, cls = infra.layers or Layers(_NOTHING, _NOTHING)
    values = dict(LIBRARY)
    for layer in (
        below,
        below.get("methods", {}).get(name, _NOTHING),
        cls,
        cls.get("methods", {}).get(name, _NOTHING),
        decorator,
        infra.given,
        infra.given.get("methods", {}).get(name, _NOTHING),
    ):
        if layer:
            values = merge(values, layer)
    values["methods"] = {}
    out = make(values, {key: value for key, value in values.items() if value != LIBRARY[key]}, None)
    check(out, f" (for method {name!r})")
    return out


# -- combinations -----------------------------------------------------------------------------------------------------


def check(infra: Infra, where: str = "") -> None:
    """Refuses combinations that cannot work.

    Raises
    ------
    InfraError
        Naming the combination and the remedy.
    """
    values = infra.__dict__
    cluster, folder = values["cluster"], values["folder"]
    check_cluster(cluster)
    if folder is not None:
        # a folder that was fine once is not looked at again: a model must be quick to make
        _check_folder(os.fspath(folder))
    elif cluster not in IN_PROCESS:
        raise InfraError(
            f"cluster={cluster!r} needs a folder{where}: results of jobs travel through the cache; set infra.folder"
        )
    elif values["mode"] == "read-only":
        raise InfraError(
            f"mode='read-only' needs a folder{where}: without one there is nothing to read; set infra.folder"
        )
    for name in ("workdir", "conda_env"):
        if values[name] is not None and cluster in IN_PROCESS:
            raise InfraError(
                f"{name} needs jobs of their own{where}: set infra.cluster to 'local', 'slurm' or 'auto' instead of "
                f"{cluster!r}, or infra.{name} to None"
            )


@functools.lru_cache(maxsize=1024)
def _check_folder(folder: str) -> None:
    if os.path.isdir(folder):
        return
    if os.path.exists(folder) and not os.path.isdir(folder):  # another thread may just have made it
        raise InfraError(f"folder {folder!r} is a file: give the path of a folder, or of one to be made")
    parent = os.path.dirname(folder)
    if not os.path.isdir(parent):
        raise InfraError(
            f"folder {folder!r} cannot be made: its parent does not exist; make {parent!r} first, or correct the path"
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        import getpass

        raise InfraError(
            f"folder {folder!r} cannot be made: its parent {parent!r} is not writable for user {getpass.getuser()!r}"
        )


# -- the field of a class ---------------------------------------------------------------------------------------------


class _Method(tp.Protocol):
    """What is asked of a decorated method."""

    settings: dict[str, tp.Any]

    def why_not_stored(self, allow_pickle: bool) -> str | None: ...


class Resolver:
    """Validates the field ``infra`` of one class: what is given, over the defaults of the class.

    Attributes
    ----------
    methods
        The class's methods, by name.
    """

    def __init__(self, owner: str, class_defaults: _Settings) -> None:
        self.methods: Mapping[str, _Method] = {}
        self._owner = owner
        self._class_defaults = class_defaults
        self._default: Infra | None = None
        self._seen: dict[tuple[object, ...], Infra] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_default": None, "_seen": {}}

    def validate(self, value: object) -> Infra:
        """The settings of an instance that was given `value`; shared, as nothing changes an Infra that is not bound."""
        if isinstance(value, Infra) and value.layers is None:
            value = value.given
        if type(value) is not dict:
            return self._resolved(value)
        folder = str(value.get("folder") or "/")
        here = "" if folder[:1] in ("/", "~", "$") else os.getcwd()  # where a relative folder is
        key: tuple[object, ...] | None = (*value.items(), *map(type, value.values()), here)  # True == 1 == 1.0
        try:
            found = self._seen.get(tp.cast("tuple[object, ...]", key))
        except TypeError:  # holds dicts
            found = key = None
        if found is None or tp.cast(Layers, found.layers).base is not base():
            found = self._resolved(value)
            if key is not None and _is_lasting(value):
                if len(self._seen) >= 256:
                    self._seen.clear()
                self._seen[key] = found
        return found

    def default(self) -> Infra:
        """The settings of an instance that was given none; shared as well."""
        below = base()
        found = self._default
        if found is None or tp.cast(Layers, found.layers).base is not below:
            found = self._default = self.merged({}, below)
        return found

    def merged(self, given: dict[str, tp.Any], below: _Settings) -> Infra:
        """What was given over the class's defaults over `below`, all validated."""
        values = {**LIBRARY, **merge(merge(below, self._class_defaults), given)}
        infra = make(values, given, Layers(below, self._class_defaults))
        self.check(infra)
        return infra

    def renewed(self, infra: Infra) -> Infra:
        """The settings of a copy: those of the original, and where it was given none, what `base` gives now."""
        layers, now = infra.layers, base()
        if layers is None or not now or now is layers.base:
            return infra
        below = merge(now, layers.base)
        return infra if below == layers.base else self.merged(infra.given, below)

    def check(self, infra: Infra) -> None:
        """Refuses settings that cannot work for the model or one of its methods.

        Raises
        ------
        InfraError
            Naming what cannot work and the remedy.
        """
        check(infra)
        named = infra.__dict__["methods"]
        for name in infra.given.get("methods", ()):
            if name not in self.methods:
                raise InfraError(
                    f"methods names {name!r}, which is no cached method of {self._owner}: "
                    f"it has {', '.join(map(repr, self.methods)) or 'none'}"
                )
        for name, method in self.methods.items():
            settings = for_method(infra, name, method.settings) if method.settings or name in named else infra
            if not settings.allow_pickle and settings.folder is not None:
                reason = method.why_not_stored(allow_pickle=False)
                if reason:
                    raise InfraError(f"results of {self._owner}.{name} cannot be stored: {reason}")

    def _resolved(self, value: object) -> Infra:
        if isinstance(value, Mapping):
            return self.merged(checked(value), base())
        if not isinstance(value, Infra):
            raise InfraError(
                f"infra takes an Infra, or a dict of its settings, not {value!r}: for the defaults leave it out"
            )
        given, layers = dict(value.given), value.layers
        if layers is None:
            return self.merged(given, base())
        if layers.cls == self._class_defaults:  # what held when that model was made goes on to hold
            return self.merged(self._own(given), layers.base)
        # the settings of a model of another class: what those inherited is passed on too, but for the version
        inherited = {k: v for k, v in value.__dict__.items() if v != LIBRARY[k] and k not in ("version", "methods")}
        return self.merged(self._own({**inherited, **given}), base())

    def _own(self, given: dict[str, tp.Any]) -> dict[str, tp.Any]:
        """Settings passed on, without those for methods that this class does not have."""
        if "methods" in given:
            given["methods"] = {name: x for name, x in given["methods"].items() if name in self.methods}
        return given

    # -- what pydantic asks -----------------------------------------------------------------------------------------------

    def __get_pydantic_core_schema__(
        self, source: object, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        # not `handler(source)`, which would build the schema of Infra again for every class
        ser = core_schema.plain_serializer_function_ser_schema(_dumped, info_arg=True)
        return core_schema.no_info_plain_validator_function(self.validate, serialization=ser)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, tp.Any]:
        Infra.model_rebuild()
        named = {**Infra.__pydantic_core_schema__, "ref": f"{Infra.__module__}.{Infra.__qualname__}:0"}
        # within another schema, as a handler makes definitions of what is inside alone
        inside = core_schema.no_info_after_validator_function(self.validate, tp.cast(core_schema.CoreSchema, named))
        return {**handler(inside), "default": pydantic_core.to_jsonable_python(self._class_defaults)}


def _dumped(infra: object, info: core_schema.SerializationInfo) -> object:
    """A dump holds what was given; see the serializer of `Infra`."""
    if not isinstance(infra, Infra):
        return infra
    include, exclude = info.include, tp.cast("set[str] | dict[str, object] | None", info.exclude)
    if isinstance(exclude, dict):
        exclude = {key for key, what in exclude.items() if what is True or what is ...}
    return {
        key: value
        for key, value in infra.given.items()
        if (include is None or key in include) and (exclude is None or key not in exclude)
    }


def _is_lasting(settings: _Settings) -> bool:
    """True if settings mean the same whenever they are given in one directory: they name no user or variable."""
    return all("$" not in str(value) and "~" not in str(value) for value in settings.values())
