"""The end of several categories: what was there, and what came to light behind it."""

from __future__ import annotations

from typing import Any

from messagedb import Message
from messagedb._subscriptions.end_of_store import StoreEnd
from messagedb.testing import make_message


def message(stream_name: str, position: int) -> Message[Any]:
    """Make a message at a global position."""
    return make_message(stream_name, "Noted", global_position=position)


def test_the_position_is_before_the_first_that_could_not_be_seen() -> None:
    end = StoreEnd({"a": 3, "b": 7}, 9)
    assert end.get_heads(["a", "c"]) == {"a": 3, "c": 0}
    assert end.compute_position(None) == 9
    assert end.compute_position(12) == 9
    assert end.compute_position(5) == 4


def test_only_messages_before_the_end_are_skipped() -> None:
    end = StoreEnd({"a": 3, "b": 7}, 9)
    there = [message("a-1", 3), message("b-1", 6), message("b", 7)]
    late = [message("a-2", 5), message("c-1", 8)]
    later = [message("a-1", 10), message("b-1", 11)]
    given = sorted(there + late + later, key=lambda each: each.global_position)
    assert end.select_later_messages(given) == late + later
    assert end.select_later_messages(later) is later
    assert end.select_later_messages([]) == []
