"""The statements that a server supports: determined one time, when a client opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .._connection.server_info import check_not_proxied
from .._errors import IncompatibleServerError
from .._sql.statements import Statement
from .batch_plan import build_json_array
from .requests import ReadRequest, build_stream_read

if TYPE_CHECKING:
    from .._connection.position_sequence import Sequence
    from .._connection.server_info import ServerInfo
    from .._connection.session_config import SessionConfig
    from .._sql.statements import Statements
    from .requests import WriteRequest

_LOOKUP_SIZE = 1000


class LookupPage(msgspec.Struct, frozen=True):
    """A page of a stream by functions alone: the call, its size, the column to continue from."""

    call: Statement
    size: int
    column: int


class Dialect:
    """The statements that a server and a role support, for the requests of one client.

    Attributes:
        session_config: the client's settings, and the configuration of its connections.
        sql: the statements, for the client's schema.
        schema: the schema of Message DB.
        server: the facts about the server.
        sequence: the sequence of the global positions, and whether it is behind its table.
        is_proxied: whether the functions pass their calls to another database.
        has_nodes: whether they do it with our map, and our functions beside them.
        table_readable: whether the role may read the table of messages.
        transaction_setup: the setup of a transaction on a connection without session setup.
        inserts_directly: whether writes in a transaction insert into the table, under the same lock
            as the functions.
    """

    def __init__(self, session_config: SessionConfig, server: ServerInfo) -> None:
        self.session_config = session_config
        self.sql: Statements = session_config.sql
        self.schema: str = session_config.settings.schema
        self.server = server
        self.sequence: Sequence = server.sequence
        self.is_proxied: bool = server.is_proxied
        self.has_nodes: bool = server.is_proxied and server.has_nodes
        self.table_readable: bool = server.table_readable
        self.transaction_setup: Statement = session_config.build_transaction_setup()
        is_requested = session_config.settings.direct_writes
        is_possible = server.table_readable and server.table_writable
        self.inserts_directly: bool = (
            is_possible if is_requested is None else is_requested and is_possible
        )

    def check_write(self, write: WriteRequest) -> None:
        """Refuse several messages if the functions pass each call on separately.

        Raises:
            IncompatibleServerError: the functions are proxied, and ours is not beside them.
                Nothing was written.
        """
        if self.is_proxied and not self.has_nodes and len(write.encoded) > 1:
            check_not_proxied(self.server, "several messages that are written all or none")

    def build_write_call(self, write: WriteRequest, index: int, expected: int | None) -> Statement:
        """Return the call of the server's function for message *index* of a write."""
        message = write.encoded[index]
        return Statement(
            self.sql.write_message,
            (message.id, write.stream_name, message.type, message.data, message.metadata, expected),
        )

    def build_node_write(self, write: WriteRequest) -> Statement:
        """Return the one call that writes all messages of a write on their node."""
        array, is_whole = build_json_array(write.encoded), "true" if write.is_whole else "false"
        return Statement(
            self.sql.write_on_node, (write.stream_name, array, write.expected, is_whole)
        )

    def is_table_preferred(self, read: ReadRequest) -> bool:
        """Return True if a read should be a query of the table."""
        return read.is_query_preferred and self.table_readable

    def build_read_without_settings(self, read: ReadRequest) -> Statement:
        """Return the statement of a read that does not change the session's settings.

        After SET LOCAL of an unset custom parameter, PostgreSQL leaves it as '' rather than unset;
        Message DB treats '' as "on" for ``message_store.sql_condition``. Therefore a read with a
        condition is an equivalent query of the table.

        Raises:
            IncompatibleServerError: with a condition, if the role may not read the table.
                Nothing was sent.
        """
        if not read.has_condition:
            return read.query if self.is_table_preferred(read) else read.call
        if not self.table_readable:
            raise IncompatibleServerError(
                "a read with an SQL condition on a connection that is not the client's own needs "
                "the table of messages, which the role may not read. Nothing was changed. Read "
                "through the client's own pool, or without a condition."
            )
        return read.query

    def build_basis_read(self, write: WriteRequest) -> ReadRequest:
        """Return the read of the message that a write was decided upon."""
        assert write.expected is not None
        return build_stream_read(self.sql, write.stream_name, max(write.expected, 0), 1, None)

    def build_version_query(self, write: WriteRequest) -> Statement:
        """Return the query for the version of a write's stream and the isolation level."""
        return Statement(self.sql.version_and_isolation, (write.stream_name,))


def build_lookup_page(sql: Statements, stream_name: str, position: int) -> LookupPage:
    """Return a page of any stream: one without an id is read as the category that it is in."""
    if "-" in stream_name:
        params: tuple[Any, ...] = (stream_name, position, _LOOKUP_SIZE, None)
        return LookupPage(Statement(sql.get_stream_messages, params), _LOOKUP_SIZE, 3)
    params = (stream_name, position, _LOOKUP_SIZE, None, None, None, None)
    return LookupPage(Statement(sql.get_category_messages, params), _LOOKUP_SIZE, 4)
