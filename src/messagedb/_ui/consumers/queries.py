"""The consumers of a store, shared by the requests of some seconds."""

from __future__ import annotations

import asyncio
from typing import Final

from _messagedb_async.consumers import consumer_info
from _messagedb_async.consumers.all_consumer import AsyncAllConsumer
from _messagedb_async.consumers.base import AsyncConsumerBase
from _messagedb_async.consumers.consumer import AsyncConsumer
from _messagedb_async.consumers.consumer_info import find_position_categories
from _messagedb_async.consumers.partition_info import list_partition_sets

from ..._consumers.consumer_info import ConsumerInfo
from ..._consumers.partition_info import PartitionSetInfo
from ..._consumers.position_stores import StreamPositionStore, TablePositionStore
from ..failures import PageError
from ..outages import Nodes, Partial, build_outage_error
from ..site import Site

COUNTED_LAG: Final = 10_000
"""The largest lag that pages count, as each of its messages is looked at."""

CONSUMERS: Final = "consumers"
"""The key of their list, among the answers that requests share."""

PARTITIONS: Final = "partitions"
"""The key of the list of partitioned consumers."""

_KEPT_SECONDS: Final = 2.0
_KEPT_SECONDS_OF_CATEGORIES: Final = 60.0


async def list_consumers(site: Site) -> list[ConsumerInfo]:
    """List the consumers that the store has records of, as far as its nodes are reachable.

    Raises:
        PageError: as ``look_at_consumers`` raises it.
    """
    return (await look_at_consumers(site)).found


async def look_at_consumers(
    site: Site, *, lag_limit: int = COUNTED_LAG
) -> Partial[list[ConsumerInfo]]:
    """Return the consumers that the store has records of, and the nodes that cannot be asked.

    The categories of their positions are looked for once a minute, as that takes longest in a store
    of many categories; a consumer that reports is known anyway.

    Raises:
        PageError: it took longer than the time limit, or waited so long for another request.
    """
    return await site.nodes.ask(lambda nodes: _list_consumers(site, lag_limit, nodes))


async def _list_consumers(site: Site, lag_limit: int, nodes: Nodes) -> list[ConsumerInfo]:
    client = site.client
    key = CONSUMERS if lag_limit == COUNTED_LAG else f"{CONSUMERS}:{lag_limit}"
    try:
        async with asyncio.timeout(site.settings.time_limit):
            categories = await site.answers.get(
                _name_answer("position categories", nodes),
                _KEPT_SECONDS_OF_CATEGORIES,
                lambda: find_position_categories(client, nodes),
            )
            return await site.answers.get(
                _name_answer(key, nodes),
                _KEPT_SECONDS,
                lambda: consumer_info.list_consumers(
                    client, None, categories, lag_limit=lag_limit, nodes=nodes
                ),
            )
    except TimeoutError:
        raise PageError(
            504,
            "The list of consumers was stopped at the time limit of this UI.",
            "Nothing was changed. Something may hold a lock on the table of messages; or raise "
            "`--time-limit`.",
        ) from None


async def list_sets(site: Site) -> list[PartitionSetInfo]:
    """List the partitioned consumers that the store has records of, as ``list_consumers`` does.

    Raises:
        PageError: it took longer than the time limit, or waited so long for another request.
    """
    return (await look_at_sets(site)).found


async def look_at_sets(site: Site) -> Partial[list[PartitionSetInfo]]:
    """Return the partitioned consumers, and the nodes that cannot be asked.

    Raises:
        PageError: as ``list_sets`` raises it.
    """
    return await site.nodes.ask(lambda nodes: _list_sets(site, nodes))


async def _list_sets(site: Site, nodes: Nodes) -> list[PartitionSetInfo]:
    client = site.client
    try:
        async with asyncio.timeout(site.settings.time_limit):
            return await site.answers.get(
                _name_answer(PARTITIONS, nodes),
                _KEPT_SECONDS,
                lambda: list_partition_sets(client, None, nodes),
            )
    except TimeoutError:
        raise PageError(
            504,
            "The list of partitions was stopped at the time limit of this UI.",
            "Nothing was changed. Raise `--time-limit`.",
        ) from None


async def get_set(site: Site, category: str, identifier: str) -> PartitionSetInfo:
    """Return a partitioned consumer.

    Raises:
        PageError: there is none.
    """
    sets = await look_at_sets(site)
    for each in sets.found:
        if (each.category, each.identifier) == (category, identifier):
            return each
    if sets.outages:
        raise build_outage_error(sets.outages)
    raise PageError(
        404, f"No consumer {identifier!r:.200} of category {category!r:.200} has partitions."
    )


async def get_consumer(site: Site, name: str, position_store: str) -> ConsumerInfo:
    """Return a consumer by the name and the place of its positions.

    Raises:
        PageError: there is none.
    """
    consumers = await look_at_consumers(site)
    for each in consumers.found:
        if each.name == name and position_store in ("", each.position_store):
            return each
    if consumers.outages:
        raise build_outage_error(consumers.outages)
    raise PageError(404, f"No consumer stores its position as {name!r:.300}.")


def _name_answer(key: str, nodes: Nodes) -> str:
    return key if nodes is None else f"{key} on {nodes}"


async def get_head(site: Site, info: ConsumerInfo) -> int | None:
    """Return the last global position that a consumer can be set to."""
    if info.category is not None and await site.look_for_nodes():
        return await site.client.get_category_head(info.category)
    return await site.client.get_store_head()


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
