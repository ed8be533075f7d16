"""Values of every kind that needs no package but numpy, nested in each other: strategies for Hypothesis."""

from __future__ import annotations

import collections
import decimal
import typing as tp

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.codecs.classes import Color, Frozen, Pair, Permission, Plain

Strategy = st.SearchStrategy[tp.Any]

scalars: Strategy = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 300), 1 << 300),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters()),  # lone surrogates, too
    st.text(min_size=250, max_size=300),
    st.binary(),
    st.binary(min_size=250, max_size=300),
)
moments: Strategy = st.one_of(
    st.dates(),
    st.times(timezones=st.none() | st.timezones()),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.timedeltas(),
)
numbers: Strategy = st.one_of(st.decimals(), st.fractions(), st.uuids())
members: Strategy = st.one_of(st.sampled_from(Color), st.builds(Permission, st.integers(0, 7)))


def _is_hashable(value: object) -> bool:
    return not (isinstance(value, decimal.Decimal) and value.is_snan())


hashables: Strategy = st.recursive(
    scalars | moments | numbers.filter(_is_hashable) | members,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.frozensets(inner, max_size=4),
        st.builds(Frozen, inner, inner),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=6,
)

dtypes: Strategy = hnp.scalar_dtypes() | hnp.nested_dtypes(max_itemsize=200)
arrays: Strategy = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
views: Strategy = st.one_of(
    arrays,
    arrays.map(np.transpose),
    arrays.map(lambda array: array[..., ::-1] if array.ndim else array),
    arrays.map(lambda array: np.moveaxis(array, 0, -1) if array.ndim else array),
)
numpy_scalars: Strategy = hnp.scalar_dtypes().flatmap(lambda dtype: hnp.arrays(dtype, ())).map(lambda array: array[()])


def containers(inner: Strategy) -> Strategy:
    """Containers of the values of a strategy."""
    few = st.lists(inner, max_size=4)
    items = st.dictionaries(hashables, inner, max_size=4)
    return st.one_of(
        few,
        few.map(tuple),
        few.map(collections.deque),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
        items,
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        items.map(collections.OrderedDict),
        items.map(lambda mapping: collections.defaultdict(list, mapping)),
        st.builds(Plain, inner, inner),
        st.builds(Pair, inner, inner),
        few.map(_objects),
    )


def _objects(values: list[tp.Any]) -> np.ndarray[tp.Any, tp.Any]:
    array = np.empty(len(values), object)
    for index, value in enumerate(values):
        array[index] = value
    return array


values: Strategy = st.recursive(
    scalars | moments | numbers | members | views | numpy_scalars | st.binary().map(bytearray),
    containers,
    max_leaves=10,
)
