"""The plan of an installation: its text, and what is decided from the facts of a database."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import pytest

import messagedb.schema._plan as plan
from messagedb import schema
from messagedb.errors import (
    IncompatibleServerError,
    RetryableError,
    ServerError,
    StoreUnavailableError,
    ValidationError,
)

EMPTY = plan.Facts(
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
)
FUNCTIONS = ["category", "get_category_messages", "get_stream_messages", "write_message", "more"]


def facts(**changes: Any) -> plan.Facts:
    return msgspec.structs.replace(EMPTY, **changes)


def test_an_empty_database_gets_everything() -> None:
    texts = plan.steps(EMPTY, "message_store")
    assert "CREATE ROLE" in texts[0]
    assert texts[1].strip() == 'CREATE SCHEMA IF NOT EXISTS "message_store";'
    assert "".join(texts).count("CREATE FUNCTION") == 12
    assert "".join(texts).count("CREATE VIEW") == 6


def test_what_is_there_is_not_made() -> None:
    texts = plan.steps(facts(role_exists=True, schema_exists=True, may_create_role=False), "s")
    assert "CREATE ROLE" not in "".join(texts)
    assert "CREATE SCHEMA" not in "".join(texts)
    assert 'CREATE TABLE "s".messages' in texts[0]


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
    assert plan.steps(facts(functions=FUNCTIONS, schema_exists=True, **changes), "s") == []


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
        ({"has_messages": True, "functions": FUNCTIONS[:2]}, "not known whose"),
    ],
)
def test_a_database_that_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(IncompatibleServerError, match=words) as caught:
        plan.steps(facts(**changes), "s")
    assert str(caught.value).endswith("Nothing was installed.")


def test_the_schema_is_quoted_wherever_it_stands() -> None:
    text = "".join(plan.steps(EMPTY, 'it\'s "odd" @schema@'))
    assert '"it\'s ""odd"" @schema@".messages' in text
    assert '"it\'\'s ""odd"" @schema@".messages' in text
    assert "@schema_text@" not in text


def test_the_script_is_one_transaction() -> None:
    text = schema.script(schema="store")
    assert text.index("BEGIN;") < text.index("CREATE ROLE") < text.index('"store".messages')
    assert text.endswith("COMMIT;\n")
    assert "'1.3.0'" in text
    assert schema.VERSION == "1.3.0"


@pytest.mark.parametrize("name", ["", "pg_x", "information_schema", "x" * 64, "é" * 32, "a\0", 1])
def test_a_name_that_cannot_be_a_schema(name: Any) -> None:
    with pytest.raises(ValidationError, match="schema must"):
        schema.script(schema=name)


def test_connecting_takes_a_limited_time() -> None:
    assert plan.connect_arguments("")["connect_timeout"] == plan.CONNECT_SECONDS
    assert "connect_timeout" not in plan.connect_arguments("connect_timeout=3")


@pytest.mark.parametrize("conninfo", [None, 1, b"host=h", "host=h x", "embedded:./data"])
def test_what_is_no_connection_string(conninfo: Any) -> None:
    with pytest.raises(ValidationError):
        plan.check_conninfo(conninfo)


@pytest.mark.parametrize(
    ("error", "lost", "kind", "words"),
    [
        (psycopg.errors.InsufficientPrivilege("no"), False, IncompatibleServerError, "owner"),
        (psycopg.errors.LockNotAvailable("no"), False, RetryableError, "Nothing was installed"),
        (psycopg.errors.DuplicateTable("no"), False, ServerError, "Nothing was installed"),
        (psycopg.OperationalError("gone"), True, StoreUnavailableError, "whole or not at all"),
    ],
)
def test_what_becomes_of_an_error(
    error: psycopg.Error, lost: bool, kind: type[Exception], words: str
) -> None:
    found = plan.unsuccessful(error, lost)
    assert isinstance(found, kind)
    assert words in str(found)
