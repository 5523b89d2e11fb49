"""Reset of the positions of a partitioned consumer that does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._consumers.partition_records import is_running_error

from ..subscriptions.history_queries import find_last_message
from .consumer_run import open_position_store
from .partition_checks import find_live_members, find_membership
from .partition_membership import AsyncPartitionMembership
from .position_reset import find_position_before

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .partition_checks import AsyncMembership

# Enough for storing the positions.
_LEASE_SECONDS = 60.0


async def reset_partitions(
    client: AsyncClientCore, settings: ConsumerSettings, feed: AsyncFeed, start: object
) -> int:
    """Store another position for all partitions, while this call owns all of them.

    Args:
        client: the client of the store.
        settings: the consumer's.
        feed: its messages, for the ``"end"``.
        start: ``"beginning"``, ``"end"``, or the global position of the next message to handle.

    Returns:
        The position of the next message to handle, as it is stored now.

    Raises:
        PositionConflictError: a process runs it, or the identifier is used without partitions.
            Nothing was changed.
        IncompatibleServerError: the role may not find the ``"end"``, or not use the tables. Nothing
            was changed.
        ValidationError: it is not a position. Nothing was sent.
    """
    assert settings.category is not None
    assert settings.identifier is not None
    assert settings.partitions is not None
    position = await find_position_before(client, feed, start)
    membership = AsyncPartitionMembership(
        client, settings.category, settings.identifier, _LEASE_SECONDS, settings.member_name
    )
    owner: AsyncMembership = membership
    try:
        _, owner = await find_membership(client, settings, membership, settings.partitions)
        members = await find_live_members(client, settings)
        if members:
            raise is_running_error(settings.position_name, members)
        await _store(client, settings, owner, position)
    finally:
        await owner.leave()
    return position + 1


async def _store(
    client: AsyncClientCore,
    settings: ConsumerSettings,
    membership: AsyncMembership,
    position: int,
) -> None:
    await membership.join()
    look = await membership.look()
    claimed = await membership.claim(look, look.size, ())
    if len(claimed) < look.size:
        others = [each.name for each in look.members if each.id != membership.id]
        raise is_running_error(settings.position_name, others)
    last_read = await find_last_message(client, position, settings.category)
    for number, _ in claimed:
        positions = open_position_store(client, settings.for_partition(number, look.size))
        await positions.load()
        if positions.stored != position:
            await positions.save(position, last_read)
