"""Message DB is installed, upgraded, removed and counted by the CLI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from messagedb import Client, NewMessage
from messagedb.cli._summary_queries import build_like_pattern
from tests.cli.conftest import Command
from tests.support import genuine

NewDatabase = Callable[..., str]


def test_it_comes_and_goes(command: Command, new_database: NewDatabase) -> None:
    url = new_database(install=False)
    assert command("--url", url, "upgrade").err.startswith("messagedb: there is no Message DB in")
    assert command("--url", url, "install").rows == [{"installed": True}]
    assert command("--url", url, "--format", "table", "install").out == (
        "not installed: a Message DB was already there\n"
    )
    assert command("--url", url, "upgrade").rows == [{"upgraded": False}]
    assert command("--url", url, "write", "account-1", "Opened").code == 0
    refused = command("--url", url, "uninstall", input="n\n")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "Drop the Message DB in schema 'message_store', with 1 messages? [y/N] "
        "messagedb: not confirmed. Nothing was changed.\n"
    )
    assert len(command("--url", url, "read", "account").rows) == 1
    assert command("--url", url, "uninstall", input="y\n").rows == [{"uninstalled": True}]
    gone = command("--url", url, "uninstall", "--yes")
    assert (gone.code, gone.err) == (
        1,
        "messagedb: there is no Message DB in schema 'message_store'. Nothing was changed.\n",
    )
    assert command("--url", url, "ping").code == 1


def test_a_foreign_message_db_is_not_uninstalled(
    command: Command, new_database: NewDatabase
) -> None:
    url = new_database(install=False)
    genuine.install(url)
    refused = command("--url", url, "uninstall", input="y\n")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("messagedb: the Message DB in schema")
    assert "was not installed by messagedb" in refused.err


def test_its_script_is_run_by_hand(command: Command, new_database: NewDatabase) -> None:
    url = new_database(install=False)
    script = command("--schema", "other", "install", "--script")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(script.out.encode())
    assert command("--url", url, "--schema", "other", "ping").rows[0]["message_store_version"]


def test_an_embedded_store_is_its_users_own(command: Command, open_folder: Path) -> None:
    url = f"embedded:{open_folder / 'my store'}"
    assert command("--url", url, "write", "account-1", "Opened").code == 0
    assert command("--url", url, "install").rows == [{"installed": False}]
    assert command("--url", url, "uninstall", "-y").rows == [{"uninstalled": True}]
    assert command("--url", url, "read", "account").rows == []  # and is installed again


@pytest.fixture(scope="module")
def counted(new_database: NewDatabase) -> str:
    """Return a store with messages of two types in three categories."""
    url = new_database()
    with Client(url) as client:
        for stream, type, count in (
            ("account-1", "A", 5),
            ("account-2", "B", 3),
            ("transfer-1", "A", 1),
            ("a_b-1", "A", 1),
        ):
            client.write_messages(stream, [NewMessage(type) for _ in range(count)])
    return url


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (
            ("streams",),
            [("account-1", 5), ("account-2", 3), ("a_b-1", 1), ("transfer-1", 1)],
        ),
        (("streams", "account-*"), [("account-1", 5), ("account-2", 3)]),
        (("streams", "a_b*"), [("a_b-1", 1)]),
        (("streams", "account-1", "--types"), [("account-1", "A", 5)]),
        (("streams", "-n", "1"), [("account-1", 5)]),
        (("categories",), [("account", 8), ("a_b", 1), ("transfer", 1)]),
        (("categories", "acc*", "--types"), [("account", "A", 5), ("account", "B", 3)]),
        (("types",), [("A", 7), ("B", 3)]),
        (("types", "B"), [("B", 3)]),
        (("types", "B*", "--streams"), [("B", "account-2", 3)]),
        (("types", "A", "--categories", "-n", "2"), [("A", "account", 5), ("A", "a_b", 1)]),
        (("types", "C"), []),
    ],
)
def test_messages_are_counted(
    command: Command, counted: str, arguments: tuple[str, ...], rows: list[tuple[object, ...]]
) -> None:
    found = command("--url", counted, *arguments)
    assert (found.code, found.err) == (0, "")
    assert [tuple(row.values())[:-1] for row in found.rows] == rows
    assert all(row["percent"] == row["message_count"] * 10 for row in found.rows)


def test_a_server_refusal_is_one_line(command: Command, counted: str) -> None:
    done = command("--url", counted, "streams", "-n", "9" * 20)
    assert (done.code, done.out) == (1, "")
    assert done.err == "messagedb: the server refused: bigint out of range. Nothing was changed.\n"


def test_counting_by_one_thing_only(command: Command, counted: str) -> None:
    done = command("--url", counted, "types", "--streams", "--categories")
    assert (done.code, done.out) == (2, "")


def test_patterns() -> None:
    assert [build_like_pattern(each) for each in ("a*", "a_b", "50%", "\\", "**")] == [
        "a%",
        "a\\_b",
        "50\\%",
        "\\\\",
        "%%",
    ]


def test_versions(command: Command) -> None:
    (row,) = command("version").rows
    assert list(row) == ["messagedb", "python", "psycopg", "libpq", "schema"]
    assert row["psycopg"] == psycopg.__version__
