"""The graph of cause and effect: its messages, their order and its limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from messagedb._ui.traces.graph import (
    MOST_EFFECTS,
    MOST_ROWS,
    ROW_HEIGHT,
    Graph,
    build_graph,
    build_trees,
)
from messagedb._ui.traces.queries import TraceMessage, leave_circle

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def make(at: int, cause: int | None = None) -> TraceMessage:
    """Return the message at a global position, in a stream of this name."""
    stream = None if cause is None else f"s-{cause}"
    time = BEGIN + timedelta(milliseconds=at)
    place = None if cause is None else 0
    return TraceMessage(str(at), f"s-{at}", "Noted", 0, at, time, stream, place, None)


def draw(path: list[TraceMessage], followers: list[TraceMessage]) -> Graph:
    return build_graph(build_trees(path, followers))


def positions(graph: Graph) -> list[int]:
    return [row.message.global_position for row in graph.rows]


def test_effects_stand_below_their_causes() -> None:
    graph = draw([make(1), make(2, 1)], [make(2, 1), make(3, 1), make(4, 2), make(5), make(6, 5)])
    assert positions(graph) == [1, 2, 4, 3]
    assert [row.depth for row in graph.rows] == [0, 1, 2, 1]
    assert [row.is_current for row in graph.rows] == [False, True, False, False]
    assert [row.since_root for row in graph.rows] == ["", "+1 ms", "+3 ms", "+2 ms"]
    assert len(graph.lines) == 3
    assert graph.height == 4 * ROW_HEIGHT
    assert graph.left_out == 0


def test_a_message_alone_is_one_row() -> None:
    graph = draw([make(1)], [make(2), make(3, 2)])
    assert (positions(graph), graph.lines) == ([1], [])


def test_many_effects_are_capped_and_counted() -> None:
    graph = draw([make(1)], [make(at, 1) for at in range(2, 102)])
    assert len(graph.rows) == MOST_EFFECTS + 1
    assert graph.rows[0].left_out == 100 - MOST_EFFECTS
    assert graph.left_out == 100 - MOST_EFFECTS


def test_a_long_chain_is_capped_in_rows_and_width() -> None:
    graph = draw([make(1)], [make(at, at - 1) for at in range(2, 2000)])
    assert len(graph.rows) == MOST_ROWS
    assert graph.width < 200
    assert graph.left_out == 1999 - MOST_ROWS


def test_the_message_of_the_page_is_always_shown() -> None:
    path = [make(at, at - 1 if at > 1 else None) for at in range(1, 51)]
    others = [make(at, 1) for at in range(100, 500)]
    graph = draw(path, others)
    assert [row.message.global_position for row in graph.rows if row.is_current] == [50]


def test_a_circle_of_causes_ends() -> None:
    path = leave_circle([make(3, 1), make(1, 2), make(2, 3), make(3, 1), make(1, 2)])[::-1]
    assert [each.global_position for each in path] == [2, 1, 3]
    graph = draw(path, [make(2, 3), make(1, 2), make(3, 1)])
    assert sorted(positions(graph)) == [1, 2, 3]


def test_messages_of_the_same_correlation_begin_other_trees() -> None:
    def correlated(at: int, cause: int | None = None) -> TraceMessage:
        return msgspec.structs.replace(make(at, cause), correlation_stream="order-1")

    followers = [make(2, 1), correlated(3), make(4), correlated(5, 4), make(6, 3), make(7, 2)]
    graph = build_graph(build_trees([make(1)], followers, "order-1"))
    assert positions(graph) == [1, 2, 7, 3, 6, 5]
    assert [row.depth for row in graph.rows] == [0, 1, 2, 0, 1, 0]
    starts = [row.message.global_position for row in graph.rows if row.is_start]
    assert starts == [3, 5]
    assert len(graph.lines) == 3
    assert positions(draw([make(1)], followers)) == [1, 2, 7]


def test_many_messages_of_the_same_correlation_are_capped() -> None:
    followers = [
        msgspec.structs.replace(make(at), correlation_stream="order-1") for at in range(2, 502)
    ]
    graph = build_graph(build_trees([make(1)], [*followers, make(600, 1)], "order-1"))
    assert len(graph.rows) == MOST_ROWS
    assert 600 in positions(graph)
    assert graph.left_out == 502 - MOST_ROWS
