"""Hypothesis strategies for data and metadata that are accepted, and so must read back equal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_SPECIAL_TEXT = ("\\u0000", "\\\\u0000", "1e16", '"', "\\", "\x7f", "\u2028", "😀", "e16}", "é")


def texts() -> SearchStrategy[str]:
    """Text that PostgreSQL can hold, with what JSON escapes and what looks like JSON in it."""
    pieces = st.one_of(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
        st.sampled_from(_SPECIAL_TEXT),
    )
    return st.lists(pieces, max_size=3).map("".join)


def numbers() -> SearchStrategy[Any]:
    """Integers of any size and finite floats, with those at the edges of what formats can hold."""
    return st.one_of(
        st.integers(),
        st.integers(-(10**80), 10**80),
        st.sampled_from((2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1)),
        # Made late: as an element of the strategy it would be in every one of its reprs.
        st.just(4300).map(lambda digits: 10**digits - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from((1e15, 1e16, 1e22, 1e23, -1e16, 1.7976931348623157e308, 5e-324, -0.0)),
        st.integers(-(10**18), 10**18).map(float),
    )


def decimals() -> SearchStrategy[Decimal]:
    """Finite Decimals, integral ones and such with long tails included."""
    return st.one_of(
        st.decimals(allow_nan=False, allow_infinity=False),
        st.sampled_from(
            tuple(map(Decimal, ("0", "-0", "5", "1.10", "1E+5", "1E+5000", "0E-30", "1E-16383")))
        ),
    )


def _objects(numbers: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    leaves = st.one_of(st.none(), st.booleans(), numbers, texts())
    values = st.recursive(
        leaves,
        lambda children: st.one_of(
            st.lists(children, max_size=4), st.dictionaries(texts(), children, max_size=4)
        ),
        max_leaves=12,
    )
    return st.dictionaries(texts(), values, max_size=5)


def json_objects() -> SearchStrategy[dict[str, Any]]:
    """Data that a write accepts without options."""
    return _objects(numbers())


def json_objects_with_decimals() -> SearchStrategy[dict[str, Any]]:
    """Data that a write accepts with ``decimals=True``; no floats, which read back as Decimals."""
    return _objects(st.one_of(st.integers(), decimals()))
