"""The consumer of one category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from messagedb._consumers.position_stores import StreamPositionStore, TablePositionStore
from messagedb._consumers.settings import ConsumerSettings
from messagedb._subscriptions.backoff import RetryPolicy
from messagedb._subscriptions.validation import names_of

from ..subscriptions.feeds import AsyncCategoryFeed
from .base import AsyncConsumerBase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._consumers.callables import AsyncMiddleware, AsyncOnError
    from messagedb._consumers.settings import Start

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed


class AsyncConsumer(AsyncConsumerBase):
    """Hands the messages of a category to handlers, in the order in which they were stored.

    What it guarantees:

    - **At least once**: no message is passed over before its handler has finished, whatever happens
      to the process, the server or the network. After a crash the messages after the stored
      position are handled again: ``position_update_interval`` of them, and those that were handled
      while the last save was under way; never more than four pages of ``batch_size`` besides.
    - **Exactly once inside this database** with ``transactional=True``: what a handler writes with
      ``context.client`` and the position are one transaction.
    - Elsewhere, **once by id**: ``context.derive_id(name)`` is the same in every attempt.
    - **In order** within each stream, also with ``concurrency``; within the category without it.

    A failing handler is called again as ``retry`` says; then ``on_error`` decides. By default the
    consumer stops and raises, with the position before the message: nothing is skipped by itself.
    Attempts that failed because the store was away, or took no writes for a while, do not count: it
    waits until the store is there again. After ``StoreUnavailableError`` or ``OutcomeUnknownError``
    of a handler it asks the store itself; one that answers may just have come back, once, and then
    the attempts count: another store is away, a read takes longer than it may, the pool is too
    small.

    Only one consumer of a name runs at a time: others wait, and take over when it ends, dies, or
    shows no sign of life for ``lease_timeout``. Besides connections of the client's pool it has one
    of its own for that, and one more with ``notify``. At most two pages, 2 × ``batch_size``
    messages, are in memory.

    Example::

        consumer = AsyncConsumer(client, "account", identifier="statements")

        @consumer.handler
        async def deposited(event: Deposited, context: AsyncContext) -> None:
            await context.client.write_message("statement-1", NewMessage("Added"))

        await consumer.run(signals=True)

    Args:
        client: where to read, and to write.
        category: whose messages.
        identifier: names the consumer among those of the category: each has its own position.
            Members of a group share it.
        start: ``"stored"``: after the stored position, from the beginning if there is none.
            ``"beginning"``, ``"end"`` (only what is written from now on), or the global position of
            the first message: there, whatever is stored, each time that it runs.
        batch_size: how many messages are looked at in one read.
        poll_interval: seconds from one look to the next where nothing was found.
        idle_poll_interval: what that grows to after a hundred such looks; and seconds between looks
            while notifications come.
        position_update_interval: after how many messages the position is stored.
        position_update_seconds: after which time it is stored, if a message was handed over.
        position_store: where it is stored.
        transactional: whether each message is handled in a transaction, with its position.
        transaction_timeout: seconds for such a transaction.
        group_member: the number of this member of a consumer group, from 0; needs the size.
        group_size: the number of members: each gets the streams of its share of the cardinal ids.
            See ``group_member_from_env()``.
        streams_without_id: the member that also gets the messages of streams without an id, which
            the server gives to none; the same for all members.
        correlation: only messages whose metadata's ``correlationStreamName`` is in this category.
        condition: SQL about ``messages``, put into the query as it is: never made of input from
            outside. Only what it is true for is handed over.
        types: only messages of these types.
        concurrency: how many handlers at once, of different streams; at most ``batch_size``.
        retry: how often a failing handler is called again.
        on_error: what then: ``"stop"``; ``"park"`` the message and go on; ``"skip"`` it; or a
            function of the context and the error that says one of these, or gives an outcome.
        middleware: functions around each call of a handler: of the context and of the next one,
            which is called with the context.
        notify: whether to be woken by notifications; needs ``messagedb.schema.install_notify()``.
        lease_timeout: seconds without a sign of life after which another consumer may take over;
            None for no lease: a second one is then stopped only when it stores its position.
        on_lost_history: what to do when the store has lost messages that were handled, as after a
            failover to a standby that lagged: ``"stop"`` with ``LostHistoryError``, or
            ``"continue"`` behind the stored position, which the store has kept.

    Raises:
        ValidationError: an option is out of its range. Nothing was sent.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        category: str,
        *,
        identifier: str | None = None,
        start: Start = "stored",
        batch_size: int = 1000,
        poll_interval: float = 0.1,
        idle_poll_interval: float = 1.0,
        position_update_interval: int = 100,
        position_update_seconds: float = 1.0,
        position_store: StreamPositionStore | TablePositionStore | None = None,
        transactional: bool = False,
        transaction_timeout: float = 30.0,
        group_member: int | None = None,
        group_size: int | None = None,
        streams_without_id: int | None = None,
        correlation: str | None = None,
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
            category=category,
            categories=None,
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
            group_member=group_member,
            group_size=group_size,
            streams_without_id=streams_without_id,
            correlation=correlation,
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
        self._category = category

    def _feed(self) -> AsyncFeed:
        settings = self._settings
        return AsyncCategoryFeed(
            self._client,
            self._category,
            settings.batch_size,
            correlation=settings.correlation,
            group_member=settings.group_member,
            group_size=settings.group_size,
            streams_without_id=settings.gets_streams_without_id,
            types=settings.types,
            condition=settings.condition,
        )

    def _wants(self, category: str) -> bool:
        return category == self._category
