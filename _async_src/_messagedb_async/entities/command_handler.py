"""Commands to entities, those to one entity one after the other or together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from messagedb._concurrency.backend_async import sleep
from messagedb._concurrency.grouping_async import Waker
from messagedb._entities.command_queue import CommandQueue, WaitingCommand
from messagedb._entities.joint_decision import JointDecision, Rules
from messagedb._entities.results import TransactResult
from messagedb._errors import (
    LostHistoryError,
    MessageDBError,
    WrongExpectedVersionError,
    copy_error,
)
from messagedb._operations.write_results import is_conclusive
from messagedb._transactions.retry import pause
from messagedb.errors import OutcomeUnknownError

from ..operations.internals import write_prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messagedb._entities.cache import CachedEntity
    from messagedb._entities.causation import Causation

    from ..operations.operations import AsyncOperations
    from .appender import AppendResult, AsyncAppender
    from .loader import AsyncLoader

S = TypeVar("S")

# The largest number of commands that are decided for one batch.
_MAX_COMMANDS: Final = 100


class AsyncCommandHandler(Generic[S]):
    """Decides about the commands to the entities of a store, and appends the events.

    The callers of one entity wait in a queue. The first of them leads: it decides about all waiting
    commands, each on the state after those before it, and stores their events in one batch. No
    outcome, also that of a refusal, is returned before the events that it rests on are stored.

    Args:
        store: the client or transaction to write with.
        loader: loads entities, and has the cache.
        appender: appends the events of a command that is alone.
        rules: the functions of the user.
    """

    def __init__(
        self,
        store: AsyncOperations,
        loader: AsyncLoader[S],
        appender: AsyncAppender[S],
        rules: Rules[S],
    ) -> None:
        self._store = store
        self._loader = loader
        self._appender = appender
        self._rules = rules
        self._queue: CommandQueue[S, Waker] = CommandQueue(Waker)

    async def handle(
        self, id: str, command: Any, cause: Causation, max_attempts: int
    ) -> TransactResult[S]:
        """Decide about a command, and append its events: see ``transact`` of the entity store."""
        is_alone = cause.has_fixed_ids or not self._loader.decides_in_memory
        item: WaitingCommand[S, Waker] = WaitingCommand(
            command, cause, max_attempts, is_alone=is_alone
        )
        queue = self._queue
        try:
            event = queue.enter(id, item)
            if event is not None:
                await event.wait()
            item.leads = queue.is_leader(id, item)
            while item.leads and not item.is_settled:
                if item.sent_in is not None:
                    await self._send_again(id, item.sent_in)
                elif item.is_alone:
                    return await self._handle_alone(id, item)
                else:
                    await self._handle_waiting(id)
        finally:
            try:
                queue.leave(id, item)
            except BaseException:
                # The handler of a signal has raised: the others must not wait for ever.
                queue.leave(id, item)
                raise
        return item.get_result()

    async def _handle_waiting(self, id: str) -> None:
        """Decide about the first waiting commands, and store their events in one batch.

        An error that is not ours is raised to the caller that leads: the next one tries again.
        """
        items = self._queue.get_first(id, _MAX_COMMANDS)
        eviction_count = self._loader.cache.eviction_count
        try:
            entry, is_current = await self._get_entry(id, items)
        except MessageDBError as error:
            _fail_all(items, error)
            return
        decision = self._decide(id, entry, items)
        if decision.write is None and decision.commands and not is_current:
            # Nothing will be written that would detect events of other processes.
            try:
                newest = await self._loader.load_latest(id)
            except MessageDBError as error:
                _fail_all(items, error)
                return
            is_current = True
            if not newest.is_same(entry):
                decision = self._decide(id, newest, items)
        if decision.write is None:
            decision.settle()
        else:
            await self._send(id, decision, eviction_count, is_current=is_current)

    def _decide(
        self, id: str, entry: CachedEntity[S], items: Sequence[WaitingCommand[S, Waker]]
    ) -> JointDecision[S]:
        with self._queue.deciding(id):
            return JointDecision(self._rules, self._loader.get_stream_name(id), entry, items)

    async def _get_entry(
        self, id: str, items: Sequence[WaitingCommand[S, Waker]]
    ) -> tuple[CachedEntity[S], bool]:
        """Return the entity, and True if the store was asked for newer events."""
        if not any(item.needs_refresh for item in items):
            entry = self._loader.get_written(id)
            if entry is not None:
                return entry, False
        return await self._loader.load_latest(id), True

    async def _send(
        self,
        id: str,
        decision: JointDecision[S],
        eviction_count: int,
        *,
        is_current: bool,
    ) -> None:
        """Store the batch of a decision, and settle its commands."""
        write = decision.write
        assert write is not None
        decision.note_sending()
        try:
            positions = await write_prepared(self._store, write)
        except MessageDBError as error:
            await sleep(self._settle_failure(id, decision, error, is_current=is_current))
            return
        if positions == decision.positions:
            self._loader.cache.put(id, decision.build_entry(), eviction_count)
        decision.settle()

    async def _send_again(self, id: str, decision: JointDecision[S]) -> None:
        """Send the batch of a caller that was interrupted: what is stored is not stored twice."""
        write = decision.write
        assert write is not None
        try:
            await write_prepared(self._store, write)
        except MessageDBError as error:
            if not is_conclusive(write, error):
                unknown = OutcomeUnknownError(
                    write.stream_name, write.messages, write.expected_version, str(error)
                )
                unknown.__cause__ = error
                error = unknown
            self._settle_failure(id, decision, error, is_current=False)
        else:
            decision.settle()

    def _settle_failure(
        self, id: str, decision: JointDecision[S], error: MessageDBError, *, is_current: bool
    ) -> float:
        """Settle the commands of a batch that failed; return the seconds to wait before the next.

        Those that are not settled are decided again.
        """
        if isinstance(error, OutcomeUnknownError):
            decision.note_unknown_outcome(error)
        elif isinstance(error, WrongExpectedVersionError | LostHistoryError):
            self._loader.forget_lost(id, decision.entry, error)
            decision.note_conflict(error)
            if is_current:
                return pause(max(item.conflicts for item in decision.commands))
        else:
            decision.note_failure(error)
        return 0.0

    async def _handle_alone(self, id: str, item: WaitingCommand[S, Waker]) -> TransactResult[S]:
        """Decide about one command whose events are read back, or that is written separately."""
        cause, appender, applier = item.cause, self._appender, self._rules.applier
        while True:
            entry, is_current = await self._get_entry(id, (item,))
            # After the entity was loaded: then the state for decide has no events of this key.
            earlier = None if cause.key is None else await appender.find_earlier_result(id, cause)
            if earlier is not None:
                return _build_result(earlier, item.conflicts)
            events, refusal = self._decide_alone(id, item, entry)
            if not events and not is_current:
                item.needs_refresh = True
                newest = await self._loader.load_latest(id)
                if not newest.is_same(entry):
                    continue
            if refusal is not None:
                earlier = None if cause.key else await appender.find_earlier_result(id, cause)
                if earlier is None:
                    raise refusal
                return _build_result(earlier, item.conflicts + 1)
            if not events:
                state = applier.get_private_copy(entry.entity)
                return TransactResult(state, entry.version, attempts=item.conflicts + 1)
            try:
                appended = await appender.append(id, entry, events, cause)
            except (WrongExpectedVersionError, LostHistoryError):
                item.conflicts += 1
                item.needs_refresh = True
                if item.conflicts >= item.max_attempts:
                    raise
            else:
                return _build_result(appended, item.conflicts + 1)
            await sleep(pause(item.conflicts) if is_current else 0.0)

    def _decide_alone(
        self, id: str, item: WaitingCommand[S, Waker], entry: CachedEntity[S]
    ) -> tuple[list[Any], Exception | None]:
        """Return the decided events, or the error of the decision."""
        rules = self._rules
        try:
            with self._queue.deciding(id):
                state = rules.applier.get_private_copy(entry.entity)
                return rules.decider.decide_events(item.command, state), None
        except Exception as error:
            return [], error


def _fail_all(items: Sequence[WaitingCommand[S, Waker]], error: MessageDBError) -> None:
    """Raise an error to several callers."""
    for item in items:
        item.fail(copy_error(error))


def _build_result(appended: AppendResult[S], attempts: int) -> TransactResult[S]:
    return TransactResult(
        appended.state,
        appended.version,
        appended.events,
        appended.positions,
        attempts,
        appended.is_repeated,
    )
