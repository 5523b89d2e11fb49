"""The contents of the last record of a position stream."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import Message, PositionConflictError
from messagedb._consumers.position_records import (
    group_resized_error,
    parse_position,
    position_conflict_error,
)
from messagedb.testing import make_message

NAME = "account:position-x"


def record(data: Any, type_name: str = "Recorded", metadata: Any = None) -> Message[Any]:
    return make_message(NAME, type_name, data, metadata, position=7, global_position=99)


@pytest.mark.parametrize(
    ("data", "position"),
    [
        ({"position": 11}, 11),
        ({"position": 0}, 0),
        ({"position": 11, "member": 0, "other": {"a": None}}, 11),
        ({"position": None}, None),
        ({"other": 1}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_record_by_eventide_s_rules(data: Any, position: int | None) -> None:
    """Unlike thalo-rs: neither the record's own position nor its global one."""
    assert parse_position(record(data), NAME) == position
    assert parse_position(record(data, metadata={"schemaVersion": "1"}), NAME) == position


@pytest.mark.parametrize("type_name", ["recorded", "Position", "position", "GlobalPositionSaved"])
def test_another_type_is_none(type_name: str) -> None:
    with pytest.raises(PositionConflictError, match="another process writes to this stream"):
        parse_position(record({"position": 11}, type_name), NAME)


@pytest.mark.parametrize("value", ["11", 1.5, True, [], {}])
def test_a_position_must_be_an_integer(value: Any) -> None:
    with pytest.raises(PositionConflictError, match="instead of a position"):
        parse_position(record({"position": value}), NAME)


def test_a_group_that_was_given_another_size_is_told() -> None:
    with pytest.raises(PositionConflictError, match="group_size=4"):
        parse_position(record({"position": 11, "resizedTo": 4}), NAME)


def test_the_errors_name_what_is_there_and_the_cure() -> None:
    assert "last saved none, but 5 is stored now" in str(position_conflict_error(NAME, None, 5))
    assert "last saved 5, but none is stored now" in str(position_conflict_error(NAME, 5, None))
    assert "last saved 0, but 5 is stored now" in str(position_conflict_error(NAME, 0, 5))
    for error in (position_conflict_error(NAME, 1, 2), group_resized_error(NAME, 3)):
        assert isinstance(error, PositionConflictError)
        assert repr(NAME) in str(error)
