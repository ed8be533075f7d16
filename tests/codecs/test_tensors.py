"""torch tensors on the CPU."""

from __future__ import annotations

import typing as tp
from collections.abc import Sequence

import pytest

from cachedmodel.codecs import PickleRefusedError, dump, load
from tests.codecs.exactness import exactly_equal
from tests.codecs.roundtrip import again, join
from tests.conformance import CodecTests

torch: tp.Any = pytest.importorskip("torch")

DTYPES = [
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"),
]


class TestTensors(CodecTests):
    """Tensors in the tree."""

    codec = "tree1"

    def values(self) -> Sequence[object]:
        matrix = torch.arange(12.0).reshape(3, 4)
        return [
            matrix,
            matrix.T,
            matrix[1:, ::2],
            matrix.to(torch.bfloat16),
            torch.tensor(1.5),
            torch.zeros(0, 3),
            torch.tensor([float("nan"), -0.0, float("inf")], dtype=torch.float16),
            torch.tensor([1 + 2j]).conj(),
            torch.tensor([True, False]),
            torch.zeros(1, 3, 4, 5).to(memory_format=torch.channels_last),
            torch.ones(2).expand(3, 2),
            torch.ones(2, requires_grad=True),
            torch.nn.Parameter(torch.ones(2, 3)),
            torch.nn.Parameter(torch.ones(2), requires_grad=False),
            torch.float32,
            torch.Size([1, 2]),
            torch.device("cuda:1"),
            {"state": {"weight": matrix, "bias": [torch.zeros(100)]}, torch.Size([1]): torch.float16},
        ]

    def declined(self) -> Sequence[object]:
        leaf = torch.ones(2, requires_grad=True)
        marked = torch.ones(2)
        marked.note = "more"
        return [torch.ones(2).to_sparse(), torch.empty(2, device="meta"), leaf * 2, marked, torch.nn.Linear(1, 1)]


class TestMemmap(TestTensors):
    """Tensors are copied, as torch knows none that cannot be written."""

    codec = "memmap1"


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_comes_back_exactly(name: str) -> None:
    """Tensors of arbitrary bytes come back, bfloat16 and floats of eight bits too."""
    dtype = getattr(torch, name)
    tensor = torch.arange(4 * dtype.itemsize, dtype=torch.uint8).view(dtype)

    assert exactly_equal(again([tensor])[0], tensor)


def test_only_the_elements_of_a_view_are_stored() -> None:
    """A slice does not carry along its storage."""
    large = torch.zeros(1000, 1000)

    assert len(join(dump(large[:3, :5]))) < 200


def test_memory_order_stays() -> None:
    """Transposed tensors and those in channels-last order keep their strides."""
    for tensor in (torch.zeros(3, 4).T, torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)):
        assert again(tensor).stride() == tensor.stride()


def test_loaded_tensors_are_writable_and_independent() -> None:
    """A tensor of a payload that cannot be written can be."""
    payload = dump(torch.zeros(10_000))
    data = join(payload)
    back: tp.Any = load(payload.codec, data)
    back += 1

    assert exactly_equal(load(payload.codec, data), torch.zeros(10_000))


def test_parameters_and_sharing_stay() -> None:
    """A parameter is one, can be trained, and two references to it stay one."""
    weight = torch.nn.Parameter(torch.ones(3))
    back = again({"a": weight, "b": weight})
    (back["a"] * 2).sum().backward()

    assert back["a"] is back["b"]
    assert back["a"].grad.tolist() == [2.0, 2.0, 2.0]


def test_state_dicts_come_back_whole() -> None:
    """The state of a module comes back without pickle, with what torch notes beside it."""
    state = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).state_dict()
    back = again(state)

    assert exactly_equal(back, state)
    assert back._metadata == state._metadata


def test_messages_say_what_to_do() -> None:
    """The remedy stands in the message."""
    leaf = torch.ones(2, requires_grad=True)
    with pytest.raises(PickleRefusedError, match=r"value\['x'\] is a tensor with gradients: use .detach\(\)"):
        dump({"x": leaf * 2}, allow_pickle=False)
    with pytest.raises(PickleRefusedError, match=r"is a tensor on the device meta: use .cpu\(\)"):
        dump([torch.empty(2, device="meta")], allow_pickle=False)
