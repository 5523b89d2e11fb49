"""Members of a client or a transaction for the packages above, not for its users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from messagedb import hooks
from messagedb._operations.scan_results import ScannedPage

# pyright: reportPrivateUsage=false

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._connection.server_info import ServerInfo
    from messagedb._connection.session_config import SessionConfig
    from messagedb._messages.message import Message
    from messagedb._operations.requests import ReadRequest, WriteRequest
    from messagedb._operations.scan_requests import PageScan

    from .operations import AsyncOperations
    from .scans import AsyncScans

S = TypeVar("S", bound=ScannedPage)


def get_session_config(store: AsyncOperations) -> SessionConfig:
    """Return the configuration of a client's connections."""
    return store._session_config


def has_snapshot(store: AsyncOperations) -> bool:
    """Return True if all reads see the store as it was when a transaction began."""
    return store._has_snapshot


async def get_server(store: AsyncOperations) -> ServerInfo:
    """Return the properties of the server; a client opens to read them."""
    return await store._get_server()


async def read_rows(store: AsyncOperations, read: ReadRequest) -> list[tuple[Any, ...]]:
    """Return the rows of a read."""
    return await store._read(read)


async def read_in_history(
    store: AsyncOperations, *reads: ReadRequest
) -> tuple[list[list[tuple[Any, ...]]], int]:
    """Return the rows of reads on one connection, and the number of its server's history."""
    return await store._read_in_history(*reads)


async def read_stream_page(
    store: AsyncOperations, stream_name: str, position: int, batch_size: int
) -> tuple[list[Message[Any]], int]:
    """Return a page of a stream, and the number of the history of the server that gave it."""
    return await store._read_stream_page(stream_name, position, batch_size)


async def write_request(store: AsyncOperations, write: WriteRequest) -> list[int]:
    """Write all messages of a write or none, and return their positions."""
    return await store._write(write)


async def write_prepared(store: AsyncOperations, write: WriteRequest) -> list[int]:
    """Write a batch that was checked and encoded before, with the hooks of the client.

    Raises:
        LostHistoryError: the message it was decided upon is gone. Nothing was written.
    """
    return await store._write_prepared(write)


async def scan_members(
    client: AsyncScans,
    category: str,
    position: int,
    batch_size: int,
    correlation: str | None,
    group_members: frozenset[int],
    group_size: int,
    streams_without_id: bool,
    types: Iterable[str] | None,
    condition: str | None,
    look_at: int | None,
) -> ScannedPage:
    """Scan a page of a category for several members of a group, as ``scan_category`` for one."""
    return await client._scan_category(
        category,
        position,
        batch_size,
        correlation,
        group_members,
        group_size,
        streams_without_id,
        types,
        condition,
        look_at,
    )


async def read_scan(store: AsyncOperations, scan: PageScan[S]) -> S:
    """Return the page of a scan on a client, or in a transaction, after the user's hooks."""
    (rows,), history = await store._read_in_history(scan.read)
    settings = store._session_config.settings
    page = msgspec.structs.replace(scan.parse(rows, settings.decimals), history=history)
    if not settings.hooks or not page.messages:
        return page
    messages = hooks.apply_after_read(settings.hooks, page.messages)
    return msgspec.structs.replace(page, messages=messages)


async def get_heads(
    client: AsyncScans, categories: Iterable[str] | None = None
) -> tuple[dict[str, int], int]:
    """Return the global positions of the last messages of categories, and of the whole store."""
    return await client._get_heads(categories)


async def get_first_after(client: AsyncScans, positions: dict[str, int]) -> int | None:
    """Return the first global position of all that are behind those of their categories."""
    return await client._get_first_after(positions)
