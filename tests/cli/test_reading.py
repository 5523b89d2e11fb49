"""A stream, a category and the whole store are read backwards, since a time, and filtered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from messagedb import Client, NewMessage, ValidationError
from messagedb.cli._parse_time import parse_since
from tests.cli.conftest import Command
from tests.conftest import NewDatabase

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
METADATA: dict[int, dict[str, Any]] = {
    1: {"correlationStreamName": "flow-1"},
    2: {"causationMessageStreamName": "a-1", "causationMessagePosition": 0},
    3: {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
}


@pytest.fixture(scope="module")
def own_url(new_database: NewDatabase) -> str:
    """Return the URL of a store with six messages in two categories, one a minute."""
    url = new_database()
    with Client(url) as client:
        for number in range(6):
            message = NewMessage(f"T{number}", None, metadata=METADATA.get(number))
            client.write_message(f"{'ab'[number % 2]}-1", message)
    with psycopg.connect(url) as conn:
        conn.execute(
            "UPDATE message_store.messages SET time = %s + global_position * interval '1 minute'",
            [NOON.replace(tzinfo=None) - timedelta(minutes=1)],
        )
    return url


@pytest.fixture
def own(own_url: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command in that store."""
    monkeypatch.setenv("MESSAGEDB_URL", own_url)
    return command


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        (("--all",), "012345"),
        (("--all", "--last", "2"), "54"),
        (("--all", "--from", "5"), "45"),
        (("--all", "--from", "end"), ""),
        (("--all", "--since", "2026-05-01T12:03"), "345"),
        (("--all", "--since", "2026-05-01T14:03+02:00", "--limit", "2"), "34"),
        (("--all", "--since", "2026-05-01T12:03", "--last", "9"), "543"),
        (("--all", "--types", "T1,T4"), "14"),
        (("--all", "--types", "T1,T4", "--last", "1"), "4"),
        (("--all", "--correlation", "flow"), "1"),
        (("--all", "--causation", "a-1/0"), "2"),
        (("--all", "--trace-id", TRACE_ID, "--last", "5"), "3"),
        (("a", "--last", "2"), "42"),
        (("a", "--since", "2026-05-01T12:01"), "24"),
        (("b", "--since", "2026-05-01T12:02", "--last", "9"), "53"),
        (("b", "--correlation", "flow-1"), "1"),
        (("b", "--correlation", "flow-1", "--last", "1"), "1"),
        (("a", "--causation", "a-1/0"), "2"),
        (("b", "--trace-id", TRACE_ID), "3"),
        (("a-1", "--last", "2"), "42"),
        (("a-1", "--last", "2", "--types", "T0,T2"), "20"),
        (("a-1", "--since", "2026-05-01T12:01"), "24"),
        (("a-1", "--since", "2026-05-02"), ""),
        (("b-1", "--correlation", "flow"), "1"),
        (("a-1", "--causation", "a-1/0", "--last", "3"), "2"),
        (("b-1", "--trace-id", TRACE_ID, "--batch-size", "1"), "3"),
    ],
)
def test_what_is_asked_for_is_read(own: Command, arguments: tuple[str, ...], types: str) -> None:
    done = own("read", *arguments)
    assert (done.code, done.err) == (0, "")
    assert [row["type"] for row in done.rows] == [f"T{number}" for number in types]


@pytest.mark.parametrize("name", ["--all", "b", "b-1"])
def test_following_begins_with_the_last_messages_in_their_order(own: Command, name: str) -> None:
    done = own("read", name, "--follow", "--last", "2", "--limit", "2")
    expected = ["T4", "T5"] if name == "--all" else ["T3", "T5"]
    assert [row["type"] for row in done.rows] == expected


def test_an_empty_store_is_reported(
    new_database: NewDatabase, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGEDB_URL", new_database())
    for arguments in (("--all",), ("--all", "--last", "3"), ("--all", "--since", "1h")):
        done = command("read", *arguments)
        assert (done.code, done.out) == (1, "")
        assert "the store has no message" in done.err


def test_a_time_is_absolute_or_ago() -> None:
    for text, expected in {
        "90s": NOON - timedelta(seconds=90),
        "10m": NOON - timedelta(minutes=10),
        "2h": NOON - timedelta(hours=2),
        "7d": NOON - timedelta(days=7),
        "2026-05-01": NOON - timedelta(hours=12),
        "2026-05-01T12:00Z": NOON,
        "2026-05-01 14:00+02:00": NOON,
    }.items():
        assert parse_since(text, NOON) == expected
    for text in ("", "5", "1w", "-1h", "now", "999999d", "2026-13-01", "0001-01-01T00:00+10:00"):
        with pytest.raises(ValidationError, match="--since takes a time"):
            parse_since(text, NOON)
