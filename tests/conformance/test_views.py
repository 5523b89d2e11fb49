"""The summary views: their rows, in their order."""

from __future__ import annotations

import psycopg
import pytest

from tests.conformance.calls import query

VIEWS = {
    "stream_summary": 1,
    "type_summary": 1,
    "stream_type_summary": 2,
    "type_stream_summary": 2,
    "category_type_summary": 2,
    "type_category_summary": 2,
}


@pytest.mark.parametrize("view", VIEWS)
def test_rows_are_in_the_order_of_their_keys(fresh_url: str, view: str) -> None:
    names = [(stream, type) for stream in ("b-2", "a-1", "c-3", "b-1") for type in ("Y", "X")]
    with psycopg.connect(fresh_url) as conn:
        for number, (stream, type) in enumerate(names):
            conn.execute(
                "insert into message_store.messages (stream_name, type, position)"
                " values (%s, %s, %s)",
                [stream, type, number],
            )
    keys = VIEWS[view]
    rows = query(fresh_url, f"select * from message_store.{view}")
    assert [row[:keys] for row in rows] == sorted(row[:keys] for row in rows)
    assert sum(row[keys] for row in rows) == len(names)
    assert sum(row[keys + 1] for row in rows) == 100
