"""The consumers of a store, shared by the requests of some seconds."""

from __future__ import annotations

from typing import Final

from _messagedb_async.consumers.all_consumer import AsyncAllConsumer
from _messagedb_async.consumers.base import AsyncConsumerBase
from _messagedb_async.consumers.consumer import AsyncConsumer

from ..._consumers.consumer_info import ConsumerInfo
from ..._consumers.position_stores import StreamPositionStore, TablePositionStore
from ..failures import PageError
from ..site import Site

_KEPT_SECONDS: Final = 2.0


async def list_consumers(site: Site) -> list[ConsumerInfo]:
    """List the consumers that the store has records of."""
    return await site.answers.get("consumers", _KEPT_SECONDS, site.client.list_consumers)


async def get_consumer(site: Site, name: str, position_store: str) -> ConsumerInfo:
    """Return a consumer by the name and the place of its positions.

    Raises:
        PageError: there is none.
    """
    for each in await list_consumers(site):
        if each.name == name and position_store in ("", each.position_store):
            return each
    raise PageError(404, f"No consumer stores its position as {name!r:.300}.")


def build_consumer(site: Site, info: ConsumerInfo) -> AsyncConsumerBase:
    """Return a consumer without handlers, for its position and its parked messages."""
    positions = (
        TablePositionStore(name=info.name)
        if info.position_store == "table"
        else StreamPositionStore(stream_name=info.name)
    )
    if info.category is None:
        return AsyncAllConsumer(
            site.client, identifier=info.identifier or "", position_store=positions
        )
    return AsyncConsumer(
        site.client,
        info.category,
        identifier=info.identifier,
        group_member=info.group_member,
        group_size=info.group_size,
        position_store=positions,
    )
