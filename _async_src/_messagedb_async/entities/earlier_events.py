"""Earlier events of the same cause, found by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._errors import WrongExpectedVersionError
from messagedb._messages.message import NewMessage
from messagedb._operations import requests
from messagedb._operations.dialect import build_lookup_page
from messagedb._operations.validation import LAST_POSITION

from ..operations.internals import get_server, get_session_config, read_rows, write_request

if TYPE_CHECKING:
    from uuid import UUID

    from messagedb._entities.causation import Causation
    from messagedb._messages.message import Message

    from ..operations.operations import AsyncOperations


async def find_events(
    store: AsyncOperations, stream_name: str, cause: Causation, batch_size: int
) -> list[Message[Any]]:
    """Return the events of a stream that have this cause; none for a new cause.

    It takes one round trip if there are none and the role may read the table. If the role may not,
    the stream is read, page by page.
    """
    id = cause.build_event_id(stream_name, 0)
    if await _position_of(store, stream_name, id) is None:
        return []
    session_config = get_session_config(store)
    # The event may be visible before its commit is acknowledged. Writing it again waits for that:
    # an id that the stream has returns its position, whatever the expected version. If the event
    # is gone by now, the write fails, because no stream reaches this version.
    again = requests.build_message_write(
        stream_name,
        NewMessage("Found", id=id),
        None,
        None,
        LAST_POSITION,
        session_config.settings.decimals,
        session_config.settings.registry,
    )
    try:
        [position] = await write_request(store, again)
    except WrongExpectedVersionError:
        return []
    return await read_events(store, stream_name, cause, position, batch_size)


async def read_events(
    store: AsyncOperations, stream_name: str, cause: Causation, first: int, batch_size: int
) -> list[Message[Any]]:
    """Return the events of a cause, whose first one is at a position."""
    found: list[Message[Any]] = []
    async for message in store.read_stream(stream_name, position=first, batch_size=batch_size):
        if message.id != cause.build_event_id(stream_name, len(found)):
            break
        found.append(message)
    return found


async def _position_of(store: AsyncOperations, stream_name: str, id: UUID) -> int | None:
    """Return the position of a message id in a stream, None if it is not there."""
    sql = get_session_config(store).sql
    if (await get_server(store)).table_readable:
        rows = await read_rows(store, requests.build_message_lookup(sql, str(id)))
        return rows[0][1] if rows and rows[0][0] == stream_name else None
    position = 0
    while True:
        page = build_lookup_page(sql, stream_name, position)
        rows = await read_rows(store, requests.ReadRequest(page.call, page.call))
        for row in rows:
            if row[0] == str(id):
                return int(row[page.column])
        if len(rows) < page.size:
            return None
        position = rows[-1][page.column] + 1
