"""The name of the node that a proxied call failed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from messagedb._connection.error_mapping import build_node_error, is_node_error
from messagedb._sql.statements import NODE_OF, Statement

from ..connection.connection import AsyncStoreCursor, execute

if TYPE_CHECKING:
    from .executors import AsyncExecutor


async def find_node_error(
    executor: AsyncExecutor, error: psycopg.Error, stream_name: object
) -> psycopg.Error:
    """Return the error of a node with the node's name; any other error unchanged.

    The proxying database answers this itself, so that it does when the node does not.

    Args:
        executor: the executor of the failed call.
        error: its error.
        stream_name: the stream or category of the call; another value if it has none.
    """
    conn = executor.connection
    if (
        not executor.dialect.has_nodes
        or conn.closed
        or not isinstance(stream_name, str)
        or not is_node_error(error)
    ):
        return error
    try:
        rows = await execute(AsyncStoreCursor(conn), Statement(NODE_OF, (stream_name,)))
    except psycopg.Error:
        return error
    return build_node_error(error, rows[0][0]) if rows else error
