"""The facts about a server that opening queries, and the check that the client can work with it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from psycopg import pq

from .._errors import IncompatibleServerError
from .position_sequence import Sequence

_OLDEST_LIBPQ: Final = 140000
_OLDEST_SERVER: Final = 120000
_NEWEST_TESTED_MAJOR: Final = 18

REQUIRED_FUNCTIONS: Final = (
    "write_message/6",
    "get_stream_messages/4",
    "get_category_messages/7",
    "stream_version/1",
    "category/1",
    "hash_64/1",
)
"""The functions that the library requires, as name/number of parameters."""


class ServerInfo(msgspec.Struct, frozen=True):
    """The facts of one server, database and role, in the order of the query's columns.

    Attributes:
        is_proxied: whether the functions of Message DB are PL/Proxy's.
        has_nodes: whether our own functions and the map of the nodes are beside them.
    """

    backend_pid: int
    version: int
    encoding: str
    in_recovery: bool
    database: str
    role: str
    schema_exists: bool
    schema_usable: bool
    functions: frozenset[str]
    is_proxied: bool
    has_nodes: bool
    history_readable: bool
    table_readable: bool
    table_writable: bool
    sequence: Sequence

    @property
    def has_known_history(self) -> bool:
        """Return True if the history of the server that has the messages can be queried."""
        return self.history_readable and not self.is_proxied

    @property
    def has_last_of_type(self) -> bool:
        """Return True if get_last_stream_message accepts a type (Message DB 1.3.0 and later)."""
        return "get_last_stream_message/2" in self.functions


def parse_server_info(row: tuple[Any, ...]) -> ServerInfo:
    """Return the facts from the row of the inspecting statement."""
    functions, sequence = frozenset(row[8].split()), Sequence(row[-1])
    facts: Any = (*row[:8], functions, *row[9:-1], sequence)
    return ServerInfo(*facts)


def check_not_proxied(server: ServerInfo, what: str) -> None:
    """Refuse an operation that needs one transaction if each call goes to another database.

    Args:
        server: the facts.
        what: the name of the operation.

    Raises:
        IncompatibleServerError: the functions are PL/Proxy's. Nothing was sent.
    """
    if server.is_proxied:
        raise IncompatibleServerError(
            f"database {server.database!r} passes the calls of Message DB to other databases by "
            "PL/Proxy, where each call is committed separately: a transaction here could not make "
            f"calls atomic or roll them back. Therefore it does not support {what}. Nothing was "
            "sent. "
            + (
                "Write the messages of one stream with write_messages(), or connect to the node "
                "that has the category."
                if server.has_nodes
                else "Write single messages, keep positions in streams, or connect to the database "
                "that has the messages."
            )
        )


def check_libpq() -> None:
    """Refuse a libpq without pipeline mode.

    Raises:
        IncompatibleServerError: libpq is older than 14. Nothing was opened.
    """
    if pq.version() < _OLDEST_LIBPQ:
        raise IncompatibleServerError(
            f"the libpq that psycopg uses is version {pq.version() // 10000}, and messagedb needs "
            "14 or later. "
            "Install 'psycopg[binary]', which includes its own. Nothing was sent."
        )


def check_client_encoding(encoding: bytes | None) -> None:
    """Refuse a connection that would convert names and data in transit.

    Raises:
        IncompatibleServerError: the connection's client_encoding is not UTF8. Nothing was sent.
    """
    if encoding != b"UTF8":
        name = "unknown" if encoding is None else encoding.decode("ascii", "replace")
        raise IncompatibleServerError(
            f"the connection's client_encoding is {name}, but messages are text in UTF8: set "
            "client_encoding=UTF8 when connecting. Nothing was sent."
        )


def build_untested_note(server: ServerInfo) -> str | None:
    """Return the warning about a PostgreSQL that is newer than the tested ones, None if it is not.

    It can be used all the same: Message DB is plain SQL and PL/pgSQL.
    """
    major = server.version // 10000
    if major <= _NEWEST_TESTED_MAJOR:
        return None
    return (
        f"the server is PostgreSQL {major}, and this version of messagedb was tested with 14 to "
        f"{_NEWEST_TESTED_MAJOR}. It is used as it is. Look for a newer version of messagedb."
    )


def check_server(server: ServerInfo, schema: str) -> None:
    """Refuse a server that the client cannot work with.

    A standby is accepted: it serves reads, and a write raises an error that names it.

    Raises:
        IncompatibleServerError: it names the problem and the fix. Nothing was written.
    """
    where = f"database {server.database!r}"
    if server.version < _OLDEST_SERVER:
        raise IncompatibleServerError(
            f"the server is PostgreSQL {server.version // 10000}, and messagedb needs 12 or later: "
            "upgrade it"
        )
    if server.encoding != "UTF8":
        raise IncompatibleServerError(
            f"{where} has the encoding {server.encoding}; Message DB hashes the bytes of names, so "
            "consumer groups "
            "and locks of other clients would not agree. Create the database with ENCODING 'UTF8' "
            "TEMPLATE template0."
        )
    if not server.schema_exists:
        raise IncompatibleServerError(
            f"{where} has no schema {schema!r}: Message DB is not installed there. Check the "
            "database's name, "
            f"install it with messagedb.schema.install(), or name another schema with schema="
        )
    if not server.schema_usable:
        raise IncompatibleServerError(
            f"role {server.role!r} may not use schema {schema!r} in {where}: "
            f"connect as message_store, or GRANT message_store TO {server.role!r}"
        )
    missing = [name for name in REQUIRED_FUNCTIONS if name not in server.functions]
    if missing:
        raise IncompatibleServerError(
            f"schema {schema!r} in {where} lacks functions of Message DB 1.0 or later: "
            f"{', '.join(missing)} (name/number of parameters). Install or upgrade Message DB."
        )
