"""A method on an instance: its settings, its uid, its folder, and the work that the engine does for it."""

from __future__ import annotations

import functools
import os
import threading
import typing as tp
import warnings
from collections.abc import Iterable, Iterator, Sequence

from . import config as _config
from . import identity as _identity
from . import uid as _uid
from .cache import Cache, Options, baseline, files
from .confdict import ConfDict
from .errors import UidError
from .identity import Baseline, Identity
from .infra import Infra
from .provenance import Provenance
from .resolution import for_method
from .state import state_of
from .submission import forget_job, is_job_alive
from .work import Memory, Work

if tp.TYPE_CHECKING:
    from .methods import Method
    from .model import CachedModel

#: Of the name of a method in folders, whose version (64 characters) and hash come on top: names of files end at 255 bytes.
_MOST_NAME = 150
_baselines: dict[str, Baseline] = {}
_baselines_lock = threading.RLock()


@functools.lru_cache(maxsize=4096)
def _todays(cls: tp.Hashable, _: Method) -> Baseline:
    """The defaults of today's code, which count where there is no folder."""
    return Baseline()


class Stored:
    """What an entry keeps of its configuration: found out before something is computed, since a hit does not need it."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @functools.cached_property
    def _bytes(self) -> bytes:
        return self._identity.stored()

    def __call__(self) -> bytes:
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stored) and other._identity.complete == self._identity.complete

    def __hash__(self) -> int:
        return hash(self._identity.complete)


def rebind(model: CachedModel, owner: type, name: str) -> Bound:
    """The bound method of a model that came by pickle."""
    method: Method = owner.__dict__[name]
    return method.bind(model)


class Bound:
    """What `BoundTask` and `BoundMap` share.

    Parameters
    ----------
    method
        The decorated method.
    model
        The instance it is bound to.
    """

    single: tp.ClassVar[bool]

    def __init__(self, method: Method, model: CachedModel) -> None:
        self._method = method
        self._model = model
        self._memory = Memory()
        self._settings: Infra | None = None
        self._known: Identity | None = None
        self._work_now: Work | None = None
        self.__doc__ = method.__doc__
        self.__name__: str = method.name
        self.__wrapped__: tp.Any = method.func.__get__(model)

    def __reduce__(self) -> tuple[tp.Any, ...]:
        return rebind, (self._model, self._method.owner, self._method.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name} of {self._model!r}>"

    # -- what users ask ------------------------------------------------------------------------------------------------

    @property
    def infra(self) -> Infra:
        """The settings in force for this method."""
        if self._settings is None:
            settings = for_method(self._model.infra, self._method.name, self._method.settings)
            if settings.mode == "force" and state_of(self._model).arrived:
                settings.__dict__["mode"] = "cached"
            self._settings = settings
        return self._settings

    def uid(self) -> str:
        """The name of this configuration among all for this method: "default" if nothing differs from the defaults.

        Raises
        ------
        UidError
            If a field cannot be told apart faithfully, or changed in place since the uid was computed.
        """
        return self._identity().uid

    def uid_folder(self, create: bool = False) -> os.PathLike[str] | None:
        """The folder of the results of this configuration; None without ``infra.folder``.

        Parameters
        ----------
        create
            Make it now, with its configuration files, instead of at the first computation.
        """
        from pathlib import Path

        if self.infra.folder is None:
            return None
        work = self._settle() if create else self._work()
        assert work.cache is not None
        return Path(work.cache.folder)

    def config(self, uid: bool = True, exclude_defaults: bool = False) -> ConfDict:
        """The configuration as a `ConfDict`.

        Parameters
        ----------
        uid
            Only the fields that count in the uid.
        exclude_defaults
            Of those, only what differs from the defaults that count; implies `uid`.
        """
        if exclude_defaults:
            return _config.different(self._identity().shown, self._exclude())
        return _config.counted(self._model, self._exclude()) if uid else _config.whole(self._model)

    def iter_cached(self) -> Iterator[tp.Any]:  # Any: the model's own type, which infra.iter_cached() knows
        """Models of this class whose results are stored beside this one's, with this one's settings."""
        folder = self._method_folder()
        if folder is None:
            return
        for name in sorted(os.listdir(folder) if os.path.isdir(folder) else ()):
            path = os.path.join(folder, name, "config.yaml")
            if name.startswith(".") or not os.path.isfile(path):
                continue
            if self.single and not os.path.isfile(os.path.join(folder, name, "entry")):
                continue
            try:
                conf = ConfDict.from_yaml(os.path.abspath(path)).to_dict()
                conf["infra"] = self._model.infra
                yield type(self._model).model_validate(conf, by_name=True)
            except ValueError as error:
                warnings.warn(
                    f"{path} is no configuration of today's {type(self._model).__name__}, and was left out: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )

    # -- identity ------------------------------------------------------------------------------------------------------

    @property
    def _owner(self) -> type[CachedModel]:
        """The class that the entries are filed under: the model's own, or the parent's for ``super().method()``."""
        cls = type(self._model)
        return cls if cls.__cached_methods__.get(self._method.name) is self._method else self._method.owner

    @property
    def _name(self) -> str:
        module = "" if self._owner.__module__ == "__main__" else f"{self._owner.__module__}."
        return f"{module}{self._owner.__qualname__}.{self._method.name}"

    @property
    def _path(self) -> str:
        """What tells the method from those of all other classes."""
        return f"{_uid.class_path(self._owner).replace(':', '.')}.{self._method.name}"

    def _exclude(self) -> frozenset[str]:
        return frozenset(("infra", *self._method.excluded(self._model)))

    def _method_folder(self) -> str | None:
        infra = self.infra
        if infra.folder is None:
            return None
        name = _uid.clean(self._path, _MOST_NAME)
        if name != self._path:  # cut, or with letters that no file name should have: the hash tells it from others
            name = f"{name}-{_uid.digest(self._path.encode())}"
        return os.path.join(infra.folder, f"{name},{infra.version}")

    def _baseline(self) -> Baseline:
        folder = self._method_folder()
        if folder is None:
            return _todays(tp.cast("tp.Hashable", self._owner), self._method)
        with _baselines_lock:
            if folder not in _baselines:
                _baselines[folder] = Baseline(baseline.load(folder))
            return _baselines[folder]

    def _identity(self) -> Identity:
        """The identity, checked against the model if something in it can change in place."""
        if self._known is None:
            exclude = self._exclude()
            known = _identity.identify(self._model, self._baseline(), exclude)
            if self._owner is not type(self._model):  # the parent's method may call what this class overrides
                tag = _uid.class_path(type(self._model))
                encoding = _uid.canonical([known.uid, tag])
                known.rename(_uid.text(f"{type(self._model).__name__},{known.uid}", encoding))
            self._known = known
            state_of(self._model).frozen = True
        elif self._known.mutable:
            self._check_unchanged()
        return self._known

    def _check_unchanged(self) -> None:
        assert self._known is not None
        if not self._known.is_unchanged():
            raise UidError(
                f"a field of {type(self._model).__name__} changed in place since the uid {self._known.uid!r} of its method "
                f"{self._method.name!r} was computed: change a copy instead, with infra.clone_obj(...)"
            )

    # -- work ----------------------------------------------------------------------------------------------------------

    def _compute(self, items: list[tp.Any]) -> Iterable[object]:  # Any: the user's items
        raise NotImplementedError  # by BoundTask and BoundMap

    def _work(self) -> Work:
        identity = self._identity()
        if self._work_now is None:
            cache = self._cache(identity)
            self._work_now = Work(
                name=self._name,
                place=f"memory {id(self._memory)}" if cache is None else cache.folder,
                scope=f"memory {self._path} {identity.uid}" if cache is None else cache.folder,
                infra=self.infra,
                is_task=self.single,
                compute=self._compute,
                memory=self._memory,
                cache=cache,
                settle=self._settle,
                unchanged=self._check_unchanged,
            )
        return self._work_now

    def _cache(self, identity: Identity) -> Cache | None:
        folder, infra = self._method_folder(), self.infra
        if folder is None:
            return None
        root = os.fspath(infra.folder) if infra.folder is not None else folder
        options = Options(
            codec=self._method.codec,
            allow_pickle=infra.allow_pickle,
            trusted_users=infra.trusted_users,
            permissions=infra.permissions,
            lease_s=infra.lease_s,
            identity=Stored(identity),
            accept=identity.agrees,
            job_alive=functools.partial(is_job_alive, root),
            provenance=Provenance.of(type(self._model).__module__),
        )
        return Cache.open(os.path.join(folder, identity.uid), root, single=self.single, options=options)

    def _settle(self) -> Work:
        """The work once its folder is there, with the defaults that count and the configuration in it."""
        folder = self._method_folder()
        if folder is None:
            return self._work()
        self._agree_on_defaults(folder)
        work = self._work()
        assert work.cache is not None
        self._describe(work.cache.folder)
        work.cache.options.header_identity()  # now: the method may change the model
        return work

    def _agree_on_defaults(self, folder: str) -> None:
        while True:
            known = self._baseline()
            fresh = dict(known.fresh)  # other threads may add to them meanwhile
            there = baseline.extend(folder, known.known, fresh, self.infra.permissions)
            if all(known.known.get(path, digest) == digest for path, digest in there.items()):
                known.known.update(there)
                for path in fresh:
                    known.fresh.pop(path, None)
                return
            with _baselines_lock:  # another process saw other defaults first: those count
                _baselines[folder] = Baseline(there)
            self._known = self._work_now = None
            self._identity()

    def _describe(self, folder: str) -> None:
        """Writes what the folder is about, for people; nothing is read back from it but by `iter_cached`."""
        if os.path.exists(os.path.join(folder, "uid.yaml")):
            return
        permissions = self.infra.permissions
        files.make_folder(folder, permissions)
        identity = self._identity()
        for name, conf in (
            ("config.yaml", self.config(uid=False)),
            ("full-uid.yaml", self.config()),
            ("uid.yaml", _config.different(identity.shown, self._exclude())),
        ):
            files.publish(os.path.join(folder, name), [conf.to_yaml().encode()], permissions)

    def _provenance(self, key: str) -> dict[str, object] | None:
        cache = self._work().cache
        return None if cache is None else cache.provenance(key)

    def _clear(self, keys: Sequence[str] | None) -> None:
        """Forgets the outcomes of some items, or of all."""
        work = self._work()
        work.clear(keys)
        if self.single and work.cache is not None:
            forget_job(work.cache.folder)

    def forget(self) -> None:
        """Drops what depends on settings that were changed."""
        self._settings = self._work_now = self._known = None
        self._memory = Memory()
