"""An installation is upgraded to the newest revision, and removed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from messagedb import Client, NewMessage, schema
from messagedb.errors import IncompatibleServerError, ValidationError
from tests.support import genuine

NewDatabase = Callable[..., str]

OBJECTS = """
select 'class', relname::text from pg_class where relnamespace = to_regnamespace(%(name)s)
union all select 'proc', proname::text from pg_proc where pronamespace = to_regnamespace(%(name)s)
union all select 'type', typname::text from pg_type where typnamespace = to_regnamespace(%(name)s)
union all select 'schema', nspname::text from pg_namespace where nspname = %(name)s
order by 1, 2
"""
# As if an older messagedb had installed it.
OLDER = """
create or replace function message_store.message_store_version() returns varchar
    language sql return '1.2.9'::varchar;
create or replace function message_store.stream_version(stream_name varchar) returns bigint
    language sql return 42::bigint;
comment on function message_store.message_store_version() is 'messagedb schema revision 0';
revoke execute on function message_store.message_store_version() from public, message_store;
"""


def query(url: str, text: str, params: Any = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(text.encode(), params)
        return cursor.fetchall() if cursor.description is not None else []


def objects(url: str, name: str = "message_store") -> list[tuple[Any, ...]]:
    return query(url, OBJECTS, {"name": name})


@pytest.fixture
def ours(new_database: NewDatabase) -> str:
    """Return a separate database with our Message DB."""
    return new_database()


def test_the_functions_of_an_older_revision_are_replaced(ours: str) -> None:
    before = objects(ours)
    with Client(ours) as client:
        client.write_message("account-1", NewMessage("Deposited", {"amount": 5}))
    query(ours, OLDER)
    assert query(ours, "select message_store.stream_version('account-1')") == [(42,)]
    assert schema.upgrade(ours)
    assert query(ours, "select message_store.stream_version('account-1')") == [(0,)]
    assert objects(ours) == before
    with Client(make_conninfo(ours, user="message_store")) as client:
        assert client.message_store_version() == schema.VERSION
        assert [m.data for m in client.read_category("account")] == [{"amount": 5}]
    assert not schema.upgrade(ours)


@pytest.mark.parametrize(
    "text",
    [
        "drop view message_store.stream_summary",
        "drop view message_store.type_category_summary, message_store.type_summary",
        "drop index message_store.messages_id",
        "drop index message_store.messages_stream, message_store.messages_category",
        "update pg_index set indisvalid = false"
        " where indexrelid = 'message_store.messages_category'::regclass",
        "drop function message_store.write_message",
        "drop function message_store.acquire_lock(varchar)",
        "drop type message_store.message cascade",
    ],
)
def test_dropped_objects_are_created_again(ours: str, text: str) -> None:
    with Client(ours) as client:
        client.write_message("account-1", NewMessage("Deposited"))
    state = (
        "select relname::text, indisvalid, relacl::text from pg_class"
        " left join pg_index on indexrelid = oid"
        " where relnamespace = 'message_store'::regnamespace order by 1"
    )
    before = objects(ours), query(ours, state)
    query(ours, text)
    assert schema.upgrade(ours)
    assert (objects(ours), query(ours, state)) == before
    assert not schema.upgrade(ours)
    with Client(make_conninfo(ours, user="message_store")) as client:
        assert client.write_message("account-1", NewMessage("Deposited")) == 1
        assert len(client.get_category_messages("account")) == 2


def test_a_database_without_message_db_is_not_upgraded(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    with pytest.raises(IncompatibleServerError, match="there is no Message DB in schema"):
        schema.upgrade(url)
    assert not schema.uninstall(url)
    assert objects(url) == []


def test_a_newer_revision_is_left_alone(ours: str) -> None:
    mark = "comment on function message_store.message_store_version() is 'messagedb schema revision"
    query(ours, f"{mark} 99'")
    with pytest.raises(
        IncompatibleServerError, match="revision 99, installed by a newer messagedb"
    ):
        schema.upgrade(ours)
    assert schema.uninstall(ours)


def test_a_genuine_message_db_is_left_alone(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    genuine.install(url)
    before = objects(url)
    assert schema.upgrade(url)  # our own schema beside it
    assert not schema.upgrade(url)
    assert query(url, "select version from messagedb.schema_version order by 1") == [
        (1,),
        (2,),
        (3,),
    ]
    with pytest.raises(IncompatibleServerError, match="was not installed by messagedb"):
        schema.uninstall(url, drop_messages=True)
    assert objects(url) == before


def test_nothing_is_left_of_it(ours: str) -> None:
    schema.install_notify(ours)
    assert schema.uninstall(ours)
    for name in ("message_store", "messagedb"):
        assert objects(ours, name) == []
    assert query(ours, "select 1 from pg_roles where rolname = 'message_store'") == [(1,)]
    assert not schema.uninstall(ours)
    assert schema.install(ours)
    with Client(ours) as client:
        assert client.write_message("account-1", NewMessage("Deposited")) == 0


def test_messages_are_dropped_only_if_that_is_said(ours: str) -> None:
    with Client(ours) as client:
        client.write_message("account-1", NewMessage("Deposited"))
    before = objects(ours)
    with pytest.raises(ValidationError, match="drop_messages=True"):
        schema.uninstall(ours)
    assert objects(ours) == before
    assert query(ours, "select count(*) from message_store.messages") == [(1,)]
    assert schema.uninstall(ours, drop_messages=True)
    assert objects(ours) == []


def test_another_store_of_the_database_keeps_what_it_needs(ours: str) -> None:
    schema.install(ours, schema='an "other"')
    for store in ("message_store", 'an "other"'):
        schema.install_notify(ours, schema=store)
        query(
            ours,
            "insert into messagedb.positions (store, consumer, position, saved_by)"
            " values (%s, 'account:position-a', 7, gen_random_uuid())",
            (store,),
        )
    assert schema.uninstall(ours)
    assert query(ours, "select store from messagedb.positions") == [('an "other"',)]
    with Client(ours, schema='an "other"') as client:
        assert client.write_message("account-1", NewMessage("Deposited")) == 0
    assert schema.uninstall(ours, schema='an "other"', drop_messages=True)
    assert objects(ours, "messagedb") == []


def test_dependent_objects_prevent_uninstallation(ours: str) -> None:
    query(ours, "create table message_store.mine (a int)")
    assert schema.uninstall(ours)
    assert objects(ours)[0] == ("class", "mine")  # the schema stays with it
    assert schema.install(ours)
    query(ours, "create view public.lately as select * from message_store.messages")
    before = objects(ours)
    with pytest.raises(IncompatibleServerError, match=r"depend on .*view public.lately"):
        schema.uninstall(ours)
    assert objects(ours) == before
    assert query(ours, "select to_regclass('messagedb.positions') is not null") == [(True,)]


def test_only_its_owner_may(ours: str) -> None:
    user = make_conninfo(ours, user="message_store")
    query(ours, OLDER)
    for change in (schema.upgrade, schema.uninstall):
        with pytest.raises(IncompatibleServerError, match="is not the owner of the Message DB"):
            change(user)
    assert query(ours, "select message_store.stream_version('a-1')") == [(42,)]


def test_it_waits_for_who_writes(ours: str) -> None:
    with Client(ours) as client, client.transaction() as tx:
        tx.write_message("account-1", NewMessage("Deposited"))
        found: list[Exception] = []

        def uninstall() -> None:
            try:
                schema.uninstall(ours)
            except ValidationError as error:
                found.append(error)

        thread = threading.Thread(target=uninstall)
        thread.start()
        waiting = "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
        for _ in range(1000):
            if query(ours, waiting) != [(0,)]:
                break
            thread.join(0.01)
        assert query(ours, waiting) == [(1,)]
    thread.join(30)
    assert "contains messages" in str(found[0])
    assert query(ours, "select count(*) from message_store.messages") == [(1,)]
