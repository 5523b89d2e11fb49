"""Decisions about the trigger from the facts of a database: its statements and refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import pytest

from messagedb._schema import notify_trigger
from messagedb._schema.inspection import DatabaseInfo
from messagedb.errors import (
    IncompatibleServerError,
    RetryableError,
    ServerError,
    StoreUnavailableError,
)

FACTS = DatabaseInfo(
    server_version=180000,
    encoding="UTF8",
    in_recovery=False,
    read_only=False,
    database="shop",
    user="owner",
    may_create_role=True,
    role_exists=True,
    schema_exists=True,
    may_create=True,
    has_messages=True,
    functions=[],
    may_create_messagedb=True,
    messagedb_tables=["positions", "schema_version", "consumer_status"],
    schema_version=3,
)
FOUND = notify_trigger.NotifyInfo(
    has_table=True,
    owner="boss",
    is_owner=True,
    has_trigger=False,
    trigger_is_ours=False,
    has_function=False,
    is_function_unused=False,
    may_use_messagedb=True,
    may_create_function=True,
)
NO_OWN: dict[str, Any] = {"messagedb_tables": [], "schema_version": None}


def steps(found: dict[str, Any], **facts: Any) -> list[str]:
    changed = msgspec.structs.replace(FACTS, **facts)
    return notify_trigger.plan_install_notify(
        changed, msgspec.structs.replace(FOUND, **found), 'a"b'
    )


def removal(**found: Any) -> list[str]:
    return notify_trigger.plan_remove_notify(FACTS, msgspec.structs.replace(FOUND, **found), 'a"b')


def words(texts: list[str]) -> list[str]:
    """Return the kind of each statement."""
    marks = {
        "CREATE ROLE": "role",
        "CREATE TABLE": "schema",
        "CREATE FUNCTION": "function",
        "CREATE TRIGGER": "trigger",
    }
    return [next(word for mark, word in marks.items() if mark in text) for text in texts]


def test_missing_objects_are_created() -> None:
    assert words(steps({})) == ["function", "trigger"]
    assert words(steps({"has_function": True})) == ["trigger"]
    assert words(steps({"may_create_function": False}, **NO_OWN)) == [
        "schema",
        "schema",
        "schema",
        "function",
        "trigger",
    ]
    assert words(steps({}, role_exists=False, **NO_OWN)) == [
        "role",
        "schema",
        "schema",
        "schema",
        "function",
        "trigger",
    ]
    assert steps({"has_trigger": True, "trigger_is_ours": True, "is_owner": False}) == []
    assert 'ON "a""b".messages' in steps({})[-1]


@pytest.mark.parametrize(
    ("found", "facts", "text"),
    [
        ({"has_table": False}, {}, "no table 'messages' in schema"),
        ({"is_owner": False}, {}, "connect as 'boss'"),
        ({"has_trigger": True}, {}, "rename it"),
        ({}, {"in_recovery": True, "read_only": True}, "target_session_attrs"),
        ({}, {"read_only": True}, "default_transaction_read_only = off"),
        (
            {"may_create_function": False},
            {"may_create_messagedb": False},
            "owner of schema 'messagedb'",
        ),
        (
            {"may_use_messagedb": False, "may_create_function": False, "has_function": True},
            {"may_create_messagedb": False},
            "owner of schema 'messagedb'",
        ),
        (
            {"may_create_function": False},
            {"may_create_messagedb": False, **NO_OWN},
            'GRANT CREATE ON DATABASE "shop" TO "owner"',
        ),
        (
            {"may_create_function": False},
            {"role_exists": False, "may_create_role": False, **NO_OWN},
            "CREATE ROLE message_store LOGIN",
        ),
    ],
)
def test_databases_that_cannot_notify_are_refused(
    found: dict[str, Any], facts: dict[str, Any], text: str
) -> None:
    with pytest.raises(IncompatibleServerError, match=text) as caught:
        steps(found, **facts)
    assert str(caught.value).endswith("Nothing was changed.")


def test_taking_it_away() -> None:
    assert removal() == []
    ours = {"has_trigger": True, "trigger_is_ours": True}
    trigger = 'DROP TRIGGER messagedb_notify ON "a""b".messages'
    assert removal(**ours) == [trigger]
    function = "DROP FUNCTION messagedb.notify_of_messages()"
    assert removal(**ours, is_function_unused=True) == [trigger, function]
    with pytest.raises(IncompatibleServerError, match="connect as 'boss'"):
        removal(**ours, is_owner=False)
    with pytest.raises(IncompatibleServerError, match="no table"):
        removal(has_table=False)


@pytest.mark.parametrize(
    ("error", "lost", "kind", "text"),
    [
        (psycopg.errors.InsufficientPrivilege("no"), False, IncompatibleServerError, "owner"),
        (psycopg.errors.LockNotAvailable("no"), False, RetryableError, "Nothing was changed"),
        (psycopg.errors.DuplicateObject("no"), False, ServerError, "Nothing was changed"),
        (psycopg.OperationalError("gone"), True, StoreUnavailableError, "complete or not made"),
    ],
)
def test_errors_of_the_notify_trigger_are_mapped(
    error: psycopg.Error, lost: bool, kind: type[Exception], text: str
) -> None:
    found = notify_trigger.notify_error(error, lost)
    assert isinstance(found, kind)
    assert text in str(found)


@pytest.mark.parametrize(
    ("schema", "channel"),
    [
        ("message_store", "messagedb"),
        ("tenant_a", "messagedb:tenant_a"),
        ("é" * 27, "messagedb:e28696afa26a51e0ca39fa166b80fde8"),
        ("x" * 53, "messagedb:" + "x" * 53),
        ("x" * 54, "messagedb:61ea0974c662328da964d977a8253873"),
    ],
)
def test_each_store_of_a_database_has_a_channel(schema: str, channel: str) -> None:
    assert notify_trigger.get_channel(schema) == channel
    assert len(channel.encode()) <= 63
