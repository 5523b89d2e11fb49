"""Results of a trace, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import Message, ValidationError
from messagedb._operations import traces
from messagedb._sql.traces import trace_statements
from messagedb.errors import ServerError
from messagedb.testing import make_message

SQL = trace_statements("message_store", True)


def made(position: int, cause: int | None = None) -> Message[Any]:
    metadata = (
        None
        if cause is None
        else {"causationMessageStreamName": "a-1", "causationMessagePosition": cause}
    )
    return make_message("a-1", "T", None, metadata, position=position, global_position=position + 1)


def link(message: Message[Any], cause: int) -> tuple[Any, ...]:
    return message.global_position, "a-1", message.position, "a-1", str(cause), 0


def test_an_effect_of_an_effect_is_found_in_one_pass() -> None:
    trace = traces.start_trace([made(2)])
    search = traces.TraceSearch(trace, 100, 50, 10)
    assert search.next_read(SQL) is not None
    messages = [made(3, 2), made(4, 9), made(5, 3)]
    search.note_links(link(m, cause) for m, cause in zip(messages, (2, 9, 3), strict=True))
    assert search.next_read(SQL) is None
    assert search.list_positions() == [4, 6]
    found = search.build(messages)
    shown = [(depth, node.message.position) for depth, node in found.node.walk()]
    assert shown == [(0, 2), (1, 3), (2, 5)]
    assert repr(found.node.effects[0]) == "<TraceNode a-1/3 T, effects: 1>"
    assert (found.searched_from, found.searched_to, found.is_complete) == (4, 50, True)


def test_a_message_that_is_gone_meanwhile_is_left_out() -> None:
    search = traces.TraceSearch(traces.start_trace([made(0)]), 100, 50, 10)
    search.note_links([link(made(1), 0), link(made(2), 1)])
    assert search.build([made(2, 1)]).node.effects == []


def test_pages_cover_the_window_and_nothing_else() -> None:
    search = traces.TraceSearch(traces.start_trace([made(0)]), 25_000, 10**9, 10)
    pages: list[tuple[int, int]] = []
    while (read := search.next_read(SQL)) is not None:
        pages.append(read.query.params[:2])
    assert pages == [(2, 10_001), (10_002, 20_001), (20_002, 25_001)]
    trace = search.build([])
    assert (trace.searched_to, trace.is_complete) == (25_001, False)


def test_a_store_that_has_lost_messages_is_searched_to_its_end() -> None:
    trace = traces.start_trace([made(500)])
    search = traces.TraceSearch(trace, 100, 20, 10)
    assert search.next_read(SQL) is None
    assert search.build([]).is_complete


def test_a_time_limit_says_what_to_do() -> None:
    search = traces.TraceSearch(traces.start_trace([made(0)]), 50, 1000, 10)
    read = search.next_read(SQL)
    assert read is not None
    error = traces.search_timeout_error(ServerError("it was cancelled.", "57014"), read)
    assert "positions 2 to 51" in str(error)
    assert "larger command_timeout" in str(error)
    other = ServerError("no space", "53100")
    assert traces.search_timeout_error(other, read) is other


@pytest.mark.parametrize(
    ("name", "place"),
    [("a-1/4", ("a-1", 4)), ("a-b/c/4", ("a-b/c", 4)), ("a/0", ("a", 0)), ("a-1/x", None)],
)
def test_a_place_is_read(name: str, place: tuple[str, int] | None) -> None:
    assert traces.parse_identifier(name) == place


def test_bounds_are_checked() -> None:
    for window, most in ((-1, 1), (1, 0), (1, 100_001), (True, 1)):
        with pytest.raises(ValidationError):
            traces.check_trace(window, most)
