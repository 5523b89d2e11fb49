"""Checks of single arguments: what passes, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb._argument_checks import (
    check_int64,
    check_integer,
    check_seconds,
    check_string,
    is_storable,
)
from messagedb._errors import ValidationError
from messagedb._sql.statements import array_literal


@pytest.mark.parametrize("value", [1, 5, 2**63 - 1])
def test_an_integer_in_range_passes(value: int) -> None:
    check_integer("limit", value, least=1)
    check_int64("limit", value)


@pytest.mark.parametrize("value", [0, True, 1.0, "1", None])
def test_an_integer_out_of_range_or_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="limit must be an integer of at least 1, not "):
        check_integer("limit", value, least=1)


def test_an_integer_above_the_most_is_refused() -> None:
    with pytest.raises(ValidationError, match="limit must be an integer of at most 7, not 8"):
        check_integer("limit", 8, least=1, most=7)
    with pytest.raises(ValidationError, match="fit in 64 bits"):
        check_int64("position", 2**63)


@pytest.mark.parametrize("value", [0.001, 1, 2_000_000])
def test_seconds_in_range_pass(value: float) -> None:
    check_seconds("timeout", value)


@pytest.mark.parametrize("value", [0, 2_000_001, True, "1", None, float("nan")])
def test_seconds_out_of_range_are_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"timeout must be seconds between 0\.001 and"):
        check_seconds("timeout", value)


@pytest.mark.parametrize("value", ["", "plain", "größe", "\U0001f600"])
def test_a_string_that_postgresql_can_store_passes(value: str) -> None:
    assert is_storable(value)
    check_string("type", value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "must be "),
        (b"bytes", "must be "),
        ("a\0b", "must not contain a NUL character"),
        ("a\ud83d", "contains a lone surrogate"),
        ("\ud83d\0", "must not contain a NUL character"),
    ],
)
def test_another_string_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=f"type {reason}"):
        check_string("type", value)


@pytest.mark.parametrize(
    ("values", "literal"),
    [
        ([], "{}"),
        ([1, -2], '{"1","-2"}'),
        (["a,b", 'c"d', "e\\f", "{}", "NULL", ""], '{"a,b","c\\"d","e\\\\f","{}","NULL",""}'),
    ],
)
def test_an_array_literal_quotes_its_elements(values: Any, literal: str) -> None:
    assert array_literal(values) == literal
