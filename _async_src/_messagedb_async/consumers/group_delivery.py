"""Delivery of a page in groups: several messages in one transaction, or in one call."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from messagedb._consumers.failure_texts import format_reason
from messagedb._subscriptions.availability import is_store_unavailable
from messagedb.streams.reserved import is_bookkeeping

from .run_state import log

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncThunk
    from messagedb._consumers.handler_registry import HandlerCall
    from messagedb._consumers.message_groups import GroupCall, GroupPlanner
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from .message_processor import AsyncMessageProcessor
    from .position_saver import AsyncPositionSaver
    from .run_state import AsyncRunState

_get_position = attrgetter("global_position")


class AsyncGroupDelivery:
    """Delivers the messages of a page in groups; those of a group that failed, one by one.

    Args:
        state: the run's.
        settings: the consumer's.
        processor: handles one message, with retries, or a group.
        planner: divides a page into groups.
        saver: counts done messages.
        request_save: called when a save of the position is due.
    """

    def __init__(
        self,
        state: AsyncRunState,
        settings: ConsumerSettings,
        processor: AsyncMessageProcessor,
        planner: GroupPlanner,
        saver: AsyncPositionSaver,
        request_save: AsyncThunk[None],
    ) -> None:
        self._state = state
        self._processor = processor
        self._caller = processor.caller
        self._planner = planner
        self._saver = saver
        self._request_save = request_save
        self._is_of_one_category = settings.category is not None
        # Up to this global position messages are handled one by one: their group failed.
        self._single_until = 0

    async def deliver(self, messages: list[Message[Any]]) -> bool:
        """Deliver messages in their order; return True if all of them are done."""
        signals, saver = self._state.signals, self._saver
        is_worth_a_save = self._is_of_one_category or any(
            not is_bookkeeping(message.stream_name) for message in messages
        )
        self._processor.page = messages
        index = 0
        while index < len(messages):
            if signals.must_check and not await signals.may_continue():
                return False
            position = await self._deliver_next(messages, index)
            if position is None:
                return False
            first, index = index, bisect_right(messages, position, index, key=_get_position)
            if index == first:
                continue
            self._state.progress.advance_to(position)
            saver.count += index - first
            if is_worth_a_save:
                saver.has_handled_message = True
            if saver.count >= saver.next_save_at:
                await self._request_save()
        self._state.progress.current_message = None
        return True

    async def _deliver_next(self, messages: list[Message[Any]], index: int) -> int | None:
        """Handle the next message, or the group that begins with it.

        Returns:
            The global position up to which all messages are done: that of an earlier message if the
            group failed. None if the run is to stop.
        """
        message = messages[index]
        invoke = self._planner.find_handler(message)
        if invoke is None:
            return message.global_position
        self._state.progress.current_message = message
        if message.global_position > self._single_until and not self._planner.is_behind(message):
            calls = self._planner.plan(messages, index)
            if len(calls) > 1 or len(calls[0].messages) > 1:
                result = await self._caller.call_group(calls)
                if result.problem is None:
                    return result.position
                if self._is_unavailable(result.problem):
                    # It waits for the store, as after an attempt with this message alone.
                    return await self._retry(messages, index, invoke, result.problem)
                self._single_until = result.position
                self._log_problem(calls, result.problem)
                return message.global_position - 1
        problem = await self._processor.call(message, 1, invoke)
        if problem is not None:
            return await self._retry(messages, index, invoke, problem)
        return self._find_done_position(messages, index)

    async def _retry(
        self, messages: list[Message[Any]], index: int, invoke: HandlerCall, problem: Exception
    ) -> int | None:
        if not await self._processor.retry_until_final(messages[index], invoke, problem):
            return None
        return self._find_done_position(messages, index)

    def _find_done_position(self, messages: list[Message[Any]], index: int) -> int:
        """Return the position up to which all is done after a message that was handled alone.

        It is that of its group if the COMMIT of that got no response, and was executed after all.
        """
        message = messages[index]
        position = self._caller.get_done_position(message)
        if position > message.global_position:
            end = bisect_right(messages, position, index, key=_get_position)
            find = self._planner.find_handler
            self._state.counters.handled += sum(
                find(other) is not None for other in messages[index + 1 : end]
            )
        return position

    def _is_unavailable(self, problem: Exception) -> bool:
        return self._caller.get_origin(problem) == "consumer" and is_store_unavailable(problem)

    def _log_problem(self, calls: list[GroupCall], problem: Exception) -> None:
        log.info(
            "%s: %d messages from position %d of stream %r on failed together, and are handled one"
            " by one: %s",
            self._state.name,
            sum(len(call.messages) for call in calls),
            calls[0].messages[0].position,
            calls[0].messages[0].stream_name,
            format_reason(problem),
        )
