"""The memory of a consumer for the pages that it has read."""

from __future__ import annotations

import pytest

from messagedb._operations.scan_results import ScannedPage
from messagedb._subscriptions.read_trail import ReadMessage, ReadTrail, find_last_common_position
from messagedb.testing import make_message


def page(first: int, count: int, history: int = 1) -> ScannedPage:
    """Return a page of so many messages, whose ids are their positions."""
    positions = range(first, first + count)
    messages = [make_message("a-1", "Tested", position=n, global_position=n) for n in positions]
    ids = [str(n) for n in positions]
    return ScannedPage(messages, positions[-1], count, False, ids[-1], ids, history)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_as_many_messages_are_known_whatever_the_pages_hold(size: int) -> None:
    trail = ReadTrail()
    for first in range(1, 12_000, size):
        trail.add_page(page(first, size))
    last = trail.last_message
    assert last is not None
    for behind in (0, 1, 500, 1990):
        at = last.position - behind
        assert trail.find_message(at) == ReadMessage(at, str(at), 1)
    assert len(trail.list_positions_by_id()) <= max(2000 + size, 9 * size)
    assert trail.find_message(1) is None


def test_beginning_anew_forgets_all(category: str) -> None:
    trail = ReadTrail()
    trail.add_page(page(1, 10))
    last_read = ReadMessage(4, category, 2)
    trail.start_after(last_read)
    assert trail.list_positions_by_id() == {category: 4}
    assert trail.find_message(5) == last_read
    assert trail.find_message(3) is None


def test_the_last_message_that_is_as_it_was() -> None:
    trail = ReadTrail()
    trail.add_page(page(1, 10))
    assert (
        find_last_common_position(trail.list_positions_by_id(), [("3", 3), ("5", 5), ("7", 70)])
        == 5
    )
    assert find_last_common_position(trail.list_positions_by_id(), []) is None
