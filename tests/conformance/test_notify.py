"""The trigger that notifies: what who listens hears, and that writers write as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from messagedb import Client, NewMessage, schema
from messagedb._schema.notify_trigger import get_channel
from tests.conformance.calls import query

Heard = Callable[[], list[str]]

WRITE = "select message_store.write_message(gen_random_uuid()::varchar, %s, 'T', '{}')"
INSERT = """
insert into message_store.messages (stream_name, type, position)
select unnest(%s::text[]), 'T', 0
"""


@pytest.fixture
def writer(fresh_url: str) -> Iterator[Connection[Any]]:
    """Return a connection of the role message_store, with the trigger in place."""
    assert schema.install_notify(fresh_url) is True
    with psycopg.connect(fresh_url, autocommit=True) as conn:
        conn.execute("set search_path = message_store, public")
        conn.execute("set role message_store")
        yield conn


def test_a_write_is_told(writer: Connection[Any], heard: Heard) -> None:
    for stream in ("account-1", "account-2", "account:command-1", "noid", "-x"):
        writer.execute(WRITE, [stream])
        assert heard() == [stream.split("-")[0]]


def test_a_statement_tells_each_category_once(writer: Connection[Any], heard: Heard) -> None:
    streams = [f"{category}-{number}" for number in range(50) for category in ("a", "b", "c")]
    writer.execute(INSERT, [streams])
    assert sorted(heard()) == ["a", "b", "c"]


def test_a_transaction_tells_when_it_commits(writer: Connection[Any], heard: Heard) -> None:
    with writer.transaction():
        writer.execute(WRITE, ["account-1"])
        writer.execute(WRITE, ["account-1"])
        writer.execute(INSERT, [["other-1"]])
        assert heard() == []
    assert heard() == ["account", "other"]


def test_a_rollback_tells_nothing(writer: Connection[Any], heard: Heard) -> None:
    with writer.transaction(force_rollback=True):
        writer.execute(WRITE, ["account-1"])
    with writer.transaction():
        writer.execute(WRITE, ["kept-1"])
        with writer.transaction(force_rollback=True):
            writer.execute(WRITE, ["lost-1"])
    assert heard() == ["kept"]


def test_a_write_that_fails_tells_nothing(writer: Connection[Any], heard: Heard) -> None:
    with pytest.raises(psycopg.errors.RaiseException):
        writer.execute(
            "select write_message(gen_random_uuid()::varchar, 'a-1', 'T', '{}', null, 7)"
        )
    writer.execute(INSERT, [[]])
    assert heard() == []


def test_copy_tells_too(writer: Connection[Any], heard: Heard) -> None:
    with writer.cursor().copy(
        "copy message_store.messages (stream_name, type, position) from stdin"
    ) as copy:
        for number in range(20):
            copy.write_row((f"copied-{number}", "T", 0))
    assert heard() == ["copied"]


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("size", [1, 3, 5000])
def test_the_client_writes_as_before(fresh_url: str, heard: Heard, size: int) -> None:
    as_writer = make_conninfo(fresh_url, options="-c role=message_store")
    with Client(as_writer) as client:
        batch = [NewMessage("T", data={"n": number}) for number in range(size)]
        assert client.write_messages("batch-1", batch) == list(range(size))
        assert client.write_message("single-1", NewMessage("T")) == 0
        with client.transaction() as tx:
            tx.write_message("inside-1", NewMessage("T"))
    assert sorted(set(heard())) == ["batch", "inside", "single"]


def test_a_name_too_long_for_a_payload_is_still_written(
    fresh_url: str, writer: Connection[Any], heard: Heard
) -> None:
    # Only without its indexes does the table take such a name.
    query(fresh_url, "drop index message_store.messages_stream, message_store.messages_category")
    for name, payload in (
        ("x" * 7999, "x" * 7999),
        ("x" * 8000, ""),
        ("é" * 4000, ""),
        ("y" * 9000 + "-1", ""),
    ):
        writer.execute(INSERT, [[name]])
        assert heard() == [payload]


def test_it_needs_no_search_path_and_heeds_none(
    fresh_url: str, writer: Connection[Any], heard: Heard
) -> None:
    writer.execute("create temp table new_messages (stream_name text)")
    writer.execute("insert into new_messages values ('wrong-1')")
    for path in ("pg_catalog", "pg_temp", '""'):
        writer.execute("select set_config('search_path', %s, false)", [path])
        writer.execute(INSERT, [[f"right{len(path)}-1"]])
    assert heard() == ["right10", "right7", "right2"]


def test_a_writer_without_any_right_in_our_schema(
    fresh_url: str, writer: Connection[Any], heard: Heard
) -> None:
    query(fresh_url, "revoke all on schema messagedb from message_store")
    query(fresh_url, "revoke all on function messagedb.notify_of_messages() from public")
    writer.execute(WRITE, ["account-1"])
    assert heard() == ["account"]


@pytest.mark.parametrize("store", ["tenant_a", "Odd \"name' é", "x" * 53, "x" * 54])
def test_another_store_of_the_database_is_told_on_its_own_channel(
    new_database: Callable[..., str], store: str
) -> None:
    url = new_database()
    schema.install(url, schema=store)
    for each in ("message_store", store):
        assert schema.install_notify(url, schema=each)
    with psycopg.connect(url, autocommit=True) as conn:
        for each in ("message_store", store):
            conn.execute(sql.SQL("listen {}").format(sql.Identifier(get_channel(each))))
        with Client(url, schema=store) as client:
            client.write_message("theirs-1", NewMessage("A"))
        with Client(url) as client:
            client.write_message("ours-1", NewMessage("A"))
        heard = [(told.channel, told.payload) for told in conn.notifies(timeout=10, stop_after=2)]
    assert heard == [(get_channel(store), "theirs"), ("messagedb", "ours")]
