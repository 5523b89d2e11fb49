"""Subscriptions: an endless iterator over a category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from messagedb._argument_checks import check_seconds
from messagedb._errors import IncompatibleServerError, ValidationError
from messagedb._operations.validation import check_category
from messagedb._subscriptions.poll_interval import PollInterval
from messagedb._subscriptions.validation import as_name_tuple, check_on_lost_history, check_start

from ..operations.scans import AsyncScans
from .feeds import AsyncCategoryFeed
from .iterator import iterate_messages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from messagedb._messages.message import Message


class AsyncSubscriptions(AsyncScans):
    """Endless loops over stored messages, and over new ones as they are written."""

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
        """Iterate over a category endlessly: over stored messages, then over new ones.

        No message is skipped, and the order is that of the store. While the store is unavailable it
        waits and retries. It stores no position: save the ``message.global_position`` of the last
        message that you are done with, and begin at the next one the next time. No connection is
        held between pages. Leave the loop to end it, or close the client.

        Example::

            async for message in client.subscribe("account", start=position + 1):
                print(message.type, message.data)

        Args:
            category: the part of the stream names before the first ``-``.
            start: ``"beginning"``, ``"end"`` (only messages that are written after the first step),
                or the global position of the first message.
            batch_size: the number of messages to scan in one read.
            poll_interval: seconds between two polls that find no messages.
            idle_poll_interval: the interval that this grows to after a hundred such polls.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            streams_without_id: True if that member gets the streams without an id, too.
            types: only messages of these types.
            condition: an SQL condition over ``messages`` that is inserted into the query unchanged:
                never build it from untrusted input.
            on_lost_history: the action if the store has lost messages that were yielded, as after a
                failover to a standby that lagged: ``"stop"`` with an error, or ``"continue"`` after
                the last message of the recently read pages that it still has.

        Raises:
            StoreUnavailableError: the client was closed.
            LostHistoryError: the store has lost messages that were yielded, and the subscription is
                to stop, or the store has none of the recently read messages any more.
            IncompatibleServerError: the role may not find out the ``"end"``.
            MessageDBError: the server refuses the read, for example because of an invalid
                condition.
            ValidationError: an argument is invalid. All errors are raised by the steps of the loop.
        """
        check_category(category)
        check_seconds("poll_interval", poll_interval)
        check_seconds("idle_poll_interval", idle_poll_interval)
        check_on_lost_history(on_lost_history)
        feed = AsyncCategoryFeed(
            self,
            category,
            self._get_scan_size(batch_size),
            correlation=correlation,
            group_member=group_member,
            group_size=group_size,
            streams_without_id=streams_without_id,
            types=as_name_tuple("types", types),
            condition=condition,
        )
        if start == "beginning":
            position = 0
        elif start == "end":
            head = await self.get_category_head(category)
            if head is None:
                raise IncompatibleServerError(
                    "start='end' needs the last position, and the role may not read the table of "
                    "messages. Nothing was changed. Pass a position."
                )
            position = head
        else:
            given_start: Any = start
            if not isinstance(given_start, int):
                raise ValidationError(
                    "start must be 'beginning', 'end', or the global position of the first "
                    f"message, not {given_start!r}"
                )
            check_start(given_start)
            position = max(given_start - 1, 0)
        poll_delays = PollInterval(poll_interval, idle_poll_interval)
        may_continue = on_lost_history == "continue"
        async for message in iterate_messages(
            self, feed, position, poll_delays, category, may_continue
        ):
            yield message
