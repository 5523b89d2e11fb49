"""Problems of a store are found, with their fixes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest

from messagedb._diagnosis.facts import StoreFacts
from messagedb._diagnosis.findings import REVISION_COMMENT, diagnose
from messagedb._schema.revisions import FUNCTIONS, VIEWS
from tests.cli.conftest import Command
from tests.support import genuine
from tests.support.backend import make_url

NewDatabase = Callable[..., str]

WELL = StoreFacts(
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
    functions=[*FUNCTIONS],
    forbidden=[],
    indexes=["messages_category", "messages_id", "messages_stream"],
    invalid_indexes=[],
    views=[*VIEWS],
    mark="",
    has_positions=True,
    may_use_positions=True,
    has_notify=False,
    is_sequence_behind=False,
    rows=10**6,
    analyzed=True,
    autovacuum=True,
    survives=True,
    waits_for_disk=True,
    sees_all=True,
    oldest_seconds=1.0,
    prepared_seconds=0.0,
    refusal="",
    libpq_pid=1,
    schema="message_store",
)


def test_nothing_is_wrong() -> None:
    assert {finding.level for finding in diagnose(WELL)} == {"ok"}
    assert {finding.fix for finding in diagnose(WELL)} == {""}
    genuine = msgspec.structs.replace(WELL, role="message_store", search_path='"$user", public')
    assert {finding.level for finding in diagnose(genuine)} == {"ok"}
    limited = diagnose(msgspec.structs.replace(WELL, sees_all=False))[-1]
    assert (limited.level, limited.finding) == (
        "ok",
        "no long ones of this role; it cannot see those of others",
    )


@pytest.mark.parametrize(
    ("changes", "level", "about", "fix"),
    [
        ({"server_version": 110000}, "problem", "server", "upgrade it"),
        ({"encoding": "SQL_ASCII"}, "problem", "encoding", "ENCODING 'UTF8'"),
        ({"in_recovery": True, "read_only": True}, "warning", "writes", "read-write"),
        ({"read_only": True}, "warning", "writes", "ALTER ROLE me RESET"),
        ({"pid": 2}, "warning", "pooler", "no action needed"),
        ({"functions": []}, "problem", "message db", "messagedb install"),
        ({"has_schema": False, "functions": []}, "problem", "message db", "messagedb install"),
        ({"may_use_schema": False}, "problem", "rights", "GRANT message_store TO me"),
        ({"forbidden": ["write_message"]}, "problem", "rights", "GRANT message_store TO me"),
        ({"may_insert": False}, "warning", "rights", "batches and group reads are faster"),
        ({"indexes": ["messages_id"]}, "problem", "indexes", "install-indexes.sh"),
        (
            {"indexes": ["messages_id", "messages_stream"], "mark": f"{REVISION_COMMENT} 2"},
            "problem",
            "indexes",
            "messagedb upgrade",
        ),
        (
            {
                "indexes": ["messages_category", "messages_stream"],
                "invalid_indexes": ["messages_id"],
            },
            "problem",
            "indexes",
            "REINDEX INDEX CONCURRENTLY message_store.messages_id",
        ),
        ({"views": [*VIEWS[1:]]}, "warning", "views", "install-views.sh"),
        ({"views": [], "mark": f"{REVISION_COMMENT} 2"}, "warning", "views", "messagedb upgrade"),
        (
            {"functions": [name for name in FUNCTIONS if name != "id/1"]},
            "warning",
            "functions",
            "install-functions.sh",
        ),
        (
            {"functions": [name for name in FUNCTIONS if name != "write_message/6"]},
            "problem",
            "functions",
            "install-functions.sh",
        ),
        ({"analyzed": False}, "warning", "statistics", "ANALYZE message_store.messages"),
        ({"search_path": "public"}, "warning", "search_path", "ALTER ROLE me SET search_path"),
        ({"sql_condition": "on"}, "warning", "sql condition", "RESET message_store.sql_condition"),
        ({"has_positions": False}, "warning", "schema messagedb", "messagedb install"),
        ({"may_use_positions": False}, "warning", "schema messagedb", "GRANT USAGE ON SCHEMA"),
        ({"is_sequence_behind": True}, "problem", "positions", "SELECT setval("),
        (
            {"functions": [*FUNCTIONS[:4], "get_last_stream_message/1", *FUNCTIONS[5:]]},
            "warning",
            "message db",
            "own scripts",
        ),
        ({"autovacuum": False}, "warning", "statistics", "RESET (autovacuum_enabled)"),
        ({"survives": False, "waits_for_disk": False}, "warning", "durability", "set both to on"),
        ({"waits_for_disk": False}, "warning", "durability", "SET synchronous_commit = on"),
        ({"prepared_seconds": 3600.0}, "warning", "transactions", "ROLLBACK PREPARED"),
        ({"refusal": "It says no."}, "problem", "client", "follow the advice in this text"),
        ({"refusal": "It says no.", "encoding": "LATIN1"}, "problem", "encoding", "UTF8"),
        ({"oldest_seconds": 3600.0}, "warning", "transactions", "end it"),
    ],
)
def test_every_problem_has_a_fix(changes: dict[str, Any], level: str, about: str, fix: str) -> None:
    wrong = [each for each in diagnose(msgspec.structs.replace(WELL, **changes)) if each.fix]
    assert [(each.level, each.topic) for each in wrong] == [(level, about)]
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


@pytest.mark.parametrize("version", genuine.VERSIONS)
def test_message_db_before_1_3_is_old_and_nothing_else_is_wrong_with_it(
    command: Command, new_database: NewDatabase, version: str
) -> None:
    owner = new_database(install=False)
    genuine.install(owner, version)
    rows = {row["about"]: row for row in command("--url", owner, "doctor").rows}
    is_old = version < "1.3"
    assert ("older than 1.3" in rows["message db"]["found"]) is is_old
    assert rows["message db"]["level"] == ("warning" if is_old else "ok")
    assert "problem" not in {row["level"] for row in rows.values()}
    for about in ("functions", "rights", "indexes"):
        assert rows[about]["level"] == "ok"


def test_a_role_that_may_not_use_our_schema(command: Command, new_database: NewDatabase) -> None:
    owner = new_database()
    user = make_url(owner, user="message_store")
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute("revoke usage on schema messagedb from message_store")
    (row,) = [
        row for row in command("--url", user, "doctor").rows if row["about"] == "schema messagedb"
    ]
    assert (row["level"], row["found"].partition(";")[0]) == (
        "warning",
        "role message_store may not store positions there",
    )
    done = command("--url", user, "consumers", "status")
    assert (done.code, done.err) == (0, "")


def test_dropped_objects_are_found_and_the_fix_works(
    command: Command, new_database: NewDatabase
) -> None:
    owner = new_database()
    with psycopg.connect(owner, autocommit=True) as conn:
        for text in (
            "drop view message_store.type_summary",
            "drop index message_store.messages_category",
            "drop function message_store.is_category(varchar)",
        ):
            conn.execute(text.encode())
    rows = {row["about"]: row for row in command("--url", owner, "doctor").rows}
    for about, level in (("views", "warning"), ("indexes", "problem"), ("functions", "warning")):
        assert rows[about]["level"] == level
        assert "messagedb upgrade" in rows[about]["fix"]
    assert command("--url", owner, "upgrade").rows == [{"upgraded": True}]
    found = levels(command, owner)
    assert {found[about] for about in ("views", "indexes", "functions")} == {"ok"}
    assert command("--url", owner, "upgrade").rows == [{"upgraded": False}]


def test_a_sequence_behind_its_table_is_found_and_the_cure_works(
    command: Command, new_database: NewDatabase
) -> None:
    owner = new_database()
    user = make_url(owner, user="message_store")
    assert levels(command, user)["positions"] == "ok"
    assert command("--url", user, "write", "a-1", "A", "{}").code == 0
    with psycopg.connect(owner, autocommit=True) as conn:
        conn.execute("select setval('message_store.messages_global_position_seq', 1, false)")
        (row,) = [
            row for row in command("--url", user, "doctor").rows if row["about"] == "positions"
        ]
        assert row["level"] == "problem"
        conn.execute(row["fix"].partition(": ")[2].encode())
    assert levels(command, user)["positions"] == "ok"


def test_a_database_of_another_encoding(command: Command, new_database: NewDatabase) -> None:
    for encoding in ("SQL_ASCII", "LATIN1"):
        found = levels(command, new_database(encoding=encoding, install=False))
        assert (found["encoding"], found["message db"]) == ("problem", "problem")


@pytest.mark.parametrize(
    "url", ["postgresql://u:sec%ret@h/x", "x sec%ret", "postgresql:///x?sec%ret=1"]
)
def test_no_password_is_shown(command: Command, url: str) -> None:
    for name in ("doctor", "ping", "install", "uninstall"):
        wrong = command("--url", url, name)
        assert (wrong.code, wrong.out, wrong.err.count("\n")) == (1, "", 1)
        assert "sec%ret" not in wrong.err
