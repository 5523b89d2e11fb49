"""The consumer of several categories, or of the whole store, under one position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._consumers.settings import build_settings, check_options

from ..subscriptions.feeds import AsyncAllFeed
from .base import AsyncConsumerBase
from .options import AsyncAllConsumerOptions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed


class AsyncAllConsumer(AsyncConsumerBase):
    """Hands the messages of several categories, or of the whole store, to handlers in order.

    All that ``AsyncConsumer`` says holds here, too. Between categories messages commit in another
    order than that of their global positions: one that a slow transaction has written may appear
    behind others. This consumer waits for it: it hands over what is before the first gap, sees
    which transactions write to the table of messages, and goes on when they have ended.
    ``status().blocked_by`` names them. A transaction that stays open after a write, in any
    category, holds it back for as long.

    It reads by global position, other categories' messages included, which are passed over. It
    needs the table of messages and the primary server; and its own position records are messages of
    the store, too: take a ``TablePositionStore`` where that matters.

    Args:
        client: where to read, and to write.
        categories: whose messages; None for the whole store.
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
        return AsyncAllFeed(
            self._client,
            settings.categories,
            settings.batch_size,
            types=settings.types,
            condition=settings.condition,
        )

    def _wants(self, category: str) -> bool:
        categories = self._settings.categories
        return categories is None or category in categories
