"""The consumer of a read model: of one category, or of several under one position."""

from __future__ import annotations

from typing import cast

from messagedb._connection.server_info import check_not_proxied
from messagedb._operations import validation
from messagedb._operations.workflow_filter import WorkflowFilter, join_conditions

from ..client_core.core import AsyncClientCore
from ..consumers.all_consumer import AsyncAllConsumer
from ..consumers.consumer import AsyncConsumer
from ..consumers.options import AsyncAllConsumerOptions, AsyncReadModelOptions
from ..operations.internals import get_server
from ..subscriptions.feeds import AsyncFeed
from .inline_feed import AsyncInlineFeed


class AsyncInlineConsumer(AsyncConsumer):
    """The consumer of an inline read model of one category."""

    def _feed(self) -> AsyncFeed:
        return AsyncInlineFeed(super()._feed(), self._client, self.name)


class AsyncInlineAllConsumer(AsyncAllConsumer):
    """The consumer of an inline read model of several categories."""

    def _feed(self) -> AsyncFeed:
        return AsyncInlineFeed(super()._feed(), self._client, self.name)


def build_consumer(
    client: AsyncClientCore,
    categories: tuple[str, ...],
    identifier: str,
    options: AsyncReadModelOptions,
    *,
    is_inline: bool,
) -> AsyncConsumer | AsyncAllConsumer:
    """Return the transactional consumer of a read model.

    Args:
        client: the client of the model.
        categories: the categories of its messages.
        identifier: its identifier.
        options: the options of the model.
        is_inline: whether transactions apply messages beside it.

    Raises:
        ValidationError: an option is invalid. Nothing was sent.
    """
    if len(categories) == 1:
        one = AsyncInlineConsumer if is_inline else AsyncConsumer
        return one(client, categories[0], identifier=identifier, transactional=True, **options)
    common = options.copy()
    correlation = common.pop("correlation", None)
    if correlation is not None:
        validation.check_category(correlation, "correlation")
    validation.check_condition(common.get("condition"))
    common["condition"] = join_conditions(
        WorkflowFilter(correlation).build_condition(), common.get("condition")
    )
    several = AsyncInlineAllConsumer if is_inline else AsyncAllConsumer
    return several(
        client,
        categories,
        identifier=identifier,
        **cast("AsyncAllConsumerOptions", {**common, "transactional": True}),
    )


async def check_order_over_categories(client: AsyncClientCore) -> None:
    """Raise if the messages of several categories have no one order that can be read.

    Raises:
        IncompatibleServerError: the messages are on several servers, or the server is a standby, or
            the role may not read the table of messages. Nothing was changed.
    """
    server = await get_server(client)
    check_not_proxied(
        server,
        "a read model of several categories: they may be on several nodes, over which there is no "
        "one order",
    )
    # It refuses what the consumer of several categories would be refused later.
    await client.list_open_write_transactions()
