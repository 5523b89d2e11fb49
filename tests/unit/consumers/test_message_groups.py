"""The groups of messages that are handled in one transaction, or in one call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import Message
from messagedb._consumers.handler_registry import Dispatch, HandlerCall
from messagedb._consumers.held_streams import HeldStreams
from messagedb._consumers.message_groups import (
    MAX_TRANSACTION_SECONDS,
    GroupPlanner,
    limit_seconds,
)
from messagedb.testing import make_message


def single(context: Any) -> None:
    """Stand for a handler of one message."""


def batch(context: Any) -> None:
    """Stand for a batch handler of two types."""


def other_batch(context: Any) -> None:
    """Stand for another batch handler."""


HANDLERS: dict[str, HandlerCall] = {"S": single, "A": batch, "B": batch, "O": other_batch}
DISPATCH = Dispatch(HANDLERS, None, frozenset([batch, other_batch]))


def page(types: str) -> list[Message[Any]]:
    """Make messages of these types; ``.`` is a type without a handler."""
    return [make_message("account-1", name, global_position=n + 1) for n, name in enumerate(types)]


def plan(types: str, size: int | None, start: int = 0) -> list[str]:
    """Return the types of each call of the first group."""
    messages = page(types)
    calls = GroupPlanner(DISPATCH, size, HeldStreams()).plan(messages, start)
    for call in calls:
        assert {HANDLERS[message.type] for message in call.messages} == {call.invoke}
    return ["".join(message.type for message in call.messages) for call in calls]


@pytest.mark.parametrize(
    ("types", "size", "expected"),
    [
        ("SSS", None, ["S"]),
        ("SSS", 1, ["S"]),
        ("SSS", 2, ["S", "S"]),
        ("S.S.S", 3, ["S", "S", "S"]),
        ("S..", 3, ["S"]),
        ("ABA", None, ["ABA"]),
        ("ABA", 1, ["A"]),
        ("ABA", 2, ["AB"]),
        ("A.B.SA", None, ["AB"]),
        ("A.B.SA", 9, ["AB", "S", "A"]),
        ("AOOA", None, ["A"]),
        ("AOOA", 3, ["A", "OO"]),
        ("SAA", None, ["S"]),
        ("SAA", 2, ["S", "A"]),
    ],
)
def test_a_group(types: str, size: int | None, expected: list[str]) -> None:
    assert plan(types, size) == expected


def test_a_group_begins_anywhere() -> None:
    assert plan("SSABS", 9, 2) == ["AB", "S"]
    assert plan("SSABS", None, 4) == ["S"]


@given(st.text("SABO.", max_size=30), st.none() | st.integers(1, 10))
def test_all_groups_together_are_the_handled_messages_in_order(
    types: str, size: int | None
) -> None:
    messages, planner = page(types), GroupPlanner(DISPATCH, size, HeldStreams())
    seen: list[Message[Any]] = []
    index = 0
    while index < len(messages):
        if planner.find_handler(messages[index]) is None:
            index += 1
            continue
        calls = planner.plan(messages, index)
        group = [message for call in calls for message in call.messages]
        assert group
        assert len(calls) == 1 if size is None else len(group) <= size
        seen += group
        index = group[-1].global_position
    assert seen == [message for message in messages if message.type in HANDLERS]


def test_a_transaction_ends_long_before_its_timeout() -> None:
    assert limit_seconds(30.0) == MAX_TRANSACTION_SECONDS
    assert limit_seconds(0.02) == 0.01
