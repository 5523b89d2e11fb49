"""One message and its handler: the attempts, and what becomes of it when none of them could."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._concurrency.backend_async import CANCELLED, answer, is_interrupted
from messagedb._consumers import failure_policy
from messagedb._consumers.failure_policy import Again, Ask, Settle, cancelled, decide, problem_of
from messagedb._consumers.failure_texts import reason_of
from messagedb._consumers.handler_outcomes import HandlerOutcome
from messagedb._errors import HandlerError, LostHistoryError, MessageDBError, PositionConflictError
from messagedb._subscriptions.availability import is_passing, is_store_away
from messagedb._subscriptions.backoff import WHILE_AWAY
from messagedb._subscriptions.log_texts import fit
from messagedb.errors import OutcomeUnknownError

from .context import AsyncContext
from .history_check import check_message
from .parking import park
from .run_state import log
from .store_probe import is_of_store, standing_of

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import Invoke
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction
    from .position_stores import AsyncPositions, Ticket
    from .run_state import AsyncRun
    from .store_probe import Standing


class AsyncHandling:
    """How the messages of one run are handled.

    Args:
        run: the run.
        client: where handlers write, or whose transactions they write in.
        settings: the consumer's.
        positions: where a transactional consumer stores its position with each message.
    """

    def __init__(
        self,
        run: AsyncRun,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        positions: AsyncPositions,
    ) -> None:
        self._run = run
        self._client = client
        self._settings = settings
        self._positions = positions
        self._seed = settings.seed
        # Of a transactional consumer's last attempt: what failed outside of the handler, and what
        # failed in it by a statement of its own, but for the store.
        self._own: Exception | None = None
        self._of_store: Exception | None = None

    async def handle(self, message: Message[Any], invoke: Invoke) -> bool:
        """Handle a message, to whatever end; tell whether there is one: False when it is to stop.

        Raises:
            HandlerError: it could not be handled, and the consumer is to stop before it.
            MessageDBError: something else is wrong.
        """
        if self._settings.transactional:
            problem = await self._in_transaction(message, 1, invoke)
        else:
            problem = await self._call(message, 1, invoke)
        if problem is None:
            self._run.counts.handled += 1
            return True
        return await self.settle(message, invoke, problem)

    async def settle(self, message: Message[Any], invoke: Invoke, problem: Exception) -> bool:
        """Go on with a message whose first attempt had a problem, as `handle` does."""
        run, settings = self._run, self._settings
        attempt, away = 1, 0
        may_have_been_away = True
        last: Exception | None = problem
        while last is not None:
            if last is self._own:
                standing: Standing = "away" if is_store_away(last) else "counts"
            else:
                may_be_away = is_store_away(last) or last is self._of_store
                standing = await standing_of(
                    run, self._client, last, may_be_away, may_have_been_away
                )
            is_away = standing != "counts"
            if is_away:
                may_have_been_away = standing == "away"
            decision = decide(last, attempt, away, settings.retry, is_away)
            if isinstance(decision, Ask):
                decision = await self._ask(message, attempt, last)
            if isinstance(decision, Settle):
                return await self._end(message, attempt, last, decision)
            away = away + 1 if is_away else 0
            if not await self._wait(message, attempt, last, decision, is_away):
                return False
            if decision.counts:
                attempt += 1
            last = await self._again(message, attempt, invoke)
        self._own = self._of_store = None
        run.came_back()
        run.in_hand, run.attempt = None, 1
        run.counts.handled += 1
        if not run.is_stopping:
            run.state = "running"
        return True

    async def _again(self, message: Message[Any], attempt: int, invoke: Invoke) -> Exception | None:
        self._run.in_hand, self._run.attempt = message, attempt
        if self._settings.transactional:
            return await self._in_transaction(message, attempt, invoke)
        return await self._call(message, attempt, invoke)

    async def _call(self, message: Message[Any], attempt: int, invoke: Invoke) -> Exception | None:
        context = AsyncContext(message, attempt, self._client, self._seed)
        try:
            result = await invoke(context)
        except CANCELLED as error:
            if is_interrupted():
                raise
            return cancelled(error)
        except Exception as error:
            return error
        return None if result is None else problem_of(result)

    async def _in_transaction(
        self, message: Message[Any], attempt: int, invoke: Invoke
    ) -> Exception | None:
        """Handle a message and store its position in one transaction; give the problem, if any.

        Raises:
            PositionConflictError: another consumer has stored its position.
            LostHistoryError: the message, or the position, is not in the store any more.
        """
        ticket: Ticket | None = None
        transaction: AsyncTransaction | None = None
        run, settings = self._run, self._settings
        positions, position = self._positions, message.global_position
        if positions.doubted is not None and positions.doubted.position != position:
            # That message was parked or skipped since.
            positions.doubted = None
        problem: Exception
        self._own = self._of_store = None
        is_in_handler = False
        try:
            await positions.settle_lost()
            async with self._client.transaction(
                timeout=self._settings.transaction_timeout
            ) as transaction:
                mark = run.trail.mark_of(position)
                if mark is not None and mark.position == position:
                    await check_message(transaction, run.name, mark, settings.category, run.trail)
                is_in_handler = True
                result = await invoke(AsyncContext(message, attempt, transaction, self._seed))
                is_in_handler = False
                if result is not None and (said := problem_of(result)) is not None:
                    raise said
                ticket = await positions.save_in(transaction, position, mark)
        except PositionConflictError as error:
            return await self._after_conflict(error)
        except LostHistoryError:
            raise
        except CANCELLED as error:
            if is_interrupted():
                raise
            problem = cancelled(error)
        except OutcomeUnknownError as error:
            if ticket is not None:
                positions.doubted = ticket
            problem = error
        except psycopg.Error as error:
            if is_of_store(error, transaction):
                self._of_store = error
            problem = error
        except Exception as error:
            problem = error
        else:
            positions.settle(ticket)
            return None
        if not is_in_handler:
            self._own = problem
        return await self._unless_committed(problem)

    async def _after_conflict(self, error: PositionConflictError) -> Exception | None:
        problem = await self._unless_committed(error)
        if problem is error:
            raise error
        return problem

    async def _unless_committed(self, problem: Exception) -> Exception | None:
        """Give the problem, unless it is that a COMMIT given up for lost has come after all.

        Where nobody can tell, the problem is that the store is away.
        """
        doubted = self._positions.doubted
        if doubted is None:
            return problem
        try:
            is_stored = await self._positions.is_stored(doubted)
        except MessageDBError as error:
            if is_store_away(error):
                self._own = error
                return error
            raise
        return None if is_stored else problem

    async def _ask(self, message: Message[Any], attempt: int, problem: Exception) -> Again | Settle:
        on_error = self._settings.on_error
        if not callable(on_error):
            return failure_policy.answer_of_on_error(on_error, attempt, self._settings.retry)
        context = AsyncContext(message, attempt, self._client, self._seed)
        said = await answer(on_error(context, problem))
        return failure_policy.answer_of_on_error(said, attempt, self._settings.retry)

    async def _wait(
        self,
        message: Message[Any],
        attempt: int,
        problem: Exception,
        again: Again,
        is_away: bool,
    ) -> bool:
        run = self._run
        if is_away:
            run.went_away(problem, again.delay)
        else:
            run.counts.last_error = reason_of(problem)
            run.state = "retrying"
            log.warning(
                "%s: attempt %d of message %d of stream %r failed, the next in %.2f s: %s",
                run.name,
                attempt,
                message.position,
                message.stream_name,
                again.delay,
                reason_of(problem),
            )
        return await run.pause(again.delay)

    async def _end(
        self, message: Message[Any], attempt: int, problem: Exception, end: Settle
    ) -> bool:
        run, settings = self._run, self._settings
        reason = fit(end.reason) or reason_of(problem)
        run.counts.last_error = reason
        run.in_hand, run.attempt = None, 1
        place = (message.position, message.stream_name)
        if end.what == "stop":
            error = HandlerError(
                settings.position_name,
                message.stream_name,
                message.position,
                message.global_position,
                message.type,
                attempt,
                reason,
            )
            raise error from None if isinstance(problem, HandlerOutcome) else problem
        if end.what == "park":
            if not await self._park(message, attempt, reason):
                return False
            run.counts.parked += 1
            log.warning("%s: message %d of stream %r is parked: %s", run.name, *place, reason)
        else:
            run.counts.skipped += 1
            log.warning("%s: message %d of stream %r is skipped: %s", run.name, *place, reason)
        if not run.is_stopping:
            run.state = "running"
        return True

    async def _park(self, message: Message[Any], attempt: int, reason: str) -> bool:
        """Park a message, however long the store is away; False when the run is to stop."""
        away = 0
        while True:
            try:
                await self._park_once(message, attempt, reason)
            except MessageDBError as error:
                if not is_passing(error):
                    raise
                away += 1
                delay = WHILE_AWAY.get_backoff(away)
                self._run.went_away(error, delay)
                if not await self._run.pause(delay):
                    return False
            else:
                self._run.came_back()
                return True

    async def _park_once(self, message: Message[Any], attempt: int, reason: str) -> None:
        """Park a message; in the transaction of its position, if the consumer is transactional."""
        stream, seed = self._settings.parked_stream, self._seed
        if not self._settings.transactional:
            await park(self._client, stream, seed, message, reason, attempt)
            return
        ticket: Ticket | None = None
        positions = self._positions
        try:
            await positions.settle_lost()
            async with self._client.transaction() as transaction:
                await park(transaction, stream, seed, message, reason, attempt)
                position = message.global_position
                mark = self._run.trail.mark_of(position)
                ticket = await positions.save_in(transaction, position, mark)
        except PositionConflictError as error:
            if await self._after_conflict(error) is not None:
                raise
        except OutcomeUnknownError as error:
            if ticket is not None:
                positions.doubted = ticket
            if await self._unless_committed(error) is not None:
                raise
        else:
            positions.settle(ticket)
