"""Decisions about several commands to one entity, each based on those before, for one write."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from .._errors import MessageDBError, StoreUnavailableError, copy_error
from .._messages.message import NewMessage
from .._operations.requests import DecisionBasis, WriteRequest, encode_messages
from ..errors import OutcomeUnknownError
from .cache import CachedEntity
from .new_events import build_messages, simulate_stored
from .results import TransactResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._messages.registry import MessageRegistry
    from .command_queue import WaitingCommand
    from .decider import Decider
    from .projection import Projector

S = TypeVar("S")

# A batch is one INSERT up to some hundred messages; and what fails is decided again.
_MAX_MESSAGES: Final = 300
_MAX_CHARACTERS: Final = 1_000_000


class _Step(Generic[S]):
    """The decision about one command: its events or its error, and the state after it."""

    __slots__ = (
        *("command", "encoded", "error", "events", "messages"),
        *("returned_state", "state", "version"),
    )

    def __init__(self, command: WaitingCommand[S, Any], state: S, version: int) -> None:
        self.command = command
        self.state = self.returned_state = state
        self.version = version
        self.messages: tuple[NewMessage, ...] = ()
        self.encoded: list[Any] = []
        self.events: tuple[Any, ...] = ()
        self.error: Exception | None = None


class Rules(msgspec.Struct, Generic[S], frozen=True):
    """The functions of a user that a decision needs.

    Attributes:
        decider: decides about commands.
        applier: derives the state from events.
        registry: the classes of events.
        decimals: True if fractions are read as Decimals.
    """

    decider: Decider[S, Any, Any]
    applier: Projector[S]
    registry: MessageRegistry
    decimals: bool


class JointDecision(Generic[S]):
    """The decisions about the first of some commands, and the batch that stores them.

    A command that cannot be decided together with others is marked as such, and ends the batch
    before it.

    Args:
        rules: the functions of the user.
        stream_name: the stream of the entity.
        entry: the entity to begin with.
        commands: the commands, in order.

    Attributes:
        entry: the entity that the first decision is based on.
        write: the batch, None if no command has events.
    """

    def __init__(
        self,
        rules: Rules[S],
        stream_name: str,
        entry: CachedEntity[S],
        commands: Sequence[WaitingCommand[S, Any]],
    ) -> None:
        self._rules = rules
        self._stream_name = stream_name
        self.entry = entry
        self._steps: list[_Step[S]] = []
        state, version = entry.entity, entry.version
        messages = characters = 0
        for command in commands:
            if command.is_abandoned:
                continue
            step = _Step(command, state, version)
            if command.context is None or command.leads:
                self._decide(step)
            else:
                command.context.run(self._decide, step)
                if step.error is not None:
                    self._raise_interruption(step, step.error)
            if command.is_alone:
                break
            self._steps.append(step)
            state, version = step.state, step.version
            messages += len(step.encoded)
            characters += sum(len(each.data or "") for each in step.encoded)
            if messages >= _MAX_MESSAGES or characters >= _MAX_CHARACTERS:
                break
        self.write = self._build_write() if messages else None

    def _decide(self, step: _Step[S]) -> None:
        rules, command = self._rules, step.command
        applier, decimals = rules.applier, rules.decimals
        try:
            events = rules.decider.decide_events(
                command.command, applier.get_private_copy(step.state)
            )
            if not events:
                step.returned_state = applier.get_private_copy(step.state)
                return
            made = build_messages(
                rules.registry, events, self._stream_name, command.cause, decimals=decimals
            )
            # Each command is encoded by itself, so an invalid event affects no other command.
            encoded = encode_messages(made, decimals, rules.registry)
            if applier.needs_stored_messages(made) or has_own_messages(events):
                command.is_alone = True
                return
            stored = simulate_stored(encoded, made, self._stream_name, step.version + 1, decimals)
            # All of the user's code is called before the write: an error there writes nothing.
            state = applier.apply(applier.get_private_copy(step.state), stored)
            step.events = tuple([rules.registry.decode(message) for message in stored])
            step.returned_state = applier.get_private_copy(state)
        except Exception as error:
            step.error = error
            return
        step.state, step.messages, step.encoded = state, tuple(made), encoded
        step.version += len(stored)

    def _raise_interruption(self, step: _Step[S], error: Exception) -> None:
        """Raise an error that is not of the command, but of a signal's handler in this thread.

        Handlers run in the main thread only. A decision has no side effects, so it is made again.
        """
        if not _is_main_thread():
            return
        again = _Step(step.command, step.state, step.version)
        assert step.command.context is not None
        step.command.context.run(self._decide, again)
        if type(again.error) is not type(error):
            raise error

    def _build_write(self) -> WriteRequest:
        steps = self._steps
        if len(steps) == 1:
            messages, encoded = steps[0].messages, steps[0].encoded
        else:
            messages = tuple(each for step in steps for each in step.messages)
            encoded = [each for step in steps for each in step.encoded]
        return WriteRequest(
            self._stream_name, messages, encoded, self.entry.version, False, build_basis(self.entry)
        )

    @property
    def commands(self) -> list[WaitingCommand[S, Any]]:
        """The commands that were decided."""
        return [step.command for step in self._steps]

    @property
    def positions(self) -> list[int]:
        """The positions of the batch, if it is stored."""
        return list(range(self.entry.version + 1, self._steps[-1].version + 1))

    def note_sending(self) -> None:
        """Record that the batch is sent: if that is interrupted, it has to be sent again."""
        for step in self._steps:
            step.command.sent_in = self

    def build_entry(self) -> CachedEntity[S]:
        """Return the entity after the batch was stored."""
        last = self._steps[-1]
        assert self.write is not None
        basis = self.write.basis
        return CachedEntity(
            last.state,
            last.version,
            self.entry.snapshot_version,
            self.write.messages[-1].id,
            0 if basis is None else basis.history_written,
        )

    def settle(self) -> None:
        """Settle every command: the batch is stored, or there is nothing to store."""
        for step in self._steps:
            command = step.command
            if step.error is not None:
                command.fail(step.error)
                continue
            first = step.version - len(step.messages) + 1
            command.settle(
                TransactResult(
                    step.returned_state,
                    step.version,
                    step.events,
                    tuple(range(first, step.version + 1)),
                    command.conflicts + 1,
                )
            )

    def note_conflict(self, error: MessageDBError) -> None:
        """Count a conflict, which is raised to the callers whose attempts are used up."""
        for step in self._steps:
            command = step.command
            command.needs_refresh = True
            command.sent_in = None
            if step.messages:
                command.conflicts += 1
                if command.conflicts >= command.max_attempts:
                    command.fail(copy_error(error))

    def note_unknown_outcome(self, error: OutcomeUnknownError) -> None:
        """Raise to each caller that its events may be stored; the others are decided again."""
        for step in self._steps:
            command = step.command
            command.needs_refresh = True
            command.sent_in = None
            if step.messages:
                expected = step.version - len(step.messages)
                command.fail(_limit_unknown_outcome(error, step.messages, expected))

    def note_failure(self, error: MessageDBError) -> None:
        """Raise to each caller that nothing was written, or let each command be written alone."""
        is_separable = len(self._steps) > 1 and not isinstance(error, StoreUnavailableError)
        for step in self._steps:
            step.command.sent_in = None
            if is_separable:
                # The reason may be one of the messages, or that there are several.
                step.command.is_alone = True
            else:
                step.command.fail(copy_error(error))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _limit_unknown_outcome(
    error: OutcomeUnknownError, messages: tuple[NewMessage, ...], expected_version: int
) -> OutcomeUnknownError:
    """Return the error for a part of the write: the messages of one of several callers."""
    limited = OutcomeUnknownError(error.stream_name, messages, expected_version, error.reason)
    limited.__cause__ = error.__cause__
    return limited


def has_own_messages(events: Sequence[Any]) -> bool:
    """Return True if an event is a NewMessage, whose id may be stored already."""
    return any(isinstance(event, NewMessage) for event in events)


def build_basis(entry: CachedEntity[Any]) -> DecisionBasis | None:
    """Return the basis of a decision; None if the last event of the entity is not known."""
    if entry.last_id is None and entry.version >= 0:
        return None
    return DecisionBasis("" if entry.last_id is None else str(entry.last_id), entry.history)
