"""Queries that identify a store's history: for single messages, and for the last positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._operations import scan_requests
from messagedb._sql.scans import scan_statements
from messagedb._subscriptions.read_trail import ReadMessage

from ..operations.internals import get_server, get_session_config, read_in_history
from ..transactions.transaction import get_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._operations.requests import ReadRequest
    from messagedb._sql.scans import ScanStatements

    from ..operations.operations import AsyncOperations
    from ..transactions.transaction import AsyncTransaction


async def find_last_message(
    store: AsyncOperations, position: int, category: str | None = None
) -> ReadMessage | None:
    """Return the last message up to a global position: its id identifies the history.

    Args:
        store: the client or transaction to read with.
        position: the global position.
        category: the category of the message at that position. A role that may not read the table
            of messages can only find this message.
    """
    sql = _get_statements(store)
    if await _may_read_table(store):
        read = scan_requests.build_message_before(sql, position)
    elif category is not None:
        read = scan_requests.build_message_at(sql, category, position)
    else:
        return None
    rows, history = await _read_rows(store, read)
    return ReadMessage(rows[0][1], rows[0][0], history) if rows and rows[0][1] <= position else None


async def find_message_id(
    store: AsyncOperations, position: int, category: str | None = None
) -> str | None:
    """Return the id of the message at a global position; None if there is none.

    Args:
        store: the client or transaction to read with.
        position: the global position.
        category: the message's, for a role that may not read the table of messages.
    """
    rows, _ = await _read_rows(
        store, scan_requests.build_message_at(_get_statements(store), category, position)
    )
    return scan_requests.parse_found_id(rows, position)


async def find_positions(store: AsyncOperations, ids: Iterable[str]) -> list[tuple[str, int]]:
    """Return the ids and global positions of those of the messages that are stored.

    It returns none if the role may not read the table of messages.
    """
    if not await _may_read_table(store):
        return []
    rows, _ = await _read_rows(
        store, scan_requests.build_messages_by_id(_get_statements(store), ids)
    )
    return [(id, position) for id, position in rows]


async def get_last_positions(store: AsyncOperations) -> tuple[int | None, int | None]:
    """Return the last global position that is stored, and the last that a message ever got.

    They differ if the newest messages were deleted. 0 stands for none; None if the role may not
    read the table of messages, or its sequence.
    """
    if not await _may_read_table(store):
        return None, None
    ((head, last_assigned),), _ = await _read_rows(
        store, scan_requests.build_last_positions(_get_statements(store))
    )
    return head or 0, None if last_assigned is None else max(last_assigned, head or 0)


def get_history_number(transaction: AsyncTransaction) -> int:
    """Return the number of the history of a transaction's server; a new one if it is unknown."""
    return get_state(transaction).history_number


async def _may_read_table(store: AsyncOperations) -> bool:
    facts = await get_server(store)
    return facts.table_readable


def _get_statements(store: AsyncOperations) -> ScanStatements:
    return scan_statements(get_session_config(store).settings.schema)


async def _read_rows(
    store: AsyncOperations, read: ReadRequest
) -> tuple[list[tuple[Any, ...]], int]:
    found = await read_in_history(store, read)
    return found[0][0], found[1]
