"""One message and its handler: the attempts after the first, and the outcome if all fail."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import resolve_result
from messagedb._consumers.failure_policy import (
    ConsultOnError,
    FinalAction,
    RetryAfter,
    choose_action,
    parse_on_error_result,
)
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.handler_outcomes import HandlerOutcome
from messagedb._consumers.held_streams import STREAM_IS_HELD
from messagedb._errors import HandlerError
from messagedb._subscriptions.availability import is_store_unavailable
from messagedb._subscriptions.log_texts import escape_line

from .context import AsyncContext
from .handler_caller import AsyncPlainCaller
from .run_state import log
from .store_probe import get_attempt_status
from .transactional_caller import AsyncTransactionalCaller

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import Dispatch, HandlerCall
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore
    from .handler_caller import AsyncHandlerCaller
    from .position_stores import AsyncPositions
    from .run_state import AsyncRunState
    from .store_probe import AttemptStatus
    from .stream_holder import AsyncStreamHolder


class AsyncMessageProcessor:
    """Handles the messages of one run: ``call`` first, then ``retry_until_final`` if that failed.

    Args:
        state: the run's.
        client: the client of the handlers, also for their transactions.
        settings: the consumer's.
        positions: stores the position of a transactional consumer with each message.
        dispatch: the handlers.
        holder: the held streams.

    Attributes:
        dispatch: the handlers.
        handlers: by message type.
        catch_all: that of the other types, if there is one.
        holder: the same.
        page: the messages of the page that is delivered; empty with several handlers.
        call: calls a handler once: see ``AsyncHandlerCaller``.
        caller: calls the handlers, also of several messages.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        positions: AsyncPositions,
        dispatch: Dispatch,
        holder: AsyncStreamHolder,
    ) -> None:
        self.holder = holder
        self.page: list[Message[Any]] = []
        self._state = state
        self._client = client
        self._settings = settings
        self.caller: AsyncHandlerCaller = (
            AsyncTransactionalCaller(state, client, settings, positions, dispatch.batches, holder)
            if settings.transactional
            else AsyncPlainCaller(client, settings, state.counters, dispatch.batches, holder)
        )
        self.dispatch = dispatch
        self.handlers, self.catch_all = dispatch.by_type, dispatch.catch_all
        self.call = self.caller.call

    async def retry_until_final(
        self, message: Message[Any], invoke: HandlerCall, problem: Exception
    ) -> bool:
        """Retry a message whose first attempt had a problem, until it is done.

        A message of a held stream is parked, too.

        Returns:
            False if the run is to stop before it is.

        Raises:
            HandlerError: it could not be handled, and the consumer is to stop before it.
            ParkingLimitError: it could not be parked in its stream.
            MessageDBError: another error.
        """
        try:
            if problem is not STREAM_IS_HELD:
                return await self._retry_until_final(message, invoke, problem)
            return await self._park_behind(message, invoke)
        finally:
            self._state.failures.forget(message)

    async def _retry_until_final(
        self, message: Message[Any], invoke: HandlerCall, problem: Exception
    ) -> bool:
        state = self._state
        attempt, outages = 1, 0
        recovered_at: float | None = None
        last_problem: Exception | None = problem
        while last_problem is not None:
            if state.signals.is_cut_off:
                # Another process may handle it now: this one neither retries nor parks it.
                return False
            available_for = None if recovered_at is None else monotonic() - recovered_at
            status = await self._get_attempt_status(last_problem, available_for)
            is_unavailable = status != "counted"
            if status == "unavailable":
                recovered_at = None
            elif status == "recovered" and recovered_at is None:
                recovered_at = monotonic()
            decision = choose_action(
                last_problem,
                attempt,
                outages,
                self._settings.retry,
                is_unavailable,
                parks_streams=self._settings.on_error == "park_stream",
            )
            if isinstance(decision, ConsultOnError):
                decision = await self._consult_on_error(message, attempt, last_problem)
            if isinstance(decision, FinalAction):
                return await self._finish(message, attempt, last_problem, decision)
            outages = outages + 1 if is_unavailable else 0
            if not await self._wait(message, attempt, last_problem, decision, is_unavailable):
                return False
            if decision.counts:
                attempt += 1
            state.progress.current_message, state.progress.attempt = message, attempt
            last_problem = await self.call(message, attempt, invoke)
        state.availability.mark_available()
        state.progress.finish_message()
        state.phase.enter("running")
        return True

    async def _get_attempt_status(
        self, problem: Exception, available_for: float | None
    ) -> AttemptStatus:
        """Return whether an attempt counts, or failed because the store was unavailable."""
        origin = self.caller.get_origin(problem)
        if origin == "consumer":
            return "unavailable" if is_store_unavailable(problem) else "counted"
        may_be_unavailable = origin == "store" or is_store_unavailable(problem)
        return await get_attempt_status(
            self._state, self._client, problem, may_be_unavailable, available_for
        )

    async def _consult_on_error(
        self, message: Message[Any], attempt: int, problem: Exception
    ) -> RetryAfter | FinalAction:
        on_error: Any = self._settings.on_error
        if callable(on_error):
            context = AsyncContext(message, attempt, self._client, self._settings.id_namespace)
            on_error = await resolve_result(on_error(context, problem))
        return parse_on_error_result(on_error, attempt, self._settings.retry)

    async def _wait(
        self,
        message: Message[Any],
        attempt: int,
        problem: Exception,
        retry: RetryAfter,
        is_unavailable: bool,
    ) -> bool:
        state = self._state
        if is_unavailable:
            state.availability.mark_unavailable(problem, retry.delay)
        else:
            state.phase.enter("retrying")
            state.note_failed_attempt(message, attempt, format_reason(problem))
            log.warning(
                "%s: attempt %d of message %d of stream %r failed, the next in %.2f s: %s",
                state.name,
                attempt,
                message.position,
                message.stream_name,
                retry.delay,
                format_reason(problem),
            )
        return await state.signals.pause(retry.delay)

    async def _finish(
        self, message: Message[Any], attempt: int, problem: Exception, final_action: FinalAction
    ) -> bool:
        """Apply the final action to a message; return False if the run is to stop before that."""
        state = self._state
        reason = escape_line(final_action.reason) or format_reason(problem)
        state.note_failed_attempt(message, attempt, reason)
        state.progress.finish_message()
        if final_action.action == "stop":
            error = HandlerError(
                self._settings.position_name,
                message.stream_name,
                message.position,
                message.global_position,
                message.type,
                attempt,
                reason,
            )
            raise error from None if isinstance(problem, HandlerOutcome) else problem
        location = (message.position, message.stream_name)
        if final_action.action == "park":
            if not await self._park(message, attempt, reason):
                return False
            state.counters.parked += 1
            log.warning("%s: message %d of stream %r is parked: %s", state.name, *location, reason)
        elif final_action.action == "park_stream":
            if await self._park_in_stream(message, attempt, reason) is None:
                return False
            state.counters.parked += 1
            text = "%s: message %d of stream %r is parked, and holds the stream: %s"
            log.warning(text, state.name, *location, reason)
        else:
            state.counters.skipped += 1
            log.warning("%s: message %d of stream %r is skipped: %s", state.name, *location, reason)
        state.phase.enter("running")
        return True

    async def _park(self, message: Message[Any], attempt: int, reason: str) -> bool:
        """Park a message, however long the store is unavailable; False if the run is to stop."""

        async def park() -> bool:
            await self.caller.park(message, attempt, reason)
            return True

        return bool(await self._state.retry_while_unavailable(park))

    async def _park_behind(self, message: Message[Any], invoke: HandlerCall) -> bool:
        """Park a message behind one of its stream, or handle it if there is none any more."""
        state = self._state
        is_parked = self.holder.take_ahead(message) or await self._park_with_page(message)
        if is_parked is None:
            return False
        if is_parked:
            state.counters.parked += 1
            state.progress.finish_message()
            return True
        log.info("%s: stream %r flows again", state.name, message.stream_name)
        problem = await self.call(message, 1, invoke)
        return problem is None or await self.retry_until_final(message, invoke, problem)

    async def _park_with_page(self, message: Message[Any]) -> bool | None:
        """Park a message, and those of the page that are behind others; None if it is to stop."""
        position, held = message.global_position, self.holder.held
        find, catch_all = self.handlers.get, self.catch_all
        messages = [message] + [
            each
            for each in self.page
            if each.global_position > position
            and held.is_behind(each)
            and find(each.type, catch_all) is not None
        ]

        async def park() -> bool:
            return await self.caller.park_behind(messages)

        return await self._state.retry_while_unavailable(park)

    async def _park_in_stream(
        self, message: Message[Any], attempt: int, reason: str
    ) -> bool | None:
        """Park a message that holds its stream; None if the run is to stop."""

        async def park() -> bool:
            return await self.caller.park_in_stream(message, attempt, reason)

        return await self._state.retry_while_unavailable(park)
