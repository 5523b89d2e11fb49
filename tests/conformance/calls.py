"""The same call on both databases, and what a client sees of it: rows, notices, errors."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import Connection

# Parts of rows and messages that differ from one moment to the next.
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")
_TIME = "<time>"
_COMMAND = "Generated Command: "

TABLES = "truncate message_store.messages restart identity"


@dataclass(frozen=True)
class Databases:
    """Connection strings of a superuser: our schema, the genuine one."""

    ours: str
    genuine: str


@dataclass
class Outcome:
    """Result of one call, as a client sees it."""

    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    columns: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    notices: list[str] = field(default_factory=list[str])
    sqlstate: str | None = None
    error: tuple[str | None, ...] = ()

    @property
    def message(self) -> str:
        """The primary message of the error, '' for none."""
        return (self.error[0] or "") if self.error else ""


def run(conn: Connection[Any], text: str, params: Sequence[Any] | None = None) -> Outcome:
    """Execute one statement in autocommit, and note what came of it."""
    outcome = Outcome()

    def noted(diagnostic: psycopg.errors.Diagnostic) -> None:
        # Our own commands have their own text; that there is one is part of the interface.
        message = diagnostic.message_primary or ""
        outcome.notices.append(_COMMAND if message.startswith(_COMMAND) else message)

    conn.add_notice_handler(noted)
    try:
        cursor = conn.execute(text.encode(), params)
        if cursor.description is not None:
            outcome.rows = [tuple(_masked(value) for value in row) for row in cursor.fetchall()]
            outcome.columns = [(column.name, column.type_code) for column in cursor.description]
    except psycopg.Error as error:
        outcome.sqlstate = error.sqlstate
        diag = error.diag
        outcome.error = tuple(
            _TIMESTAMP.sub(_TIME, text) if text is not None else None
            for text in (
                diag.message_primary,
                diag.message_detail,
                diag.message_hint,
                diag.schema_name,
                diag.table_name,
                diag.column_name,
                diag.constraint_name,
            )
        )
    finally:
        conn.remove_notice_handler(noted)
    return outcome


def _masked(value: object) -> object:
    return _TIME if isinstance(value, datetime.datetime) else value


def query(url: str, text: str, *params: Any) -> list[tuple[Any, ...]]:
    """Execute one statement on a new connection, and return its rows."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(text.encode(), params)
        return cursor.fetchall() if cursor.description is not None else []


@dataclass(frozen=True)
class Pair:
    """A connection to each of the two databases."""

    ours: Connection[Any]
    genuine: Connection[Any]

    def __iter__(self) -> Any:
        return iter((self.ours, self.genuine))

    def same(self, text: str, params: Sequence[Any] | None = None) -> Outcome:
        """Execute a statement on both, assert that a client sees the same, and return it."""
        ours, genuine = run(self.ours, text, params), run(self.genuine, text, params)
        ours.columns, genuine.columns = _plain_columns(ours), _plain_columns(genuine)
        assert ours == genuine, f"{text} {params or ''}"
        return ours

    def both(self, text: str, params: Sequence[Any] | None = None) -> None:
        """Execute a statement on both, which must succeed on both."""
        for conn in (self.ours, self.genuine):
            conn.execute(text.encode(), params)


def _plain_columns(outcome: Outcome) -> list[tuple[str, int]]:
    # The number of a type that the schema itself made is the database's own.
    return [(name, code if code < 16384 else 0) for name, code in outcome.columns]
