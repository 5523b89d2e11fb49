"""Our schema ``messagedb``: beside ours and the genuine Message DB, and who may do what in it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from messagedb import schema
from messagedb.errors import IncompatibleServerError
from tests.support import genuine

NewDatabase = Callable[..., str]

COLUMNS = """
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    pg_get_expr(d.adbin, d.adrelid)
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'messagedb'::regnamespace and c.relkind = 'r' order by 1, a.attnum
"""
RIGHTS = """
select t, p from unnest(array[
    'consumer_status', 'partition_members', 'partition_sets', 'partitions', 'positions',
    'proxied_by', 'schema_version']) t, unnest(array[
    'select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) p
where has_table_privilege(%s, 'messagedb.' || t, p) order by 1, 2
"""
OLDEST = ("positions", "schema_version")
VERSIONS = [(1,), (2,), (3,)]
SAVE = (
    "insert into messagedb.positions (consumer, position, saved_by)"
    " values ('account:position-a', 7, gen_random_uuid())"
)


@pytest.fixture(params=["empty", "ours", "genuine"])
def url(request: pytest.FixtureRequest, new_database: NewDatabase) -> str:
    """Return a database without our schema: empty, or with our Message DB or the genuine one."""
    url = new_database(install=request.param == "ours")
    if request.param == "genuine":
        genuine.install(url)
    if request.param == "ours":
        query(url, "drop schema messagedb cascade")
    return url


def query(url: str, text: str, *params: Any, role: str | None = None) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as conn:
        if role is not None:
            conn.execute("select set_config('role', %s, false)", [role])
        cursor = conn.execute(text.encode(), params)
        return cursor.fetchall() if cursor.description is not None else []


def has_own(url: str) -> bool:
    return query(url, "select to_regclass('messagedb.positions') is not null") == [(True,)]


def test_its_tables(url: str) -> None:
    schema.install(url)
    assert [row for row in query(url, COLUMNS) if row[0] in OLDEST] == [
        ("positions", "store", "text", True, "'message_store'::text"),
        ("positions", "consumer", "text", True, None),
        ("positions", "position", "bigint", True, None),
        ("positions", "saved_by", "uuid", True, None),
        ("positions", "saved_at", "timestamp with time zone", True, "now()"),
        ("positions", "resized_to", "integer", False, None),
        ("positions", "message_id", "uuid", False, None),
        ("positions", "message_position", "bigint", False, None),
        ("positions", "history", "text", False, None),
        ("schema_version", "version", "integer", True, None),
        ("schema_version", "installed_at", "timestamp with time zone", True, "now()"),
    ]
    keys = "select indexdef from pg_indexes where schemaname = 'messagedb'"
    assert sorted(row[0].partition(" USING ")[2] for row in query(url, keys)) == [
        "btree (category)",
        "btree (only_row)",
        "btree (store, category, identifier)",
        "btree (store, category, identifier, member)",
        "btree (store, category, identifier, number)",
        "btree (store, consumer)",
        "btree (store, consumer)",
        "btree (version)",
    ]
    assert query(url, "select version from messagedb.schema_version order by 1") == VERSIONS


async def test_it_stays_as_it_is(url: str) -> None:
    schema.install(url)
    query(url, SAVE)
    everything = "select xmin::text, oid, relname from pg_class order by oid"
    before = query(url, everything)
    assert schema.install(url) is False
    assert await schema.install_async(url) is False
    assert query(url, everything) == before
    assert len(query(url, "select from messagedb.positions")) == 1


def test_eight_threads_make_it_once(url: str) -> None:
    together = threading.Barrier(8)

    def install(_: int) -> bool:
        together.wait(30)
        return schema.install(url)

    empty = not query(url, "select from pg_namespace where nspname = 'message_store'")
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(install, range(8))) == empty
    assert query(url, "select version from messagedb.schema_version order by 1") == VERSIONS


def test_two_message_dbs_share_it(url: str) -> None:
    schema.install(url)
    query(url, SAVE)
    assert schema.install(url, schema="other") is True
    query(url, SAVE.replace("(consumer", "(store, consumer").replace("('acc", "('other', 'acc"))
    rows = query(url, "select store, consumer from messagedb.positions order by 1")
    assert rows == [("message_store", "account:position-a"), ("other", "account:position-a")]


def test_message_store_has_its_privileges(url: str) -> None:
    schema.install(url)
    assert query(url, RIGHTS, "message_store") == [
        ("consumer_status", "insert"),
        ("consumer_status", "select"),
        ("consumer_status", "update"),
        ("partition_members", "delete"),
        ("partition_members", "insert"),
        ("partition_members", "select"),
        ("partition_members", "update"),
        ("partition_sets", "delete"),
        ("partition_sets", "insert"),
        ("partition_sets", "select"),
        ("partition_sets", "update"),
        ("partitions", "delete"),
        ("partitions", "insert"),
        ("partitions", "select"),
        ("partitions", "update"),
        ("positions", "insert"),
        ("positions", "select"),
        ("positions", "update"),
        ("proxied_by", "select"),
        ("schema_version", "select"),
    ]
    for text in (
        SAVE,
        "update messagedb.positions set position = 8 where position = 7 returning position",
        "select position from messagedb.positions",
        "select version from messagedb.schema_version",
    ):
        query(url, text, role="message_store")


@pytest.mark.parametrize(
    "text",
    [
        "delete from messagedb.positions",
        "truncate messagedb.positions",
        "drop table messagedb.positions",
        "alter table messagedb.positions add column n int",
        "delete from messagedb.consumer_status",
        "insert into messagedb.schema_version (version) values (4)",
        "update messagedb.schema_version set version = 4",
        "create table messagedb.other (n int)",
        "create function messagedb.other() returns int language sql as 'select 1'",
        "drop schema messagedb cascade",
    ],
)
def test_message_store_has_no_other_privileges(url: str, text: str) -> None:
    schema.install(url)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(url, text, role="message_store")


def test_others_may_do_nothing(server_url: str, url: str) -> None:
    schema.install(url)
    name = f"messagedb_stranger_{uuid.uuid4().hex[:12]}"
    query(server_url, f"create role {name}")
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(url, "select from messagedb.positions", role=name)
        assert query(url, RIGHTS, name) == []
    finally:
        query(server_url, f"drop role {name}")


def test_saving_a_position_writes_no_index(url: str) -> None:
    schema.install(url)
    with psycopg.connect(url) as conn:
        conn.execute(SAVE.encode())
        for _ in range(20):
            conn.execute("update messagedb.positions set position = position + 1, saved_at = now()")
        counts = conn.execute(
            "select pg_stat_get_xact_tuples_updated(c), pg_stat_get_xact_tuples_hot_updated(c)"
            " from (select 'messagedb.positions'::regclass::oid) t (c)"
        ).fetchone()
    assert counts == (20, 20)


def test_a_role_that_may_not_create_it(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    genuine.install(url)
    assert schema.install(make_conninfo(url, options="-c role=message_store")) is False
    assert not has_own(url)
    assert schema.install(url) is False
    assert has_own(url)
    # It is not its owner: nothing to do, and nothing to complain of.
    assert schema.install(make_conninfo(url, options="-c role=message_store")) is False


def test_a_read_only_session_beside_a_message_db(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    genuine.install(url)
    read_only = make_conninfo(url, options="-c default_transaction_read_only=on")
    assert schema.install(read_only) is False
    assert not has_own(url)


def test_a_schema_that_is_there_and_empty(url: str) -> None:
    query(url, "create schema messagedb")
    schema.install(url)
    query(url, SAVE, role="message_store")
    assert len(query(url, "select from messagedb.positions")) == 1


def test_a_version_that_was_not_finished_by_hand(url: str) -> None:
    schema.install(url)
    query(url, SAVE)
    query(url, "delete from messagedb.schema_version")
    assert schema.install(url) is False
    assert query(url, "select version from messagedb.schema_version order by 1") == VERSIONS
    assert len(query(url, "select from messagedb.positions")) == 1


def test_a_newer_version_is_left_alone(url: str) -> None:
    schema.install(url)
    query(url, "insert into messagedb.schema_version (version) values (99)")
    assert schema.install(url) is False
    assert query(url, "select max(version) from messagedb.schema_version") == [(99,)]


def test_a_table_of_somebody_else(url: str) -> None:
    query(url, "create schema messagedb create table positions (n int)")
    before = query(url, "select oid, xmin::text from pg_class order by oid")
    with pytest.raises(IncompatibleServerError, match=r"'positions' that is not messagedb's"):
        schema.install(url)
    assert query(url, "select oid, xmin::text from pg_class order by oid") == before
