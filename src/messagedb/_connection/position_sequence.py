"""The sequence of the global positions: whether it is behind its table, and what to do then.

A restore of the table alone, or logical replication, leaves it behind. Then new messages get
positions that are taken, or that consumers have passed: those are never handled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from .._errors import IncompatibleServerError
from .._sql.statements import quoted
from .sqlstates import constraint_of

if TYPE_CHECKING:
    import psycopg

_KEY: Final = "messages_pkey"


class Sequence(msgspec.Struct):
    """The sequence of a store.

    Attributes:
        name: as SQL, with its schema; None where the role may not look at it.
        is_suspected: whether it was seen behind its table: then it is asked before each write.
    """

    name: str | None
    is_suspected: bool = False


def question(schema: str, sequence: str) -> str:
    """Ask for the last position in the table, and for what the sequence gave last.

    The statement's snapshot is taken before the sequence is read, and a position is taken before
    its message can be seen: whoever writes meanwhile, a sequence that is well is never behind.
    """
    return (
        f"SELECT (SELECT max(global_position) FROM {quoted(schema)}.messages), "
        f"last_value, is_called FROM {sequence}"
    )


def is_behind(row: tuple[Any, ...]) -> bool:
    """Whether the next position that the sequence gives is taken, or passed."""
    head, last, is_called = row
    return head is not None and (last < head or (last == head and not is_called))


def cure(schema: str) -> str:
    """The statement that sets the sequence right, for the owner of the table."""
    table = f"{quoted(schema)}.messages" if schema != "message_store" else "message_store.messages"
    literal = table.replace("'", "''")
    return (
        f"SELECT setval(pg_get_serial_sequence('{literal}', 'global_position'), "
        f"(SELECT max(global_position) FROM {table}))"
    )


def behind(schema: str, row: tuple[Any, ...]) -> IncompatibleServerError:
    """The error for a write to a store whose sequence is behind."""
    head, last, _ = row
    return IncompatibleServerError(
        f"the sequence of the global positions is behind the table of messages: it gave {last} "
        f"last, and the last message is at {head}, as after a restore or a replication of the "
        "table alone. What is written now would get positions that consumers have passed, and "
        "would never be handled. Nothing was written; reads are fine. As the owner of the table: "
        f"{cure(schema)}"
    )


def is_taken(error: psycopg.Error) -> bool:
    """Whether a write was refused as its global position is taken already."""
    return error.sqlstate == "23505" and constraint_of(error) == _KEY


def taken(error: psycopg.Error, consequence: str) -> IncompatibleServerError:
    """The error for a write whose global position is taken already."""
    schema = error.diag.schema_name or "message_store"
    return IncompatibleServerError(
        "the server gave the message a global position that is taken: the sequence is behind the "
        "table of messages, as after a restore or a replication of the table alone "
        f"({error.diag.message_primary}). {consequence} As the owner of the table: {cure(schema)}; "
        "messages that were written meanwhile may be at positions that consumers have passed."
    )
