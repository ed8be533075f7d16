"""Simple configurations are written without a YAML library, and as one writes them."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import pathlib
import re
import types
import typing as tp

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cachedmodel as cm
from cachedmodel import confsimple, confyaml
from cachedmodel.confkeys import escape
from cachedmodel.confplain import plain

words = st.one_of(
    st.sampled_from(
        ["a", "true", "No", "null", "on", "y", "/tmp/a-b", "a/b.c", "-", "_", "1", "1e3", "a b", "a:", ".inf", ""]
    ),
    st.text(alphabet="aEeno_/.-+0179: #~'\"\n=<é", max_size=6),
)
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([0.0, -0.0, 1e16, 1e-5, 123456.789, 2**200]))
scalars = st.one_of(st.none(), st.booleans(), numbers, words)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(scalars, max_size=3), st.lists(numbers, max_size=3), st.dictionaries(words, inner, max_size=3)
    ),
    max_leaves=8,
)


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


class Color(enum.IntEnum):
    RED = 1


class Named(pydantic.BaseModel):
    name: str = "a"
    count: int = 1


#: What has to be made plain first.
others = st.one_of(
    scalars,
    words.map(pathlib.PurePosixPath),
    words.map(pathlib.Path),
    st.sampled_from([Color.RED, b"", b"a", datetime.date(2024, 1, 1), np.float64(0.5), np.int64(3), np.array([1, 2])]),
    st.sampled_from([decimal.Decimal(1), Named(), Named(name="null"), pydantic.SecretStr("a"), 1j, print, int]),
)
configurations = st.recursive(
    others,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(numbers, max_size=3),
        st.dictionaries(words, inner, max_size=3),
        st.dictionaries(words, inner, max_size=3).map(types.MappingProxyType),
        st.dictionaries(words, inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(words, inner, max_size=3).map(cm.ConfDict.from_nested),
        st.dictionaries(others.filter(_is_hashable), inner, max_size=2),
    ),
    max_leaves=8,
)


@given(st.dictionaries(words, values, min_size=1, max_size=4))
def test_the_text_is_that_of_a_library(value: dict[str, tp.Any]) -> None:
    """Whatever it writes is what the library writes, to the letter."""
    text = confsimple.dumps(value)

    assert text is None or text == confyaml.dumps(plain(value, escape))


@given(st.dictionaries(words, configurations, max_size=4))
def test_what_is_not_plain_is_made_so(value: dict[str, tp.Any]) -> None:
    """Without a first look at all of it; what is refused then is refused here."""
    try:
        expected = confyaml.dumps(plain(value, escape))
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            confsimple.text(value)
        return

    assert confsimple.text(value) == confsimple.text(cm.ConfDict.from_nested(value)) == expected


@given(
    st.dictionaries(st.sampled_from(["a", "b_c"]), st.one_of(st.none(), st.booleans(), st.integers(-9, 9)), min_size=1)
)
def test_the_simplest_are_written(value: dict[str, tp.Any]) -> None:
    """Names and small numbers need no library."""
    assert confsimple.dumps(value) == confyaml.dumps(value)


@pytest.mark.parametrize("value", [{}, [], 1, {"a b": 1}, {"a": "b c"}, {"a": ["b"]}, {"a": 1e300}, {1: 2}, {"a": b""}])
def test_all_else_is_left_to_the_library(value: object) -> None:
    """It declines what it does not know for sure."""
    assert confsimple.dumps(value) is None
