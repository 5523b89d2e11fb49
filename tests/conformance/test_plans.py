"""How our SQL is executed: names inlined, the right index always, also in a session's old plans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from tests.conformance.calls import TABLES
from tests.conformance.conftest import connect

FILL = """
    insert into message_store.messages (position, stream_name, type, data, metadata)
    select n, case when n %% 500 = 0 then 'rare-1' else 'common' || n %% 3 || '-' || n %% 7 end,
        'T', '{}', case when n %% 50 = 0 then '{"correlationStreamName": "origin-1"}'::jsonb end
    from generate_series(0, %s - 1) as n
"""

INLINED = (
    "message_store.category(stream_name) = 'a'",
    "message_store.id(stream_name) = 'a'",
    "message_store.cardinal_id(stream_name) = 'a'",
    "message_store.is_category(stream_name)",
    "not message_store.is_category(stream_name)",
    "message_store.hash_64(stream_name) = 1",
    "abs(message_store.hash_64(message_store.cardinal_id(stream_name))) % 4 = 1",
    "message_store.category(metadata ->> 'correlationStreamName') = 'a'",
)

# A count for the table is one of whole scans.
RELATIONS = ("messages", "messages_pkey", "messages_category", "messages_stream")

READS = (
    ("message_store.get_category_messages('rare')", "messages_category", 4),
    ("message_store.get_category_messages('common1', 1000, 10)", "messages_category", 10),
    ("message_store.get_category_messages('common1', 1, -1)", "messages_category", 666),
    ("message_store.get_category_messages('common1', 1, 9, null, 0, 1)", "messages_category", 9),
    ("message_store.get_category_messages('common1', 1, 9, 'origin')", "messages_category", 9),
    ("message_store.get_category_messages('rare', 1, 9, 'origin', 0, 1)", "messages_category", 4),
    ("message_store.get_stream_messages('rare-1')", "messages_stream", 4),
    ("message_store.get_last_stream_message('rare-1')", "messages_stream", 1),
    ("message_store.get_last_stream_message('rare-1', 'T')", "messages_stream", 1),
    ("message_store.stream_version('rare-1')", "messages_stream", 1),
)


@pytest.fixture
def ours(database_url: str) -> Iterator[Connection[Any]]:
    with connect(database_url) as conn:
        conn.execute(TABLES.encode())
        yield conn
        conn.execute(TABLES.encode())
        conn.execute("analyze message_store.messages")


def plan(conn: Connection[Any], condition: str) -> str:
    text = f"explain (verbose, costs off) select * from message_store.messages where {condition}"
    return "\n".join(row[0] for row in conn.execute(text.encode()))


def scans(conn: Connection[Any], name: str) -> int:
    """Return the scans that this session has made and not yet reported."""
    row = conn.execute(
        "select pg_stat_get_xact_numscans(%s::regclass)", [f"message_store.{name}"]
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("condition", INLINED)
def test_the_planner_inlines_the_names(ours: Connection[Any], condition: str) -> None:
    text = plan(ours, condition)
    assert "Filter" in text or "Cond" in text
    assert not any(
        f"{name}(" in text for name in ("category", "cardinal_id", "hash_64", "store.id")
    )


def test_the_index_serves_the_category_of_a_name(ours: Connection[Any]) -> None:
    ours.execute(FILL, [2000])
    ours.execute("analyze message_store.messages")
    ours.execute("set enable_seqscan = off")
    assert "messages_category" in plan(ours, "message_store.category(stream_name) = 'rare'")
    last = plan(
        ours,
        "global_position = (select max(global_position) from message_store.messages"
        " where message_store.category(stream_name) = 'rare')",
    )
    assert "Index Only Scan Backward using messages_category" in last or "Backward" in last


@pytest.mark.parametrize("rows_when_planned", [0, 20, 2000])
@pytest.mark.parametrize(("call", "index", "count"), READS)
def test_a_read_takes_its_index_whatever_the_table_was_when_it_was_planned(
    ours: Connection[Any], call: str, index: str, count: int, rows_when_planned: int
) -> None:
    # The server is to keep the statistics of the small table, and with them its plans.
    ours.execute("alter table message_store.messages set (autovacuum_enabled = off)")
    ours.execute(FILL, [rows_when_planned])
    ours.execute("vacuum analyze message_store.messages")
    text = f"select count(*) from {call}".encode()
    for _ in range(7):
        ours.execute(text)
    ours.execute("delete from message_store.messages")
    ours.execute(FILL, [2000])
    with ours.transaction():
        before = {name: scans(ours, name) for name in RELATIONS}
        assert ours.execute(text).fetchone() == (count,)
        made = {name: scans(ours, name) - before[name] for name in RELATIONS}
        assert made == {**dict.fromkeys(RELATIONS, 0), index: 1}
    ours.execute("alter table message_store.messages reset (autovacuum_enabled)")


def test_writes_take_the_index_also_when_planned_on_an_empty_table(ours: Connection[Any]) -> None:
    ours.execute("vacuum analyze message_store.messages")
    write = "select message_store.write_message(gen_random_uuid()::varchar, 'a-1', 'T', '{}')"
    with ours.transaction():
        before = {name: scans(ours, name) for name in RELATIONS}
        for _ in range(50):
            ours.execute(write)
        made = {name: scans(ours, name) - before[name] for name in RELATIONS}
        assert made == {**dict.fromkeys(RELATIONS, 0), "messages_stream": 50}


def test_a_read_leaves_the_settings_of_the_session(ours: Connection[Any]) -> None:
    names = ("enable_sort", "plan_cache_mode", "jit", "max_parallel_workers_per_gather")

    def values() -> list[Any]:
        return [ours.execute("select current_setting(%s)", [name]).fetchone() for name in names]

    before = values()
    ours.execute("select * from message_store.get_category_messages('a')")
    ours.execute("select message_store.stream_version('a-1')")
    assert values() == before
