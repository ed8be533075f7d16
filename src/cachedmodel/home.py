"""A method of a class under some settings: what all models that have them share, found out once."""

from __future__ import annotations

import functools
import os
import threading
import typing as tp

from . import uid as _uid
from .cache import baseline
from .classpath import class_path
from .differing import Baseline
from .infra import Infra
from .mainmodule import MAIN
from .provenance import Provenance
from .resolution import for_method
from .submission import is_job_alive

if tp.TYPE_CHECKING:
    from .methods import Method
    from .model import CachedModel

#: Of the name of a method in folders, whose version (64 characters) and hash come on top: names of files end at 255 bytes.
_MOST_NAME = 150
_baselines: dict[str, Baseline] = {}
_baselines_lock = threading.RLock()


class Home:
    """A method of a class under some settings.

    Parameters
    ----------
    method
        The decorated method.
    cls
        The class of the models.
    infra
        Their settings.
    arrived
        Whether they came by pickle: ``mode="force"`` was for the sender to do.

    Attributes
    ----------
    infra
        The settings in force for the method; shared, so never to be changed.
    owner
        The class that the entries are filed under: the model's own, or the parent's for ``super().method()``.
    name
        The method, for messages.
    path
        What tells the method from those of all other classes.
    root, folder
        The folder of the cache, and that of the method in it; None if results are not stored.
    exclude
        Names of the fields that do not count; None if each model says so itself.
    """

    __slots__ = ("cls", "exclude", "folder", "infra", "is_alive", "method", "name", "owner", "path", "root")

    def __init__(self, method: Method, cls: type[CachedModel], infra: Infra, arrived: bool) -> None:
        self.cls: type[CachedModel] = cls
        self.method: Method = method
        self.infra: Infra = for_method(infra, method.name, method.settings)
        if arrived and self.infra.mode == "force":
            self.infra.__dict__["mode"] = "cached"
        self.owner: type[CachedModel] = _owner(method, cls)
        self.name: str = name_of(method, cls)
        self.path: str = f"{class_path(self.owner).replace(':', '.')}.{method.name}"
        names = method.fixed_exclude
        self.exclude: frozenset[str] | None = None if names is None else frozenset(("infra", *names))
        self.root: str = "" if self.infra.folder is None else os.fspath(self.infra.folder)
        self.folder: str | None = self._folder() if self.root else None
        self.is_alive: tp.Callable[[str, str, float], bool | None] = functools.partial(is_job_alive, self.root)

    def _folder(self) -> str:
        name = _uid.clean(self.path, _MOST_NAME)
        if name != self.path:  # cut, or with letters that no file name should have: the hash tells it from others
            name = f"{name}-{_uid.digest(self.path.encode())}"
        return os.path.join(self.root, f"{name},{self.infra.version}")

    def excluded(self, model: CachedModel) -> frozenset[str]:
        """Names of the fields of a model that do not count."""
        return frozenset(("infra", *self.method.excluded(model))) if self.exclude is None else self.exclude

    def provenance(self) -> Provenance:
        """Where the code of the class comes from."""
        return Provenance.of(self.cls.__module__)

    def baseline(self) -> Baseline:
        """The defaults first seen for the method."""
        folder = self.folder
        if folder is None:
            return _todays(tp.cast("tp.Hashable", self.owner), self.method)
        found = _baselines.get(folder)
        if found is None:
            with _baselines_lock:
                found = _baselines.get(folder)
                if found is None:
                    found = _baselines[folder] = Baseline(baseline.load(folder))
        return found

    def agree_on_defaults(self) -> bool:
        """Keeps the defaults that are new; False if another process saw others first, which count from now on."""
        assert self.folder is not None
        known = self.baseline()
        fresh = dict(known.fresh)  # other threads may add to them meanwhile
        there = baseline.extend(self.folder, known.known, fresh, self.infra.permissions)
        if all(known.known.get(path, digest) == digest for path, digest in there.items()):
            known.known.update(there)
            for path in fresh:
                known.fresh.pop(path, None)
            return True
        with _baselines_lock:
            _baselines[self.folder] = Baseline(there)
        return False


def _owner(method: Method, cls: type[CachedModel]) -> type[CachedModel]:
    return cls if cls.__cached_methods__.get(method.name) is method else method.owner


def name_of(method: Method, cls: type[CachedModel]) -> str:
    """The name of a method of a class, for messages."""
    owner = _owner(method, cls)
    module = "" if owner.__module__ in MAIN else f"{owner.__module__}."
    return f"{module}{owner.__qualname__}.{method.name}"


@functools.lru_cache(maxsize=4096)
def _todays(cls: tp.Hashable, _: Method) -> Baseline:
    """The defaults of today's code, which count where there is no folder."""
    return Baseline()


def home_of(method: Method, model: CachedModel, arrived: bool) -> Home:
    """That of a method on a model."""
    key = method, type(model), arrived
    try:
        found: Home = model.__dict__["infra"].__infra_derived__[key]
    except (AttributeError, KeyError):
        infra = model.__dict__.get("infra")
        if not isinstance(infra, Infra) or infra.layers is None:  # by model_construct, which validates nothing
            infra = model.infra
        found = infra.derived[key] = Home(*key[:2], infra, arrived)
    return found
