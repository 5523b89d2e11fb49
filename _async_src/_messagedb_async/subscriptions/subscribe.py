"""Subscriptions: an endless iterator over a category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from messagedb._argument_checks import check_seconds
from messagedb._errors import IncompatibleServerError, ValidationError
from messagedb._operations.validation import check_category
from messagedb._subscriptions.poll_interval import Polling
from messagedb._subscriptions.validation import check_on_lost_history, check_start, names_of

from ..operations.scans import AsyncScans
from .feeds import AsyncCategoryFeed
from .iterator import subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from messagedb._messages.message import Message


class AsyncSubscriptions(AsyncScans):
    """A loop over messages that are there, and over those that come."""

    async def subscribe(
        self,
        category: str,
        *,
        start: Literal["beginning", "end"] | int = "beginning",
        batch_size: int | None = None,
        poll_interval: float = 0.1,
        idle_poll_interval: float = 1.0,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        streams_without_id: bool = False,
        types: Iterable[str] | None = None,
        condition: str | None = None,
        on_lost_history: Literal["stop", "continue"] = "stop",
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over a category for ever: over what is there, then over what is written.

        No message is passed over, and the order is that of the store. While the store is away it
        waits and tries again. It keeps no position: note ``message.global_position`` of what you
        have done with, and begin at the one behind it the next time. No connection is held between
        pages. Leave the loop to end it, or close the client.

        Example::

            async for message in client.subscribe("account", start=position + 1):
                print(message.type, message.data)

        Args:
            category: the part of the stream names before the first ``-``.
            start: ``"beginning"``, ``"end"`` (only what is written from the first step on), or the
                global position of the first message.
            batch_size: how many messages to look at in one read.
            poll_interval: seconds from one look to the next where nothing was found.
            idle_poll_interval: what that grows to after a hundred such looks.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            streams_without_id: whether that member gets the streams without an id, too.
            types: only messages of these types.
            condition: SQL over ``messages``, put into the query as it is: never made of input from
                outside.
            on_lost_history: what to do when the store has lost messages that were given, as after a
                failover to a standby that lagged: ``"stop"`` with an error, or ``"continue"``
                behind the last message that it still has of the pages looked at last.

        Raises:
            StoreUnavailableError: the client was closed.
            LostHistoryError: the store has lost messages that were given, and the subscription is
                to stop, or no message that was given lately is left.
            IncompatibleServerError: ``"end"`` is not known to the role.
            MessageDBError: the server refuses the read, as it does a condition that is wrong.
            ValidationError: an argument is refused. All of them come from the steps of the loop.
        """
        check_category(category)
        check_seconds("poll_interval", poll_interval)
        check_seconds("idle_poll_interval", idle_poll_interval)
        check_on_lost_history(on_lost_history)
        feed = AsyncCategoryFeed(
            self,
            category,
            self._scan_size(batch_size),
            correlation=correlation,
            group_member=group_member,
            group_size=group_size,
            streams_without_id=streams_without_id,
            types=names_of("types", types),
            condition=condition,
        )
        if start == "beginning":
            position = 0
        elif start == "end":
            head = await self.get_category_head(category)
            if head is None:
                raise IncompatibleServerError(
                    "start='end' needs the last position, and the role may not read the table of "
                    "messages. Nothing was changed. Give a position."
                )
            position = head
        else:
            given: Any = start
            if not isinstance(given, int):
                raise ValidationError(
                    "start must be 'beginning', 'end', or the global position of the first "
                    f"message, not {given!r}"
                )
            check_start(given)
            position = max(given - 1, 0)
        polling = Polling(poll_interval, idle_poll_interval)
        continues = on_lost_history == "continue"
        async for message in subscription(self, feed, position, polling, category, continues):
            yield message
