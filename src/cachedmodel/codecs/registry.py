"""Which codec takes which value: the tree, then pickle; users' codecs before both.

Names are written on disk. ``codec=`` accepts them without their number too: ``"tree"`` is the newest tree.
"""

from __future__ import annotations

from collections.abc import Callable

from cachedmodel.errors import CacheError

from . import encoders
from .base import Codec, Declined, Payload, PickleRefusedError
from .objects import MEMMAP, SCALARS, TREE, dump_tree, load_tree
from .pickles import PICKLE, dump_pickle, load_pickle
from .writer import ENCODERS, name_of

_ALIASES = {"tree": TREE, "memmap": MEMMAP, "pickle": PICKLE}
_BUILT_IN: dict[str, Callable[[object], Payload]] = {
    TREE: dump_tree,
    MEMMAP: lambda value: dump_tree(value, MEMMAP),
    PICKLE: dump_pickle,
}
_codecs: dict[str, Codec] = {}
_unpickling: set[str] = set()
_codec_of: dict[type, Codec] = {}


def dump(value: object, codec: str | None = None, *, allow_pickle: bool = True) -> Payload:
    """The value as bytes.

    Parameters
    ----------
    value
        Anything.
    codec
        Name of the only codec to ask. By default, the first one that gives back exactly this value: the user's codec
        of its type, the tree, pickle.
    allow_pickle
        False to refuse pickle, anywhere inside the value.

    Raises
    ------
    CacheError
        If the value cannot be stored by `codec`, or at all.
    PickleRefusedError
        If it needs pickle, which is not allowed; a `CacheError`.

    Examples
    --------
    >>> payload = dump({"loss": [0.5, 0.25], "epoch": 2})
    >>> payload.codec, payload.pickled
    ('tree1', False)
    >>> load(payload.codec, memoryview(b"".join(payload.parts)))
    {'loss': [0.5, 0.25], 'epoch': 2}
    """
    if codec is None:
        scalar = SCALARS.get(type(value))
        if scalar is not None:
            return scalar(value)
        return _dump_first(value, allow_pickle)
    payload = _dump_named(value, known(codec))
    if payload.pickled and not allow_pickle:
        raise PickleRefusedError(f"codec {codec!r} pickles, and allow_pickle=False: use another codec")
    return payload


def load(codec: str, payload: memoryview, *, allow_pickle: bool = True) -> object:
    """The value that `dump` made bytes of.

    Parameters
    ----------
    codec
        The name that came with the payload.
    payload
        The concatenated parts.
    allow_pickle
        False to never run what a pickle says, whatever the bytes are.

    Raises
    ------
    PickleRefusedError
        If loading may unpickle, and that is not allowed; a `CacheError`.
    CacheError
        If the codec is not known, or a class or package that the value needs cannot be found.
    ValueError
        If the bytes are malformed.
    """
    if codec in (TREE, MEMMAP):
        try:
            return load_tree(payload, allow_pickle, _load_part, codec == MEMMAP)
        except (CacheError, ValueError):
            raise
        except Exception as error:  # whatever malformed bytes lead to
            raise ValueError(f"malformed value: {type(error).__name__}: {error}") from error
    return _load_named(codec, payload, allow_pickle)


def register_codec(codec: Codec, *types: type, unpickles: bool = False) -> None:
    """Makes a codec known: it is tried first for these types, and by its name for any.

    Parameters
    ----------
    codec
        An object with a name and the methods `dump` and `load`; see `Codec`. Its name is written on disk. Register it
        wherever values are read, jobs included: beside the class that it is for.
    types
        Exact types, without their subclasses, that it is tried first for, also inside containers.
    unpickles
        True if `load` may run code that the bytes name; it is then refused under ``allow_pickle=False``.

    Raises
    ------
    ValueError
        If the name is taken by another codec, or if a type is a scalar, which always has the shortest form.
    """
    other = _codecs.get(codec.name)
    if codec.name in _ALIASES or codec.name in _BUILT_IN or (other is not None and type(other) is not type(codec)):
        raise ValueError(f"a codec named {codec.name!r} exists already: choose another name")
    for cls in types:
        if cls in SCALARS:
            raise ValueError(f"codec {codec.name!r} cannot take over {cls.__name__}: wrap it in a class of your own")
    _codecs[codec.name] = codec
    if unpickles:
        _unpickling.add(codec.name)
    for cls in types:
        _codec_of[cls] = codec
        ENCODERS[cls] = encoders.encoder_with(codec, encoders.BUILT_IN.get(cls))


def registered_for(cls: type) -> bool:
    """True if a user's codec is tried first for this type."""
    return cls in _codec_of


def built_in(name: str) -> bool:
    """True if the codec of this name is ours."""
    return name in _BUILT_IN


def known(codec: str) -> str:
    """The name on disk of a codec; raises `CacheError` if there is none."""
    name = _ALIASES.get(codec, codec)
    if name not in _BUILT_IN and name not in _codecs:
        names = ", ".join(map(repr, sorted({*_ALIASES, *_codecs})))
        raise CacheError(
            f"codec {codec!r} is not known here (known: {names}): register it with cachedmodel.register_codec, "
            "in a module that is imported wherever the cache is used"
        )
    return name


def _dump_first(value: object, allow_pickle: bool) -> Payload:
    codec = _codec_of.get(type(value))
    if codec is not None:
        payload = codec.dump(value)
        if payload is not None and (allow_pickle or not payload.pickled):
            return payload
    try:
        payload = dump_tree(value)
        if allow_pickle or not payload.pickled:
            return payload
        raise Declined("has a part whose codec pickles")
    except Declined as declined:
        if not allow_pickle:
            raise PickleRefusedError(
                f"a value of type {name_of(type(value))} can only be stored by pickle, and allow_pickle=False: "
                f"{declined.where()} {declined.reason}; return something simpler, register a codec for it "
                "(cachedmodel.register_codec) or set allow_pickle=True"
            ) from None
    try:
        return dump_pickle(value)
    except Declined as declined:
        raise CacheError(
            f"a value of type {name_of(type(value))} cannot be stored: it {declined.reason}; return something else, "
            "or register a codec for it (cachedmodel.register_codec)"
        ) from declined.__cause__


def _dump_named(value: object, name: str) -> Payload:
    built_in = _BUILT_IN.get(name)
    try:
        if built_in is not None:
            return built_in(value)
        payload = _codecs[name].dump(value)
        if payload is None:
            raise Declined("is not a value that it takes")
        return payload
    except Declined as declined:
        raise CacheError(
            f"codec {name!r} cannot store a value of type {name_of(type(value))}: "
            f"{declined.where()} {declined.reason}; use codec=None, which finds a codec that can"
        ) from declined.__cause__


def _load_named(codec: str, payload: memoryview, allow_pickle: bool) -> object:
    if not allow_pickle and (codec == PICKLE or codec in _unpickling):
        raise PickleRefusedError(
            f"loading a value of the codec {codec!r} may run code, and pickle is not allowed here: "
            "set allow_pickle=True if you trust whoever wrote it"
        )
    load_payload = load_pickle if codec == PICKLE else _codecs[known(codec)].load
    try:
        return load_payload(payload.toreadonly())
    except CacheError:
        raise
    except Exception as error:
        raise ValueError(f"codec {codec!r} cannot load a value: {type(error).__name__}: {error}") from error


def _load_part(codec: str, payload: memoryview, allow_pickle: bool) -> object:
    # No tree of ours holds a pickle: it would escape those who look at the name of the payload.
    if codec in _BUILT_IN:
        raise ValueError(f"a part of a value cannot have the codec {codec!r}")
    return _load_named(codec, payload, allow_pickle)
