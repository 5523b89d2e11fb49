"""The consumer of several categories, or of the whole store, under one position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from messagedb._consumers.position_stores import StreamPositionStore, TablePositionStore
from messagedb._consumers.settings import ConsumerSettings
from messagedb._subscriptions.backoff import RetryPolicy
from messagedb._subscriptions.validation import names_of

from ..subscriptions.feeds import AsyncAllFeed
from .base import AsyncConsumerBase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._consumers.callables import AsyncMiddleware, AsyncOnError
    from messagedb._consumers.settings import Start

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
        start: as for ``AsyncConsumer``, as are all that follow. ``"end"`` waits for transactions
            that are open at that moment, and hands over what they have written.
        batch_size: how many messages of the store are looked at in one read.
        poll_interval: seconds from one look to the next where nothing was found.
        idle_poll_interval: what that grows to after a hundred such looks.
        position_update_interval: after how many messages the position is stored.
        position_update_seconds: after which time it is stored, if a message was handed over.
        position_store: where it is stored.
        transactional: whether each message is handled in a transaction, with its position.
        transaction_timeout: seconds for such a transaction.
        condition: SQL about ``messages``, put into the query as it is.
        types: only messages of these types.
        concurrency: how many handlers at once, of different streams.
        retry: how often a failing handler is called again.
        on_error: what then.
        middleware: functions around each call of a handler.
        notify: whether to be woken by notifications.
        lease_timeout: seconds without a sign of life after which another one may take over.
        on_lost_history: whether to ``"stop"`` or ``"continue"`` when the store has lost messages.

    Raises:
        ValidationError: an option is out of its range. Nothing was sent.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        categories: Iterable[str] | None = None,
        *,
        identifier: str,
        start: Start = "stored",
        batch_size: int = 1000,
        poll_interval: float = 0.1,
        idle_poll_interval: float = 1.0,
        position_update_interval: int = 100,
        position_update_seconds: float = 1.0,
        position_store: StreamPositionStore | TablePositionStore | None = None,
        transactional: bool = False,
        transaction_timeout: float = 30.0,
        condition: str | None = None,
        types: Iterable[str] | None = None,
        concurrency: int = 1,
        retry: RetryPolicy | None = None,
        on_error: AsyncOnError = "stop",
        middleware: Iterable[AsyncMiddleware[Any]] = (),
        notify: bool = False,
        lease_timeout: float | None = 10.0,
        on_lost_history: Literal["stop", "continue"] = "stop",
    ) -> None:
        settings = ConsumerSettings(
            category=None,
            categories=names_of("categories", categories),
            identifier=identifier,
            start=start,
            batch_size=batch_size,
            poll_interval=poll_interval,
            idle_poll_interval=idle_poll_interval,
            position_update_interval=position_update_interval,
            position_update_seconds=position_update_seconds,
            position_store=StreamPositionStore() if position_store is None else position_store,
            transactional=transactional,
            transaction_timeout=transaction_timeout,
            group_member=None,
            group_size=None,
            streams_without_id=None,
            correlation=None,
            condition=condition,
            types=names_of("types", types),
            concurrency=concurrency,
            retry=RetryPolicy() if retry is None else retry,
            on_error=on_error,
            middleware=tuple(middleware),
            notify=notify,
            lease_timeout=lease_timeout,
            on_lost_history=on_lost_history,
        )
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
