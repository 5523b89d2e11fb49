"""The sequence of the global positions: detection that it is behind its table, and the fix.

It is behind after a restore or a logical replication of the table alone. New messages then get
positions that are in use, or that consumers have passed: these are never handled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from .._errors import IncompatibleServerError
from .._sql.statements import quoted
from .sqlstates import find_constraint

if TYPE_CHECKING:
    import psycopg

_KEY: Final = "messages_pkey"


class Sequence(msgspec.Struct):
    """The sequence of a store.

    Attributes:
        name: as SQL, with its schema; None if the role may not read it.
        is_suspected: whether it was seen behind its table: then it is checked before each write.
    """

    name: str | None
    is_suspected: bool = False


def build_query(schema: str, sequence: str) -> str:
    """Return the query for the last position in the table, and the sequence's last value.

    The statement's snapshot is taken before the sequence is read, and a position is assigned before
    its message is visible: with concurrent writes, a correct sequence is never behind.
    """
    return (
        f"SELECT (SELECT max(global_position) FROM {quoted(schema)}.messages), "
        f"last_value, is_called FROM {sequence}"
    )


def is_behind(row: tuple[Any, ...]) -> bool:
    """Return True if the sequence's next position is in use, or was passed."""
    head, last, is_called = row
    return head is not None and (last < head or (last == head and not is_called))


def describe_fix(schema: str) -> str:
    """Return the statement that corrects the sequence, for the owner of the table."""
    table = f"{quoted(schema)}.messages" if schema != "message_store" else "message_store.messages"
    literal = table.replace("'", "''")
    return (
        f"SELECT setval(pg_get_serial_sequence('{literal}', 'global_position'), "
        f"(SELECT max(global_position) FROM {table}))"
    )


def sequence_behind_error(schema: str, row: tuple[Any, ...]) -> IncompatibleServerError:
    """Return the error for a write to a store whose sequence is behind."""
    head, last, _ = row
    return IncompatibleServerError(
        f"the sequence of the global positions is behind the table of messages: its last value is "
        f"{last}, and the last message is at {head}, as after a restore or a replication of the "
        "table alone. New messages would get positions that consumers have passed, and "
        "would never be handled. Nothing was written; reads are allowed. As the owner of the "
        f"table, run {describe_fix(schema)}"
    )


def is_position_taken(error: psycopg.Error) -> bool:
    """Return True if a write was refused because its global position is already in use."""
    return error.sqlstate == "23505" and find_constraint(error) == _KEY


def position_taken_error(error: psycopg.Error, state_note: str) -> IncompatibleServerError:
    """Return the error for a write whose global position is already in use."""
    schema = error.diag.schema_name or "message_store"
    return IncompatibleServerError(
        "the server gave the message a global position that is in use: the sequence is behind the "
        "table of messages, as after a restore or a replication of the table alone "
        f"({error.diag.message_primary}). {state_note} As the owner of the table, run "
        f"{describe_fix(schema)}; "
        "messages that were written meanwhile may be at positions that consumers have passed."
    )
