"""What is wrong with a store is found, with its cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest

from messagedb.cli._doctor import Facts, findings
from tests.cli.conftest import Command
from tests.support import genuine
from tests.support.backend import make_url

NewDatabase = Callable[..., str]

WELL = Facts(
    server_version=180000,
    encoding="UTF8",
    in_recovery=False,
    read_only=False,
    database="db",
    role="me",
    search_path='"$user", message_store',
    sql_condition="",
    pid=1,
    has_schema=True,
    may_use_schema=True,
    has_table=True,
    may_select=True,
    may_insert=True,
    functions=["get_category_messages"],
    forbidden=[],
    indexes=["messages_category", "messages_id", "messages_stream"],
    mark="",
    has_positions=True,
    has_notify=False,
    rows=10**6,
    analyzed=True,
    oldest_seconds=1.0,
    libpq_pid=1,
    schema="message_store",
)


def test_nothing_is_wrong() -> None:
    assert {finding.level for finding in findings(WELL)} == {"ok"}
    assert {finding.fix for finding in findings(WELL)} == {""}


@pytest.mark.parametrize(
    ("changes", "level", "about", "fix"),
    [
        ({"server_version": 110000}, "problem", "server", "upgrade it"),
        ({"encoding": "SQL_ASCII"}, "problem", "encoding", "ENCODING 'UTF8'"),
        ({"in_recovery": True, "read_only": True}, "warning", "writes", "read-write"),
        ({"read_only": True}, "warning", "writes", "ALTER ROLE me RESET"),
        ({"pid": 2}, "warning", "pooler", "nothing has to be done"),
        ({"functions": []}, "problem", "message db", "messagedb install"),
        ({"has_schema": False, "functions": []}, "problem", "message db", "messagedb install"),
        ({"may_use_schema": False}, "problem", "rights", "GRANT message_store TO me"),
        ({"forbidden": ["write_message"]}, "problem", "rights", "GRANT message_store TO me"),
        ({"may_insert": False}, "warning", "rights", "batches and group reads are faster"),
        ({"indexes": ["messages_id"]}, "problem", "indexes", "REINDEX"),
        ({"analyzed": False}, "warning", "statistics", "ANALYZE message_store.messages"),
        ({"search_path": "public"}, "warning", "search_path", "ALTER ROLE me SET search_path"),
        ({"sql_condition": "on"}, "warning", "sql condition", "RESET message_store.sql_condition"),
        ({"has_positions": False}, "warning", "schema messagedb", "messagedb install"),
        ({"oldest_seconds": 3600.0}, "warning", "transactions", "end it"),
    ],
)
def test_what_is_wrong_has_a_cure(
    changes: dict[str, Any], level: str, about: str, fix: str
) -> None:
    wrong = [each for each in findings(msgspec.structs.replace(WELL, **changes)) if each.fix]
    assert [(each.level, each.about) for each in wrong] == [(level, about)]
    assert fix in wrong[0].fix


def levels(command: Command, url: str) -> dict[str, str]:
    return {row["about"]: row["level"] for row in command("--url", url, "doctor").rows}


def test_of_real_servers(command: Command, new_database: NewDatabase) -> None:
    empty, ours, theirs = new_database(install=False), new_database(), new_database(install=False)
    genuine.install(theirs)
    user = make_url(ours, user="message_store")
    assert command("--url", user, "doctor").code == 0
    assert set(levels(command, user).values()) - {"ok"} <= {"warning"}
    assert levels(command, empty)["message db"] == "problem"
    assert command("--url", empty, "doctor").code == 1
    found = levels(command, theirs)
    assert found["schema messagedb"] == "warning"
    assert "problem" not in found.values()
    with psycopg.connect(ours, autocommit=True) as conn:
        conn.execute("drop index message_store.messages_stream")
        conn.execute("revoke execute on all functions in schema message_store from message_store")
        conn.execute("revoke execute on all functions in schema message_store from public")
    found = levels(command, user)
    assert (found["indexes"], found["rights"]) == ("problem", "problem")
    assert command("--url", "postgresql://localhost:1/x", "doctor").code == 3
    wrong = command("--url", "x y", "doctor")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.count("\n") == 1
