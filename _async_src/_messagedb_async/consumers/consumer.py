"""The consumer of one category."""

from __future__ import annotations

from typing import Unpack

from messagedb._consumers.settings import build_settings, check_options

from ..client_core.core import AsyncClientCore
from ..subscriptions.feeds import AsyncCategoryFeed, AsyncFeed
from .base import AsyncConsumerBase
from .options import AsyncConsumerOptions


class AsyncConsumer(AsyncConsumerBase):
    """Delivers the messages of a category to handlers, in the order in which they were stored.

    What it guarantees:

    - At least once: no message is skipped before its handler has finished, whatever happens
      to the process, the server or the network. After a crash the messages after the stored
      position are handled again: ``position_update_interval`` of them, and those that were handled
      while the last save was in progress; never more than four pages of ``batch_size`` in addition.
    - Exactly once inside this database with ``transactional=True``: the handler's writes with
      ``context.client`` and the position are one transaction.
    - Elsewhere, once by id: ``context.derive_id(name)`` is the same in every attempt.
    - In order within each stream, also with ``concurrency``; within the category without it.

    A failing handler is retried as ``retry`` says; then ``on_error`` decides. By default the
    consumer stops and raises, with the position before the message: no message is skipped by
    itself. Attempts that failed because the store was unavailable, or temporarily accepted no
    writes, do not count: it waits until the store is available again. After
    ``StoreUnavailableError`` or ``OutcomeUnknownError`` of a handler it queries the store itself;
    if that succeeds, the store may have become available only just now, so one such attempt does
    not count. The next ones do: the cause is another store that is unavailable, a read beyond its
    timeout, or a pool that is too small.

    Only one consumer of a name runs at a time: others wait, and take over when it ends, dies, or
    shows no sign of life for ``lease_timeout``. Beside connections of the client's pool it uses a
    separate one for that, and one more with ``notify``. At most two pages, 2 × ``batch_size``
    messages, are in memory.

    Example::

        consumer = AsyncConsumer(client, "account", identifier="statements")

        @consumer.handler
        async def deposited(event: Deposited, context: AsyncContext) -> None:
            await context.client.write_message("statement-1", NewMessage("Added"))

        await consumer.run(signals=True)

    Args:
        client: the client to read and write with.
        category: the category to read.
        identifier: names the consumer among those of the category: each has its own position.
            Members of a group share it.
        options: see ``AsyncConsumerOptions``.

    Raises:
        ValidationError: an option is out of its range. Nothing was sent.
        TypeError: an option is not known. Nothing was sent.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        category: str,
        *,
        identifier: str | None = None,
        **options: Unpack[AsyncConsumerOptions],
    ) -> None:
        check_options(type(self).__name__, options, AsyncConsumerOptions.__optional_keys__)
        settings = build_settings(options, category=category, identifier=identifier)
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
            streams_without_id=settings.has_streams_without_id,
            types=settings.types,
            condition=settings.condition,
        )

    def _accepts_category(self, category: str) -> bool:
        return category == self._category
