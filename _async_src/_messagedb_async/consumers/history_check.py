"""Check that a stored position, or a message, belongs to the store that the server has now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._errors import LostHistoryError
from messagedb._subscriptions.read_trail import ReadMessage, ReadTrail, lost_message_error

from ..operations.internals import get_server, get_session_config
from ..subscriptions.checked_feed import lost_history_error
from ..subscriptions.history_queries import (
    find_last_message,
    find_message_id,
    get_history_number,
    get_last_positions,
)

if TYPE_CHECKING:
    from messagedb._consumers.position_records import StoredPosition

    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction


async def check_stored(
    client: AsyncClientCore, name: str, category: str | None, stored: StoredPosition | None
) -> ReadMessage | None:
    """Check that a stored position belongs to this store, and return the message to go on after.

    It must not be beyond all assigned positions. A position that was stored in the
    history that the server has now needs no further check: messages that are missing were
    erased. Nor does one without an id, as the Eventide toolkit stores it.

    Raises:
        LostHistoryError: it does not.
    """
    if stored is None or stored.position == 0:
        return None
    session_config = get_session_config(client)
    last_read = await find_last_message(client, stored.message_position, category)
    history = last_read.history if last_read is not None else session_config.histories.latest
    is_same = stored.history is not None and stored.history == session_config.histories.get_text(
        history
    )
    head, last_assigned = await get_last_positions(client)
    if head is None and category is not None and (await get_server(client)).has_nodes:
        head = await client.get_category_head(category)
    last = (
        head
        if last_assigned is None and not is_same and stored.message_id is None
        else last_assigned
    )
    if last is not None and stored.position > last:
        raise LostHistoryError(name, stored.position, None, None, None, head)
    if is_same or stored.message_id is None:
        return last_read
    current_id = (
        last_read.id
        if last_read is not None and last_read.position == stored.message_position
        else None
    )
    if current_id != stored.message_id:
        lost_message = ReadMessage(stored.message_position, stored.message_id, 0)
        raise await lost_history_error(client, name, lost_message, current_id, {})
    return last_read


async def check_message(
    transaction: AsyncTransaction,
    name: str,
    last_read: ReadMessage,
    category: str | None,
    trail: ReadTrail,
) -> None:
    """Check that a message is in the store that a transaction is about to change because of it.

    No query is sent if the transaction runs in the history that the message was read in.

    Raises:
        LostHistoryError: it is not.
    """
    if get_history_number(transaction) == last_read.history:
        return
    current_id = await find_message_id(transaction, last_read.position, category)
    if current_id != last_read.id:
        trail.history_error = lost_message_error(name, last_read, current_id, None, None)
        raise trail.history_error
