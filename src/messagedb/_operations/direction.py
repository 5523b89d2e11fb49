"""The direction of a read, and the position where it starts by default."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from .._connection.server_info import ServerInfo
from .._errors import IncompatibleServerError, ValidationError
from .validation import LAST_POSITION

Direction: TypeAlias = Literal["forwards", "backwards"]
"""The order of a read: the oldest message first, or the newest first."""

_DIRECTIONS: Final = ("forwards", "backwards")


def check_direction(direction: Any) -> None:
    """Refuse a direction that is not known."""
    if direction not in _DIRECTIONS:
        raise ValidationError(
            f"direction must be 'forwards' or 'backwards', not {direction!r}. Nothing was sent."
        )


def resolve_position(position: int | None, direction: Direction, first: int) -> int:
    """Return the position to start at: by default the first one, or the last possible one.

    Args:
        position: the position that the caller passed.
        direction: the direction of the read.
        first: the first position, which is 0 in a stream, and 1 in the whole store.
    """
    if position is not None:
        return position
    return first if direction == "forwards" else LAST_POSITION


def get_step(direction: Direction) -> tuple[int, int]:
    """Return the distance to the next position of a read, and the last one of all."""
    return (1, LAST_POSITION) if direction == "forwards" else (-1, 0)


def check_table_readable(server: ServerInfo, what: str) -> None:
    """Refuse a read that Message DB has no function for, if the table is out of reach.

    Args:
        server: the facts about the server.
        what: the read.

    Raises:
        IncompatibleServerError: the role may not read the table, or it is in another database.
            Nothing was sent.
    """
    if server.is_proxied:
        raise IncompatibleServerError(
            f"{what} needs the table of messages, and database {server.database!r} only passes the "
            "calls of Message DB's functions to other databases by PL/Proxy, each of which has its "
            "own order of global positions. Nothing was sent. Read each category, or connect to "
            + (
                "the node that has the messages: messagedb proxy status names the nodes."
                if server.has_nodes
                else "the database that has the messages."
            )
        )
    if not server.table_readable:
        raise IncompatibleServerError(
            f"{what} needs the table of messages, as Message DB has no function for it, and role "
            f"{server.role!r} may not read that table. Nothing was sent. GRANT SELECT on the table "
            "to the role, or connect as message_store."
        )
