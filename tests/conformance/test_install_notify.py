"""Installing and removing the trigger that notifies: once, by many sessions, by each role."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from messagedb import schema
from messagedb.errors import IncompatibleServerError, RetryableError, ValidationError
from tests.conformance.calls import query
from tests.support import genuine

NewDatabase = Callable[..., str]
Heard = Callable[[], list[str]]

TRIGGERS = "select tgname from pg_trigger where tgrelid = 'message_store.messages'::regclass"
FUNCTIONS = "select count(*) from pg_proc where proname = 'notify_of_messages'"
INSERT = """
insert into message_store.messages (stream_name, type, position)
select unnest(%s::text[]), 'T', 0
"""


def test_it_is_put_in_place_once(fresh_url: str) -> None:
    with psycopg.connect(fresh_url, autocommit=True) as conn:
        before = conn.execute("select * from pg_class order by oid").fetchall()
        assert schema.install_notify(fresh_url) is True
        assert schema.install_notify(fresh_url) is False
        assert conn.execute(TRIGGERS).fetchall() == [("messagedb_notify",)]
        assert schema.remove_notify(fresh_url) is True
        assert schema.remove_notify(fresh_url) is False
        assert conn.execute(TRIGGERS).fetchall() == []
        assert conn.execute(FUNCTIONS).fetchone() == (0,)
        # Its own schema may be new, and stays; of Message DB nothing else was touched.
        after = conn.execute("select * from pg_class order by oid").fetchall()
        assert {row[1] for row in before} <= {row[1] for row in after}
        assert schema.install_notify(fresh_url) is True


async def test_the_asynchronous_half(fresh_url: str, heard: Heard) -> None:
    assert await schema.install_notify_async(fresh_url) is True
    assert await schema.install_notify_async(fresh_url) is False
    query(fresh_url, INSERT, ["a-1"])
    assert heard() == ["a"]
    assert await schema.remove_notify_async(fresh_url) is True
    assert await schema.remove_notify_async(fresh_url) is False
    query(fresh_url, INSERT, ["b-1"])
    assert heard() == []


def test_many_at_once(fresh_url: str) -> None:
    for call in (schema.install_notify, schema.remove_notify):
        together = threading.Barrier(8)

        def change(
            _: int, call: Callable[..., bool] = call, together: threading.Barrier = together
        ) -> bool:
            together.wait(30)
            return call(fresh_url)

        with ThreadPoolExecutor(8) as threads:
            assert sorted(threads.map(change, range(8))) == [False] * 7 + [True]


def test_two_message_dbs_of_one_database(fresh_url: str, heard: Heard) -> None:
    schema.install(fresh_url, schema="other")
    assert schema.install_notify(fresh_url) is True
    assert schema.install_notify(fresh_url, schema="other") is True
    write = "insert into {}.messages (stream_name, type, position) values ('b-1', 'T', 0)"
    query(fresh_url, write.format("other"))
    assert heard() == []  # it has a separate channel
    assert schema.remove_notify(fresh_url, schema="other") is True
    query(fresh_url, write.format("message_store"))
    assert heard() == ["b"]
    assert schema.install_notify(fresh_url, schema="other") is True
    assert schema.remove_notify(fresh_url) is True
    assert query(fresh_url, FUNCTIONS) == [(1,)]
    assert schema.remove_notify(fresh_url, schema="other") is True
    assert query(fresh_url, FUNCTIONS) == [(0,)]


def test_only_the_owner_of_the_table(fresh_url: str) -> None:
    stranger = make_conninfo(fresh_url, options="-c role=message_store")
    with pytest.raises(IncompatibleServerError, match=r"not the owner .* connect as"):
        schema.install_notify(stranger)
    assert query(fresh_url, TRIGGERS) == []
    schema.install_notify(fresh_url)
    assert schema.install_notify(stranger) is False
    with pytest.raises(IncompatibleServerError, match=r"not the owner .* connect as"):
        schema.remove_notify(stranger)
    assert query(fresh_url, TRIGGERS) == [("messagedb_notify",)]


def test_an_owner_who_may_create_nothing(server_url: str, new_database: NewDatabase) -> None:
    url = new_database(install=False)
    genuine.install(url)
    name = f"messagedb_owner_{uuid.uuid4().hex[:12]}"
    owner = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("create role {}").format(owner))
        conn.execute(sql.SQL("grant message_store to {}").format(owner))
        conn.execute(sql.SQL("alter table message_store.messages owner to {}").format(owner))
        as_owner = make_conninfo(url, options=f"-c role={name}")
        try:
            with pytest.raises(IncompatibleServerError, match=r"run messagedb\.schema\.install"):
                schema.install_notify(as_owner)
            schema.install(url)
            with pytest.raises(IncompatibleServerError, match="owner of schema 'messagedb'"):
                schema.install_notify(as_owner)
            # Once the function is there, who owns a table needs nothing more.
            schema.install(url, schema="other")
            schema.install_notify(url, schema="other")
            assert schema.install_notify(as_owner) is True
            assert schema.remove_notify(url, schema="other") is True
            # The function is not the owner's: it stays.
            assert schema.remove_notify(as_owner) is True
            assert conn.execute(FUNCTIONS).fetchone() == (1,)
        finally:
            conn.execute(sql.SQL("reassign owned by {} to current_user").format(owner))
            conn.execute(sql.SQL("drop owned by {}").format(owner))
            conn.execute(sql.SQL("drop role {}").format(owner))


def test_where_there_is_no_table(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    query(url, "create schema message_store create view messages as select 1 as n")
    for call in (schema.install_notify, schema.remove_notify):
        for name in ("message_store", "nowhere"):
            with pytest.raises(IncompatibleServerError, match=r"no table 'messages'.*schema="):
                call(url, schema=name)
        with pytest.raises(ValidationError, match="schema"):
            call(url, schema="messagedb")
        with pytest.raises(ValidationError, match="connection string"):
            call("host=h sekret")
    assert query(url, "select from pg_namespace where nspname = 'messagedb'") == []


def test_a_trigger_of_somebody_else(fresh_url: str) -> None:
    query(
        fresh_url, "create function public.mine() returns trigger language plpgsql as 'begin end'"
    )
    query(
        fresh_url,
        "create trigger messagedb_notify after insert on message_store.messages"
        " execute function public.mine()",
    )
    with pytest.raises(IncompatibleServerError, match="not messagedb's: rename it"):
        schema.install_notify(fresh_url)
    assert schema.remove_notify(fresh_url) is False
    assert query(fresh_url, TRIGGERS) == [("messagedb_notify",)]


@pytest.mark.parametrize("call", [schema.install_notify, schema.remove_notify])
def test_a_table_that_is_not_free(
    fresh_url: str, call: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    if call is schema.remove_notify:
        schema.install_notify(fresh_url)
    before = query(fresh_url, TRIGGERS)
    monkeypatch.setattr(
        "messagedb._schema.install_plan.SET_UP", "select set_config('lock_timeout', '50ms', true)"
    )
    with psycopg.connect(fresh_url) as conn:
        conn.execute(INSERT, [["a-1"]])
        with pytest.raises(RetryableError, match="Nothing was changed"):
            call(fresh_url)
    assert query(fresh_url, TRIGGERS) == before
    assert call(fresh_url) is True
