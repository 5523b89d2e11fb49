"""Queries that nodes run behind a proxying database: their calls, and their JSON rows. No I/O."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from .._sql.nodes import (
    CATEGORIES_ON_SOME_NODES,
    LIST_NODES,
    MESSAGE_PLACES,
    NAMES_ON_NODES,
    ROWS_OF_ALL_NODES,
    ROWS_OF_NODE,
    ROWS_ON_NODE,
)
from .._sql.statements import Statement, array_literal
from .requests import ReadRequest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from uuid import UUID

SCHEMA: Final = "message_store"
"""The schema of Message DB on each node, whatever that of the proxying database."""

VISIBLE: Final = sql.SQL(
    "split_part(split_part(stream_name, '-', 1), ':', 1) <> ALL (ARRAY("
    "SELECT category FROM messagedb.node_categories WHERE state <> 'closed'))"
)
"""The condition of messages that are not the copies which moves make and leave."""

_PARAMETER: Final = re.compile(rb"\$(\d+)")


def build_node_list() -> ReadRequest:
    """Return the read of the numbers and names of the nodes."""
    return build_call(LIST_NODES)


def build_names_on(nodes: Collection[int], names: Collection[str]) -> ReadRequest:
    """Return the read of those streams or categories that are on some nodes, by their numbers."""
    return build_call(NAMES_ON_NODES, array_literal(names), list_numbers(nodes))


def build_categories_on(nodes: Collection[int], after: str | None, limit: int) -> ReadRequest:
    """Return the read of the categories after one on some nodes."""
    is_after = "false" if after is None else "true"
    numbers = list_numbers(nodes)
    return build_call(CATEGORIES_ON_SOME_NODES, numbers, after or "", is_after, limit)


def list_numbers(nodes: Collection[int]) -> str:
    """Return the numbers of nodes as an array of the server."""
    return f"{{{','.join(map(str, nodes))}}}"


def build_place_search(id: UUID) -> ReadRequest:
    """Return the read of the places of a message on all nodes; its rows are JSON."""
    text = MESSAGE_PLACES.replace(b"$1", _literal(str(id)))
    return build_call(ROWS_OF_ALL_NODES, text.decode(), "true")


def build_place_search_on(node: int, id: UUID) -> ReadRequest:
    """Return the read of the places of a message on one node; its rows are JSON."""
    return build_on_node(node, build_call(MESSAGE_PLACES, str(id)))


def build_rows(place: str | int, query: str, *, nested_loops: bool = True) -> ReadRequest:
    """Return the read of a query without parameters; its rows are JSON.

    Args:
        place: the category, or one of its streams, whose node runs it; or the number of the node.
        query: the text of the query.
        nested_loops: False if the server should join in another way.
    """
    statement = ROWS_ON_NODE if isinstance(place, int) else ROWS_OF_NODE
    return build_call(statement, place, query, str(nested_loops))


def build_on_node(node: int, read: ReadRequest) -> ReadRequest:
    """Return the read that has a node run another one; its rows are JSON."""
    text, params = read.query
    filled = _PARAMETER.sub(lambda found: _literal(params[int(found.group(1)) - 1]), text)
    return build_rows(node, filled.decode())


def parse_rows(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows that a node has given as JSON."""
    return [tuple(json.loads(row)) for (row,) in rows]


def build_call(text: bytes, *params: Any) -> ReadRequest:
    """Return the read by a statement with parameters."""
    query = Statement(text, params)
    return ReadRequest(query, query)


def _literal(value: object) -> bytes:
    # With a space before it, also after an operator.
    return b" " + sql.Literal(value).as_bytes(None).lstrip()
