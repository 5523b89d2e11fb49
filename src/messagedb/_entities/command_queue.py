"""Commands that wait for one entity: the first of them leads, and handles the others with its own.

No I/O. A caller that waits is dropped as long as its command was not sent.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .._errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .causation import Causation
    from .results import TransactResult

S = TypeVar("S")


class Wakeable(Protocol):
    """An event that one caller waits for."""

    def set(self) -> object:
        """Wake the caller."""
        ...


W = TypeVar("W", bound=Wakeable)


class WaitingCommand(Generic[S, W]):
    """A command and its outcome.

    Attributes:
        command: the command to decide about.
        cause: the source of the events' ids and metadata.
        max_attempts: the number of decisions after which a conflict is raised.
        conflicts: the number of decisions that could not be stored so far.
        is_alone: True if it is decided and written separately.
        needs_refresh: True if the entity in memory is known to be outdated.
        context: the caller's context variables, for a decision that another caller makes.
        event: wakes the caller, if it waits.
        leads: True if its caller handles the commands of the entity.
        is_abandoned: True if its caller has gone.
        sent_in: the batch that it is a part of, if the sender of that batch was interrupted: then
            the same messages have to be sent again.
    """

    __slots__ = (
        "_error",
        "_result",
        "cause",
        "command",
        "conflicts",
        "context",
        "event",
        "is_abandoned",
        "is_alone",
        "is_settled",
        "leads",
        "max_attempts",
        "needs_refresh",
        "sent_in",
    )

    def __init__(
        self, command: Any, cause: Causation, max_attempts: int, *, is_alone: bool
    ) -> None:
        self.command = command
        self.cause = cause
        self.max_attempts = max_attempts
        self.conflicts = 0
        self.is_alone = is_alone
        self.needs_refresh = max_attempts == 1
        self.context: contextvars.Context | None = None
        self.event: W | None = None
        self.leads = self.is_abandoned = self.is_settled = False
        # A JointDecision, whose module imports this one.
        self.sent_in: Any = None
        self._result: TransactResult[S] | None = None
        self._error: BaseException | None = None

    def settle(self, result: TransactResult[S]) -> None:
        """Return a result to the caller."""
        self._result = result
        self._end()

    def fail(self, error: BaseException) -> None:
        """Raise an error to the caller."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self.is_settled = True
        if self.event is not None:
            self.event.set()

    def get_result(self) -> TransactResult[S]:
        """Return the result, or raise the error."""
        error = self._error
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback has this frame: without this they would keep each other.
                self._error = error = None
        assert self._result is not None
        return self._result


class _Line(Generic[S, W]):
    """The commands of one entity that are not settled, and the one whose caller leads."""

    __slots__ = ("leader", "waiting")

    def __init__(self, leader: WaitingCommand[S, W]) -> None:
        self.leader = leader
        self.waiting = deque((leader,))


class _Deciding:
    """The time in which a thread decides about an entity."""

    __slots__ = ("_mark", "_marks")

    def __init__(self, marks: set[tuple[str, int]], mark: tuple[str, int]) -> None:
        self._marks = marks
        self._mark = mark

    def __enter__(self) -> None:
        self._marks.add(self._mark)

    def __exit__(self, *_: object) -> None:
        self._marks.discard(self._mark)


class CommandQueue(Generic[S, W]):
    """The waiting commands by entity. Threads may share it; it never blocks for long.

    The handler of a signal may raise in each of its methods. What ``leave`` has not done then, it
    does when it is called again.

    Args:
        make_event: returns the event that a caller waits for.
    """

    def __init__(self, make_event: Callable[[], W]) -> None:
        self._make_event = make_event
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._lines: dict[str, _Line[S, W]] = {}
        self._deciding: set[tuple[str, int]] = set()

    def enter(self, id: str, item: WaitingCommand[S, W]) -> W | None:
        """Add a command; return the event to wait for, None if its caller leads immediately.

        Raises:
            ValidationError: ``decide`` itself sends a command to the entity that it decides about,
                and would wait for itself. Nothing was sent.
        """
        if self._pid != os.getpid():
            # A forked process: the threads that handle the parent's commands are not here.
            self._start()
        with self._lock:
            line = self._lines.get(id)
            if line is None:
                self._lines[id] = _Line(item)
                return None
            if self._deciding and (id, threading.get_ident()) in self._deciding:
                raise ValidationError(
                    f"decide or evolve of entity {id!r} sent a command to the same entity, which "
                    "would wait for its own end. Nothing of it was sent. Return the events instead."
                )
            item.context = contextvars.copy_context()
            event = item.event = self._make_event()
            line.waiting.append(item)
            return event

    def is_leader(self, id: str, item: WaitingCommand[S, W]) -> bool:
        """Return True if the caller of a command handles the commands of the entity now."""
        line = self._lines.get(id)
        return line is not None and line.leader is item

    def deciding(self, id: str) -> _Deciding:
        """Refuse commands to an entity from the code that decides about it, in a block."""
        return _Deciding(self._deciding, (id, threading.get_ident()))

    def get_first(self, id: str, count: int) -> list[WaitingCommand[S, W]]:
        """Return the first commands that are handled together, at most so many."""
        with self._lock:
            first: list[WaitingCommand[S, W]] = []
            for item in _remove_ended(self._lines[id]):
                if first and (len(first) == count or item.is_alone):
                    break
                first.append(item)
            return first

    def leave(self, id: str, item: WaitingCommand[S, W]) -> None:
        """Remove the command of a caller that goes; if it leads, let the next one lead."""
        with self._lock:
            item.is_abandoned = True
            line = self._lines.get(id)
            if line is None:
                return
            if line.leader is item:
                self._deciding.discard((id, threading.get_ident()))
                waiting = _remove_ended(line)
                if not waiting:
                    del self._lines[id]
                    return
                line.leader = waiting[0]
            # Also if it was chosen by a call that was interrupted before it woke it.
            if line.leader.event is not None:
                line.leader.event.set()


def _remove_ended(line: _Line[S, W]) -> deque[WaitingCommand[S, W]]:
    """Remove the commands that are settled or abandoned, and return the others.

    Wake their callers again: the call that settled them may have been interrupted before it did.
    """
    kept: deque[WaitingCommand[S, W]] = deque()
    for item in line.waiting:
        if not (item.is_settled or item.is_abandoned):
            kept.append(item)
        elif item.event is not None:
            item.event.set()
    line.waiting = kept
    return kept
