"""What nothing else can hold: (cloud)pickle, protocol 5. Codec ``pickle1``; loading it may run any code.

A payload is the number of buffers and the sizes of the pickle and of each buffer (8 bytes each, little-endian), the
pickle, and the buffers, each at the next offset that is a multiple of 64: arrays are copied neither into the pickle nor
out of it.
"""

from __future__ import annotations

import io
import struct
import types
import typing as tp

from cachedmodel.errors import CacheError
from cachedmodel.mainmodule import by_value

from .base import ALIGNMENT, Buffer, Declined, Payload

if tp.TYPE_CHECKING:
    import pickle

PICKLE = "pickle1"
_MAX_BUFFERS = 1 << 20


def dump_pickle(value: object) -> Payload:
    """The value as a pickle; raises `Declined` if it cannot be pickled."""
    if isinstance(value, types.ModuleType):
        raise Declined("is a module")
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        """False, which means out of band, where the buffer is contiguous."""
        try:
            buffers.append(buffer.raw())
        except BufferError:
            return True
        return False

    stream = io.BytesIO()
    try:
        _pickler(stream, keep).dump(value)
    except Exception as error:  # whatever the value's own reduction raises
        raise Declined(f"cannot be pickled ({type(error).__name__}: {error})") from error
    data = stream.getbuffer()
    sizes = [len(buffers), len(data), *map(len, buffers)]
    parts: list[Buffer] = [struct.pack(f"<{len(sizes)}Q", *sizes), data]
    end = 8 * len(sizes) + len(data)
    for buffer in buffers:
        padding = -end % ALIGNMENT
        parts += bytes(padding), buffer
        end += padding + len(buffer)
    return Payload(PICKLE, parts, pickled=True)


def load_pickle(payload: memoryview) -> object:
    """The value of a pickle."""
    count = struct.unpack_from("<Q", payload)[0]
    if count > _MAX_BUFFERS:
        raise ValueError("a count is out of range")
    size, *sizes = struct.unpack_from(f"<{1 + count}Q", payload, 8)
    start = 8 * (2 + count)
    end = start + size
    buffers = []
    for length in sizes:
        offset = end + -end % ALIGNMENT
        end = offset + length
        if end > len(payload):
            raise ValueError("the payload is too short")
        # Writable, as what was pickled in band would be.
        buffers.append(bytearray(payload[offset:end]))
    if end != len(payload):
        raise ValueError("the payload has another size than it says")
    from .mainclasses import loads

    try:
        return loads(payload[start : start + size], buffers=buffers)
    except Exception as error:
        raise CacheError(
            f"a pickled value cannot be loaded ({type(error).__name__}: {error}): "
            "its classes may have moved or changed since it was stored"
        ) from error


def _pickler(stream: io.BytesIO, keep: tp.Callable[[pickle.PickleBuffer], bool]) -> pickle.Pickler:
    import pickle

    class Pickler(by_value().Pickler):  # type: ignore[misc]  # it is not annotated
        """Refuses what cloudpickle would replace: open files by their text, views of memory by bytes."""

        def reducer_override(self, obj: object) -> tp.Any:
            if isinstance(obj, io.IOBase) and not isinstance(obj, io.BytesIO | io.StringIO):
                raise pickle.PicklingError("an open file cannot be stored")
            if isinstance(obj, memoryview):
                raise pickle.PicklingError("a memoryview cannot be stored")
            return super().reducer_override(obj)

    return tp.cast(pickle.Pickler, Pickler(stream, protocol=5, buffer_callback=keep))
