"""A method on an instance: its settings, its uid, its folder, and the work that the engine does for it."""

from __future__ import annotations

import os
import types
import typing as tp
import warnings
from collections.abc import Iterable, Iterator, Sequence

from . import config as _config
from . import uid as _uid
from .cache import Cache, Options, files
from .classpath import class_path
from .confdict import ConfDict
from .errors import UidError
from .home import Home, home_of, name_of
from .identity import Identity
from .infra import Infra, make, own
from .state import states
from .submission import forget_job
from .work import Memory, Work

if tp.TYPE_CHECKING:
    from .methods import Method
    from .model import CachedModel


class Stored:
    """What an entry keeps of its configuration: found out before something is computed, since a hit does not need it."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._bytes: bytes | None = None

    def __call__(self) -> bytes:
        if self._bytes is None:  # no functools.cached_property: a fork may find the lock that it has in Python 3.11
            self._bytes = self._identity.stored()
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

    # found out when they are asked for: many a model is made for its uid alone
    _home_now: Home | None = None
    _settings: Infra | None = None
    _known: Identity | None = None
    _work_now: Work | None = None
    _memory_now: Memory | None = None
    #: What a call may hand out at once.
    _kept: tp.Mapping[str, object] = types.MappingProxyType({})

    def __init__(self, method: Method, model: CachedModel) -> None:
        self._method = method
        self._model = model
        self.__doc__ = method.__doc__

    @property
    def __name__(self) -> str:
        return self._method.name

    @property
    def __wrapped__(self) -> tp.Any:  # Any: the user's own function
        return self._method.func.__get__(self._model)

    def __reduce__(self) -> tuple[tp.Any, ...]:
        return rebind, (self._model, self._method.owner, self._method.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {name_of(self._method, type(self._model))} of {self._model!r}>"

    # -- what users ask ------------------------------------------------------------------------------------------------

    @property
    def infra(self) -> Infra:
        """The settings in force for this method."""
        if self._settings is None:
            shared = self._home().infra
            self._settings = make(own(shared), dict(shared.given), None)
            self._drop_work()
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

        if self._home().folder is None:
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
            return _config.different(self._identity().shown(), self._exclude())
        return _config.counted(self._model, self._exclude()) if uid else _config.whole(self._model)

    def iter_cached(self) -> Iterator[tp.Any]:  # Any: the model's own type, which infra.iter_cached() knows
        """Models of this class whose results are stored beside this one's, with this one's settings."""
        folder = self._home().folder
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

    def _home(self) -> Home:
        """What is the same for all models of this class with these settings."""
        if self._home_now is None:
            self._home_now = home_of(self._method, self._model, states.of(self._model).arrived)
        return self._home_now

    def _exclude(self) -> frozenset[str]:
        return self._home().excluded(self._model)

    def _identity(self) -> Identity:
        """The identity, checked against the model if something in it can change in place."""
        known = self._known
        if known is None:
            return self._identified(self._home())
        if known.mutable:
            self._check_unchanged(known)
        return known

    def _identified(self, home: Home) -> Identity:
        model = self._model
        known = Identity(model, home.baseline(), home.excluded(model))
        if home.owner is not home.cls:  # the parent's method may call what this class overrides
            encoding = _uid.canonical([known.uid, class_path(home.cls)])
            known.rename(_uid.text(f"{home.cls.__name__},{known.uid}", encoding))
        self._known = known
        states.of(model).frozen = True
        return known

    def _check_unchanged(self, known: Identity | None = None) -> None:
        known = known or self._known
        assert known is not None
        if not known.is_unchanged():
            raise UidError(
                f"a field of {type(self._model).__name__} changed in place since the uid {known.uid!r} of its method "
                f"{self._method.name!r} was computed: change a copy instead, with infra.clone_obj(...)"
            )

    # -- work ----------------------------------------------------------------------------------------------------------

    def _compute(self, items: list[tp.Any]) -> Iterable[object]:  # Any: the user's items
        raise NotImplementedError  # by BoundTask and BoundMap

    @property
    def _memory(self) -> Memory:
        if self._memory_now is None:
            self._memory_now = Memory()
        return self._memory_now

    def _work(self) -> Work:
        identity = self._identity()
        work = self._work_now
        if work is None:
            home, memory = self._home(), self._memory
            cache = self._cache(home, identity)
            work = self._work_now = Work(
                name=home.name,
                place=f"memory {id(memory)}" if cache is None else cache.folder,
                scope=f"memory {home.path} {identity.uid}" if cache is None else cache.folder,
                infra=home.infra if self._settings is None else self._settings,
                is_task=self.single,
                compute=self._compute,
                memory=memory,
                cache=cache,
                settle=self._settle,
                unchanged=self._check_unchanged,
            )
            if self._settings is None and home.infra.mode != "force" and work.keep is not None:
                self._kept = memory.results
        return work

    def _drop_work(self) -> None:
        """Has the work made anew."""
        self._work_now = None
        self._kept = types.MappingProxyType({})

    def _cache(self, home: Home, identity: Identity) -> Cache | None:
        if home.folder is None:
            return None
        infra = home.infra
        options = Options(
            codec=self._method.codec,
            allow_pickle=infra.allow_pickle,
            trusted_users=infra.trusted_users,
            permissions=infra.permissions,
            lease_s=infra.lease_s,
            identity=Stored(identity),
            accept=identity.agrees,
            job_alive=home.is_alive,
            provenance=home.provenance(),
        )
        return Cache.open(f"{home.folder}/{identity.uid}", home.root, single=self.single, options=options)

    def _settle(self) -> Work:
        """The work once its folder is there, with the defaults that count and the configuration in it."""
        home = self._home()
        if home.folder is None:
            return self._work()
        while True:
            work = self._work()
            assert work.cache is not None
            files.refuse_links(home.root, work.cache.folder)
            if home.agree_on_defaults():
                break
            self._known = None
            self._drop_work()
        self._describe(work.cache.folder)
        work.cache.options.header_identity()  # now: the method may change the model
        return work

    def _describe(self, folder: str) -> None:
        """Writes what the folder is about, for people; nothing is read back from it but by `iter_cached`."""
        if os.path.exists(os.path.join(folder, "uid.yaml")):
            return
        permissions = self._home().infra.permissions
        files.make_folder(folder, permissions)
        identity = self._identity()
        for name, text in _config.files(self._model, identity.shown(), self._exclude()):
            files.publish(os.path.join(folder, name), [text.encode()], permissions)

    def _provenance(self, key: str) -> dict[str, object] | None:
        cache = self._work().cache
        return None if cache is None else cache.provenance(key)

    def _clear(self, keys: Sequence[str] | None) -> None:
        """Forgets the outcomes of some items, or of all."""
        work = self._work()
        if work.cache is not None:
            files.refuse_links(work.cache.root, work.cache.folder)
        work.clear(keys)
        if self.single and work.cache is not None:
            forget_job(work.cache.folder)

    def forget(self) -> None:
        """Drops what depends on settings that were changed."""
        self._home_now = self._settings = self._known = self._memory_now = None
        self._drop_work()
