"""Reset of the position of a consumer that does not run."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._concurrency.backend_async import sleep
from messagedb._consumers.partition_records import is_running_error
from messagedb._consumers.position_records import consumer_running_error
from messagedb._errors import IncompatibleServerError, ValidationError

from ..operations.internals import get_session_config
from ..subscriptions.history_queries import find_last_message
from .consumer_run import open_position_store
from .lease import AsyncLease
from .partition_checks import find_live_members

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed


async def reset_position(
    client: AsyncClientCore, settings: ConsumerSettings, feed: AsyncFeed, start: object
) -> int:
    """Store another position for a consumer, while this call holds the consumer's lease.

    Args:
        client: the client of the store.
        settings: the consumer's.
        feed: its messages, for the ``"end"``.
        start: ``"beginning"``, ``"end"``, or the global position of the next message to handle.

    Returns:
        The position of the next message to handle, as it is stored now.

    Raises:
        PositionConflictError: the consumer runs. Nothing was changed.
        IncompatibleServerError: the role may not find the ``"end"``. Nothing was changed.
        TimeoutError: a transaction that was open did not end. Nothing was changed.
        ValidationError: it is not a position. Nothing was sent.
    """
    position = await find_position_before(client, feed, start)
    lease = AsyncLease(client, settings.position_name, 60.0)
    try:
        if not await lease.acquire():
            raise consumer_running_error(settings.position_name)
        # The position may be that of a partition: then no lease says that a process owns it.
        members = await find_live_members(client, settings)
        if members:
            raise is_running_error(settings.position_name, members)
        positions = open_position_store(client, settings)
        await positions.load()
        last_read = await find_last_message(client, position, settings.category)
        if positions.stored != position:
            await positions.save(position, last_read)
    finally:
        await lease.release()
    return position + 1


async def find_position_before(client: AsyncClientCore, feed: AsyncFeed, start: object) -> int:
    """Return the position before the message to start with, as ``reset_position`` takes it."""
    if start == "beginning":
        return 0
    if start == "end":
        settings = get_session_config(client).settings
        limit = monotonic() + settings.command_timeout

        async def pause(seconds: float) -> bool:
            await sleep(seconds)
            return monotonic() < limit

        head = await feed.find_end(pause)
        if feed.blocked_by:
            raise TimeoutError(
                "the end is not known: these transactions have written and are still open, and"
                f" their messages belong after it: {feed.blocked_by}. Nothing was changed. End"
                " them, or pass a position."
            )
        if head is None:
            raise IncompatibleServerError(
                "the last position is not known, as the role may not read the table of messages."
                " Nothing was changed. Pass a position."
            )
        return head
    if isinstance(start, int) and not isinstance(start, bool) and 1 <= start < 2**63:
        return int(start) - 1
    raise ValidationError(
        "a position is reset to 'beginning', 'end', or the global position of the next message "
        f"to handle, from 1, not to {start!r}. Nothing was sent."
    )
