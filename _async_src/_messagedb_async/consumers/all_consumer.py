"""The consumer of several categories, or of the whole store, under one position."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from messagedb._consumers.settings import build_settings, check_options

from ..client_core.core import AsyncClientCore
from ..subscriptions.feeds import AsyncFeed, AsyncStoreFeed
from .base import AsyncConsumerBase
from .options import AsyncAllConsumerOptions


class AsyncAllConsumer(AsyncConsumerBase):
    """Delivers the messages of several categories, or of the whole store, to handlers in order.

    Everything that ``AsyncConsumer`` describes applies here, too. Between categories messages
    commit in another order than that of their global positions: a message of a slow transaction may
    appear behind others. This consumer waits for it: it delivers the messages before the first gap,
    finds the transactions that write to the table of messages, and continues when they have ended.
    ``status().blocked_by`` names them. A transaction that stays open after a write, in any
    category, blocks it for as long.

    It reads by global position, including messages of other categories, which are ignored. It
    needs the table of messages and the primary server; and its own position records are messages of
    the store, too: use a ``TablePositionStore`` if that matters.

    Example::

        consumer = AsyncAllConsumer(client, ["order", "payment"], identifier="audit")

        @consumer.handler
        async def record(message: Message, context: AsyncContext) -> None:
            print(message.global_position, message.stream_name, message.type)

        await consumer.run()

    Args:
        client: the client to read and write with.
        categories: the categories to read; None for the whole store.
        identifier: names the consumer: its positions are stored as ``all:position-<identifier>``.
        options: see ``AsyncAllConsumerOptions``.

    Raises:
        ValidationError: an option is out of its range. Nothing was sent.
        TypeError: an option is not known. Nothing was sent.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        categories: Iterable[str] | None = None,
        *,
        identifier: str,
        **options: Unpack[AsyncAllConsumerOptions],
    ) -> None:
        check_options(type(self).__name__, options, AsyncAllConsumerOptions.__optional_keys__)
        settings = build_settings(options, categories=categories, identifier=identifier)
        super().__init__(client, settings)

    def _feed(self) -> AsyncFeed:
        settings = self._settings
        return AsyncStoreFeed(
            self._client,
            settings.categories,
            settings.batch_size,
            types=settings.types,
            condition=settings.condition,
        )

    def _accepts_category(self, category: str) -> bool:
        categories = self._settings.categories
        return categories is None or category in categories
