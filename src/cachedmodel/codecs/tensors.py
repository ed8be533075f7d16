"""torch: dense tensors and parameters on the CPU, dtypes, devices and sizes.

Only a tensor's own elements are stored, whatever it is a view of, and two views of the same memory come back as two.
The order of the axes in memory stays if there are no gaps. Tensors on other devices, sparse or quantized ones, and
those that are results of recorded operations are declined.
"""

from __future__ import annotations

import importlib
import typing as tp

from .arrays import count_of
from .base import Declined
from .kinds import Kind, State, expect

# Any: checked the same whether torch is installed or not.
torch: tp.Any = importlib.import_module("torch")


def find(cls: type) -> Kind | None:
    """The kind of the instances of `cls`."""
    return _KIND_OF.get(cls)


def _reduce_tensor(tensor: tp.Any) -> State:
    reason = _why_not_dense(tensor)
    if reason is not None:
        raise Declined(reason)
    plain = tensor.detach().resolve_conj().resolve_neg()
    axes, dense = _layout(plain)
    name = str(plain.dtype).removeprefix("torch.")
    try:
        content = dense.reshape(-1).view(torch.uint8).numpy().data if plain.numel() else memoryview(b"")
    except (RuntimeError, TypeError) as error:
        raise Declined(f"is a tensor of the dtype {name}") from error
    is_parameter = type(tensor) is torch.nn.Parameter
    return name, tuple(plain.shape), axes, content, bool(tensor.requires_grad), is_parameter


def _why_not_dense(tensor: tp.Any) -> str | None:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return "is a tensor that is not dense"
    if tensor.device.type != "cpu":
        return f"is a tensor on the device {tensor.device}: use .cpu()"
    if tensor.grad_fn is not None or tensor.grad is not None:
        return "is a tensor with gradients: use .detach()"
    if vars(tensor) or tensor._backward_hooks or any(getattr(tensor, "names", ())):
        return "is a tensor with attributes, hooks or names"
    return None


def _restore_tensor(state: State, views: bool) -> object:
    name, shape, axes, content, requires_grad, is_parameter = state
    dtype = _dtype(name)
    if count_of(shape) * dtype.itemsize != len(content):
        raise ValueError("a tensor has another size than its shape says")
    axes = axes or tuple(range(len(shape)))
    if sorted(axes) != list(range(len(shape))):
        raise ValueError("the axes of a tensor are malformed")
    tensor = torch.empty([shape[axis] for axis in axes], dtype=dtype)
    if len(content):
        tensor.reshape(-1).view(torch.uint8).numpy().data[:] = content
    tensor = tensor.permute([axes.index(axis) for axis in range(len(axes))])
    if is_parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad)


def _layout(tensor: tp.Any) -> tuple[tuple[int, ...], tp.Any]:
    """The order of the axes in memory (empty: C order), and the tensor with its axes in that order, contiguous."""
    if tensor.is_contiguous():
        return (), tensor
    axes = tuple(sorted(range(tensor.ndim), key=lambda axis: -tensor.stride(axis)))
    dense = tensor.permute(axes)
    return (axes, dense) if dense.is_contiguous() else ((), tensor.contiguous())


def _dtype(name: object) -> tp.Any:
    dtype = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(dtype, torch.dtype) or str(dtype).startswith("torch.q"):  # quantized
        raise ValueError(f"unknown dtype {name!r}")
    return dtype


def _restore_size(state: State, views: bool) -> object:
    return torch.Size(expect(state[0], tuple))


def _restore_device(state: State, views: bool) -> object:
    return torch.device(expect(state[0], str))


_TENSOR = Kind("torch.tensor", _reduce_tensor, _restore_tensor)
_DTYPE = Kind("torch.dtype", lambda value: (str(value).removeprefix("torch."),), lambda state, views: _dtype(*state))
_DEVICE = Kind("torch.device", lambda value: (str(value),), _restore_device)
_SIZE = Kind("torch.size", lambda value: (tuple(value),), _restore_size, atom=False)
KINDS = (_TENSOR, _DTYPE, _DEVICE, _SIZE)
_KIND_OF: dict[type, Kind] = {
    torch.Tensor: _TENSOR,
    torch.nn.Parameter: _TENSOR,
    torch.dtype: _DTYPE,
    torch.device: _DEVICE,
    torch.Size: _SIZE,
}
