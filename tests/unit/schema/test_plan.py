"""The plan of an installation: its text, and what is decided from the facts of a database."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import pytest

import messagedb._schema.install_plan as plan
from messagedb import schema
from messagedb._schema.inspection import DatabaseInfo, add_schema_version
from messagedb.errors import (
    IncompatibleServerError,
    RetryableError,
    ServerError,
    StoreUnavailableError,
    ValidationError,
)

EMPTY = DatabaseInfo(
    server_version=180000,
    encoding="UTF8",
    in_recovery=False,
    read_only=False,
    database="shop",
    user="owner",
    may_create_role=True,
    role_exists=False,
    schema_exists=False,
    may_create=True,
    has_messages=False,
    functions=[],
    may_create_messagedb=True,
    messagedb_tables=[],
)
# Our schema whole, in its version of today.
OWN = {
    "messagedb_tables": ["positions", "schema_version", "consumer_status"],
    "schema_version": 3,
}
FUNCTIONS = ["category", "get_category_messages", "get_stream_messages", "write_message", "more"]


def facts(**changes: Any) -> DatabaseInfo:
    return msgspec.structs.replace(EMPTY, **changes)


def test_an_empty_database_gets_everything() -> None:
    steps = plan.plan_install(EMPTY, "message_store")
    texts = steps.statements
    assert steps.installs
    assert "CREATE ROLE" in texts[0]
    assert texts[1].strip() == 'CREATE SCHEMA IF NOT EXISTS "message_store";'
    assert "".join(texts).count("CREATE FUNCTION") == 12
    assert "".join(texts).count("CREATE VIEW") == 6
    assert "CREATE SCHEMA IF NOT EXISTS messagedb;" in texts[-3]


def test_existing_objects_are_not_created() -> None:
    found = facts(role_exists=True, schema_exists=True, may_create_role=False, **OWN)
    texts = plan.plan_install(found, "s").statements
    assert "CREATE ROLE" not in "".join(texts)
    assert "CREATE SCHEMA" not in "".join(texts)
    assert 'CREATE TABLE "s".messages' in texts[0]
    assert "messagedb.positions" not in "".join(texts)


@pytest.mark.parametrize(
    "changes",
    [
        {"has_messages": True},
        {"has_messages": False},
        {"encoding": "LATIN1"},
        {"server_version": 120000},
        {"in_recovery": True, "read_only": True},
        {"may_create": False, "may_create_role": False},
    ],
)
def test_a_message_db_that_is_there_is_left_alone(changes: dict[str, Any]) -> None:
    found = facts(functions=FUNCTIONS, schema_exists=True, role_exists=True, **changes)
    steps = plan.plan_install(found, "s")
    assert not steps.installs
    # Beside it, where that can be, our own schema and nothing else.
    assert len(steps.statements) == (0 if found.in_recovery else 3)
    assert all("messagedb." in text for text in steps.statements)
    assert '"s"' not in "".join(steps.statements)
    assert plan.plan_install(msgspec.structs.replace(found, **OWN), "s").statements == []


@pytest.mark.parametrize(
    "changes",
    [
        {"may_create_messagedb": False},
        {"may_create_messagedb": False, "messagedb_tables": OWN["messagedb_tables"]},
        {"in_recovery": True},
        {"read_only": True},
        {"role_exists": False, "may_create_role": False},
        {**OWN, "schema_version": 99},
    ],
)
def test_our_schema_is_left_out_beside_a_message_db(changes: dict[str, Any]) -> None:
    found = facts(**({"functions": FUNCTIONS, "role_exists": True} | changes))
    assert plan.plan_install(found, "s") == plan.InstallPlan([], installs=False)


def test_a_role_that_is_missing_is_made_first() -> None:
    texts = plan.plan_install(facts(functions=FUNCTIONS, schema_exists=True), "s").statements
    assert "CREATE ROLE" in texts[0]
    assert "messagedb.positions" in texts[1]


def test_message_db_is_installed_where_our_schema_cannot_be() -> None:
    steps = plan.plan_install(facts(schema_exists=True, may_create_messagedb=False), "s")
    assert steps.installs
    assert "messagedb.positions" not in "".join(steps.statements)


@pytest.mark.parametrize("table", ["positions", "schema_version", "consumer_status"])
def test_a_schema_of_our_name_that_is_not_ours(table: str) -> None:
    for functions in ([], FUNCTIONS):
        with pytest.raises(IncompatibleServerError, match=rf"{table}.*Rename") as caught:
            plan.plan_install(facts(functions=functions, messagedb_tables=[table]), "s")
        assert str(caught.value).endswith("Nothing was installed.")


def test_an_older_version_of_our_schema_is_brought_to_the_newest() -> None:
    tables = facts(functions=FUNCTIONS, role_exists=True, messagedb_tables=OWN["messagedb_tables"])
    assert len(plan.plan_install(add_schema_version(tables, (0,)), "s").statements) == 3
    (text, _) = plan.plan_install(add_schema_version(tables, (1,)), "s").statements
    assert "messagedb.consumer_status" in text
    (text,) = plan.plan_install(add_schema_version(tables, (2,)), "s").statements
    assert "messagedb.partitions" in text
    assert plan.plan_install(add_schema_version(tables, (3,)), "s").statements == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"server_version": 130014}, "PostgreSQL 13, .* 14 or later"),
        ({"in_recovery": True, "read_only": True}, "standby .*target_session_attrs"),
        ({"read_only": True}, "default_transaction_read_only = off"),
        ({"encoding": "LATIN1"}, "LATIN1; .*ENCODING 'UTF8' TEMPLATE template0"),
        ({"encoding": "SQL_ASCII"}, "SQL_ASCII; .*ENCODING 'UTF8'"),
        ({"may_create_role": False}, "CREATE ROLE message_store LOGIN"),
        ({"may_create": False}, 'GRANT CREATE ON DATABASE "shop" TO "owner"'),
        ({"may_create": False, "schema_exists": True}, 'GRANT CREATE ON SCHEMA "s" TO "owner"'),
        ({"has_messages": True, "functions": FUNCTIONS[:2]}, "belong to another application"),
    ],
)
def test_a_database_that_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(IncompatibleServerError, match=words) as caught:
        plan.plan_install(facts(**changes), "s")
    assert str(caught.value).endswith("Nothing was installed.")


def test_the_schema_is_quoted_wherever_it_stands() -> None:
    text = "".join(plan.plan_install(EMPTY, 'it\'s "odd" @schema@').statements)
    assert '"it\'s ""odd"" @schema@".messages' in text
    assert '"it\'\'s ""odd"" @schema@".messages' in text
    assert "@schema_text@" not in text


def test_the_script_is_one_transaction() -> None:
    text = schema.build_script(schema="store")
    assert text.index("BEGIN;") < text.index("CREATE ROLE") < text.index('"store".messages')
    assert text.index('"store".messages') < text.index("messagedb.positions")
    assert text.endswith("COMMIT;\n")
    assert "'1.3.0'" in text
    assert schema.VERSION == "1.3.0"


@pytest.mark.parametrize(
    "name", ["", "pg_x", "information_schema", "x" * 64, "é" * 32, "a\0", 1, "messagedb"]
)
def test_a_name_that_cannot_be_a_schema(name: Any) -> None:
    with pytest.raises(ValidationError, match="schema must"):
        schema.build_script(schema=name)


def test_connecting_takes_a_limited_time() -> None:
    assert plan.connect_arguments("")["connect_timeout"] == plan.CONNECT_SECONDS
    assert "connect_timeout" not in plan.connect_arguments("connect_timeout=3")


@pytest.mark.parametrize("conninfo", [None, 1, b"host=h", "host=h x", "embedded:./data"])
def test_invalid_connection_strings_are_refused(conninfo: Any) -> None:
    with pytest.raises(ValidationError):
        plan.check_conninfo(conninfo)


@pytest.mark.parametrize(
    ("error", "lost", "kind", "words"),
    [
        (psycopg.errors.InsufficientPrivilege("no"), False, IncompatibleServerError, "owner"),
        (psycopg.errors.LockNotAvailable("no"), False, RetryableError, "Nothing was installed"),
        (psycopg.errors.DuplicateTable("no"), False, ServerError, "Nothing was installed"),
        (psycopg.OperationalError("gone"), True, StoreUnavailableError, "complete or not there"),
    ],
)
def test_errors_of_the_installation_are_mapped(
    error: psycopg.Error, lost: bool, kind: type[Exception], words: str
) -> None:
    found = plan.install_error(error, lost)
    assert isinstance(found, kind)
    assert words in str(found)
