"""Who may do what: the role message_store, a role that is its member, and a stranger."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.conformance.calls import Databases, Pair, run
from tests.conformance.conftest import connect

VIEWS = (
    *("stream_summary", "type_summary", "stream_type_summary", "type_stream_summary"),
    *("category_type_summary", "type_category_summary"),
)

GRANTS = (
    """select p, has_table_privilege(%(role)s, 'message_store.' || t, p) from
        unnest(array['select','insert','update','delete','truncate','references','trigger']) p,
        unnest(%(tables)s::text[]) t""",
    """select p, has_sequence_privilege(%(role)s, 'message_store.messages_global_position_seq', p)
        from unnest(array['usage','select','update']) p""",
    """select p, has_schema_privilege(%(role)s, 'message_store', p)
        from unnest(array['usage','create']) p""",
    """select proname, has_function_privilege(%(role)s, oid, 'execute') from pg_proc
        where pronamespace = 'message_store'::regnamespace order by 1""",
    "select has_type_privilege(%(role)s, 'message_store.message', 'usage')",
)

ATTEMPTS = (
    "select count(*) from message_store.messages",
    "insert into message_store.messages (stream_name, type, position) values ('x-1', 'T', 99)",
    "update message_store.messages set type = 'X'",
    "delete from message_store.messages",
    "truncate message_store.messages",
    "lock table message_store.messages in access exclusive mode",
    "select nextval('message_store.messages_global_position_seq') > 0",
    "select last_value > 0 from message_store.messages_global_position_seq",
    "select setval('message_store.messages_global_position_seq', 1)",
    "create table message_store.other (n int)",
    "create function message_store.other() returns int language sql as 'select 1'",
    "drop function message_store.hash_64(varchar)",
    "create index on message_store.messages (type)",
    "alter table message_store.messages add column n int",
    "create trigger t after insert on message_store.messages execute function other()",
    "grant select on message_store.messages to public",
    "drop schema message_store cascade",
    "listen something",
    "create temp table mine (n int)",
    *(f"select count(*) from message_store.{view}" for view in VIEWS),
)

CALLS = (
    f"select write_message('{uuid.UUID(int=77)}', 'p-1', 'T', '{{}}')",
    "select count(*) from get_stream_messages('p-1')",
    "select count(*) from get_category_messages('p', 1, 10, 'c', 0, 1)",
    "select count(*) from get_last_stream_message('p-1')",
    "select stream_version('p-1'), acquire_lock('p-1'), message_store_version()",
    "select category('p-1'), id('p-1'), cardinal_id('p-1'), is_category('p-1'), hash_64('p')",
)


@pytest.fixture(scope="module")
def roles(server_url: str) -> Iterator[dict[str, str]]:
    """Return the three kinds of roles by kind; the two that are made here go with the module."""
    mark = uuid.uuid4().hex[:12]
    made = {"member": f"messagedb_member_{mark}", "stranger": f"messagedb_stranger_{mark}"}
    with psycopg.connect(server_url, autocommit=True) as conn:
        for name in made.values():
            conn.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
        yield {"message_store": "message_store", **made}
        for name in made.values():
            conn.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture(params=["message_store", "member", "stranger"])
def role(request: pytest.FixtureRequest, roles: dict[str, str], databases: Databases) -> str:
    """Return each role in turn. The two databases are asked for as they bring message_store."""
    name = roles[request.param]
    if request.param == "member":
        with psycopg.connect(databases.ours, autocommit=True) as conn:
            conn.execute(sql.SQL("grant message_store to {}").format(sql.Identifier(name)))
    return name


def test_the_grants(long_pair: Pair, role: str) -> None:
    for text in GRANTS:
        arguments: Any = {"role": role, "tables": ["messages", *VIEWS]}
        assert long_pair.same(text, arguments).rows


@pytest.mark.parametrize("text", [*ATTEMPTS, *CALLS])
def test_a_role_may_do_the_same_in_both_databases(pair: Pair, role: str, text: str) -> None:
    pair.both(f'set role "{role}"')
    pair.both("begin")
    outcome = pair.same(text)
    pair.both("rollback")
    assert outcome.sqlstate in (None, "42501", "42883", "42P01", "3F000", "55000")
    assert (outcome.sqlstate is None) == allowed(role, text)


def allowed(role: str, text: str) -> bool:
    """Return the expected privileges: reading and appending for message_store and its members."""
    if text.startswith(("listen", "create temp")):
        return True
    if text.startswith("grant"):
        # Not refused: a warning says that nothing was granted.
        return "stranger" not in role
    reads = text.startswith(("select", "insert")) and "setval" not in text
    return reads and "stranger" not in role


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_can_be_written(pair: Pair, view: str) -> None:
    for conn in pair:
        assert run(conn, f"delete from {view}").message == f'cannot delete from view "{view}"'


@pytest.mark.parametrize("text", CALLS)
def test_ours_works_without_a_search_path(databases: Databases, text: str) -> None:
    qualified = text
    for name in (
        "write_message",
        "get_",
        "stream_version",
        "acquire_lock",
        "message_store_version",
    ):
        qualified = qualified.replace(f" {name}", f" message_store.{name}")
    for name in ("category(", "id(", "cardinal_id(", "is_category(", "hash_64("):
        qualified = qualified.replace(f" {name}", f" message_store.{name}")
    with connect(databases.ours) as conn:
        conn.execute("set search_path = pg_catalog")
        conn.execute("begin")
        assert not run(conn, qualified).error
        conn.execute("rollback")
