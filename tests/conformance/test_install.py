"""Installing: once, again, by many concurrent sessions, beside others, and where it is refused."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from messagedb import schema
from messagedb.errors import IncompatibleServerError, StoreUnavailableError, ValidationError
from tests.support import genuine

NewDatabase = Callable[..., str]

# With xmin, which changes when a row of a catalog is written.
SNAPSHOT = (
    "select xmin::text, oid::text, proname, prosrc, proacl::text from pg_proc"
    " where pronamespace = 'message_store'::regnamespace order by oid",
    "select xmin::text, oid::text, relname, relfilenode, relacl::text from pg_class"
    " where relnamespace = 'message_store'::regnamespace order by oid",
    "select xmin::text, tgname, tgrelid::text from pg_trigger order by oid",
    "select xmin::text, nspname, nspacl::text from pg_namespace order by oid",
)


def snapshot(url: str) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(url) as conn:
        return [conn.execute(text.encode()).fetchall() for text in SNAPSHOT]


def installed(url: str, name: str = "message_store") -> bool:
    with psycopg.connect(url) as conn:
        row = conn.execute("select to_regclass(%s)", [f'"{name}".messages']).fetchone()
        return row is not None and row[0] is not None


def test_it_installs_once(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    assert schema.install(url) is True
    before = snapshot(url)
    assert schema.install(url) is False
    assert snapshot(url) == before


async def test_the_asynchronous_half_installs_too(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    assert await schema.install_async(url) is True
    assert await schema.install_async(url) is False
    with psycopg.connect(url) as conn:
        row = conn.execute("select message_store.message_store_version()").fetchone()
    assert row == (schema.VERSION,)


def test_eight_threads_install_once(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    together = threading.Barrier(8)

    def install(_: int) -> bool:
        together.wait(30)
        return schema.install(url)

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(install, range(8))) == [False] * 7 + [True]


def test_processes_install_once(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    program = "import sys, messagedb.schema as s; print(s.install(sys.argv[1]))"
    processes = [
        subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert sorted(answers) == ["False"] * 7 + ["True"]


def test_the_genuine_one_is_left_alone(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    genuine.install(url)
    before = snapshot(url)
    assert schema.install(url) is False
    *after, namespaces = snapshot(url)
    assert after == before[:-1]
    # Our own schema is beside it, and nothing else is new.
    added = [row[1] for row in namespaces if row not in before[-1]]
    assert added == ["messagedb"]
    assert [row for row in namespaces if row[1] != "messagedb"] == before[-1]
    assert schema.install(url) is False
    assert snapshot(url) == [*after, namespaces]


@pytest.mark.parametrize("name", ["other", "Other Store", 'a"b', "it's", "%s", "naïve", "a$1"])
def test_another_schema(new_database: NewDatabase, name: str) -> None:
    url = new_database()
    assert schema.install(url, schema=name) is True
    assert schema.install(url, schema=name) is False
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("set message_store.debug = on")
        conn.execute("set message_store.sql_condition = on")
        for text in (
            "select {}.write_message(gen_random_uuid()::varchar, 's-1', 'T', '{{}}')",
            "select * from {}.get_stream_messages('s-1', condition => 'position = 0')",
            "select * from {}.get_category_messages('s', 0, 9, null, 0, 1, 'position = 0')",
            "select * from {}.get_last_stream_message('s-1', 'T')",
            "select * from {}.category_type_summary",
        ):
            rows = conn.execute(sql.SQL(text).format(sql.Identifier(name))).fetchall()
            assert len(rows) == 1
        assert conn.execute("select * from message_store.messages").fetchall() == []


def test_a_schema_that_is_there_and_empty(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    with psycopg.connect(url) as conn:
        conn.execute("create schema message_store")
    assert schema.install(url) is True


def test_the_script_is_the_same_installation(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(schema.build_script().encode())
    assert schema.install(url) is False
    by_hand, by_us = snapshot(url), snapshot(new_database())
    assert [row[2:] for row in by_hand[0]] == [row[2:] for row in by_us[0]]
    assert [row[1:] for row in by_hand[-1]] == [row[1:] for row in by_us[-1]]


def test_the_script_for_a_second_one_beside_it(new_database: NewDatabase) -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(schema.build_script(schema="other").encode())
    assert schema.install(url, schema="other") is False


def test_a_database_in_another_encoding(new_database: NewDatabase) -> None:
    url = new_database(encoding="LATIN1", install=False)
    with pytest.raises(IncompatibleServerError, match=r"LATIN1.*ENCODING 'UTF8'"):
        schema.install(url)
    assert not installed(url)


def test_a_table_of_somebody_else(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    with psycopg.connect(url) as conn:
        conn.execute("create schema message_store create table messages (n int)")
    with pytest.raises(IncompatibleServerError, match="belong to another application"):
        schema.install(url)


def test_an_object_in_the_way_leaves_nothing_behind(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    with psycopg.connect(url) as conn:
        conn.execute("create schema message_store create view type_summary as select 1 as n")
    with pytest.raises(Exception, match=r"already exists.*Nothing was installed"):
        schema.install(url)
    assert not installed(url)


def test_a_read_only_role(new_database: NewDatabase) -> None:
    url = new_database(install=False)
    with pytest.raises(IncompatibleServerError, match="read-only"):
        schema.install(make_conninfo(url, options="-c default_transaction_read_only=on"))


@pytest.fixture
def owner(server_url: str) -> Iterator[str]:
    """Return a role that is not a superuser, with CREATEDB and CREATEROLE."""
    name = f"messagedb_owner_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("create role {} createdb createrole").format(sql.Identifier(name)))
        yield name
        conn.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_an_owner_who_is_no_superuser(
    server_url: str, new_database: NewDatabase, owner: str
) -> None:
    url = new_database(install=False)
    as_owner = make_conninfo(url, options=f"-c role={owner}")
    with pytest.raises(IncompatibleServerError, match=f'GRANT CREATE ON DATABASE .* TO "{owner}"'):
        schema.install(as_owner)
    assert not installed(url)
    with psycopg.connect(url, autocommit=True) as conn:
        database = sql.Identifier(conn.info.dbname)
        me = sql.Identifier(conn.info.user)
        give = sql.SQL("alter database {} owner to {}")
        conn.execute(give.format(database, sql.Identifier(owner)))
        assert schema.install(as_owner) is True
        conn.execute("set role message_store")
        write = "select write_message(gen_random_uuid()::varchar, 's-1', 'T', '{}')"
        assert conn.execute(write).fetchone() == (0,)
        conn.execute("reset role")
        conn.execute("drop schema message_store, messagedb cascade")
        conn.execute(give.format(database, me))


def test_a_wrong_schema_name() -> None:
    for name in ("", "pg_store", "x" * 64, "a\0b", "\ud800", "$messagedb$", "messagedb"):
        with pytest.raises(ValidationError, match="schema"):
            schema.install("host=127.0.0.1", schema=name)


@pytest.mark.parametrize(
    ("conninfo", "kind", "words"),
    [
        ("postgresql://u:sekret@127.0.0.1:1/d", StoreUnavailableError, "cannot connect"),
        ("host=127.0.0.1 port=1 password=sekret", StoreUnavailableError, "cannot connect"),
        ("postgresql://u:sekret@%%/d", ValidationError, "not a connection string"),
        ("host=h sekret", ValidationError, "not a connection string"),
        ("embedded:", ValidationError, "embedded"),
    ],
)
def test_an_address_that_is_wrong_or_dead(conninfo: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        schema.install(conninfo)
    assert "sekret" not in str(caught.value)
    assert "sekret" not in str(caught.value.__cause__)


def test_a_database_that_is_not_there(server_url: str) -> None:
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        schema.install(make_conninfo(server_url, dbname="messagedb_no_such_database"))
