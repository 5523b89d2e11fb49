"""Commands that wait for one entity: the first of them leads, and handles the others with its own.

No I/O. A caller that waits is dropped as long as its command was not sent.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .._errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

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
        leads: True while its caller handles the commands of the entity.
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


class CommandQueue(Generic[S, W]):
    """The waiting commands by entity. Threads may share it; it never blocks for long.

    Args:
        make_event: returns the event that a caller waits for.
    """

    def __init__(self, make_event: Callable[[], W]) -> None:
        self._make_event = make_event
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._lines: dict[str, deque[WaitingCommand[S, W]]] = {}
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
            waiting = self._lines.get(id)
            if waiting is None:
                waiting = self._lines[id] = deque()
                item.leads = True
            elif self._deciding and (id, threading.get_ident()) in self._deciding:
                raise ValidationError(
                    f"decide or evolve of entity {id!r} sent a command to the same entity, which "
                    "would wait for its own end. Nothing of it was sent. Return the events instead."
                )
            else:
                item.context = contextvars.copy_context()
                item.event = self._make_event()
            waiting.append(item)
            return item.event

    @contextmanager
    def deciding(self, id: str) -> Generator[None]:
        """Refuse commands to an entity from the code that decides about it."""
        mark = (id, threading.get_ident())
        self._deciding.add(mark)
        try:
            yield
        finally:
            self._deciding.discard(mark)

    def get_first(self, id: str, count: int) -> list[WaitingCommand[S, W]]:
        """Return the first commands that are handled together, at most so many."""
        with self._lock:
            first: list[WaitingCommand[S, W]] = []
            for item in self._remove_ended(id):
                if first and (len(first) == count or item.is_alone):
                    break
                first.append(item)
            return first

    def leave(self, id: str, item: WaitingCommand[S, W]) -> None:
        """Remove the command of a caller that goes; if it leads, let the next one lead."""
        with self._lock:
            item.is_abandoned = True
            if not item.leads:
                return
            waiting = self._remove_ended(id)
            if not waiting:
                del self._lines[id]
                return
            following = waiting[0]
            following.leads = True
            if following.event is not None:
                following.event.set()

    def _remove_ended(self, id: str) -> deque[WaitingCommand[S, W]]:
        """Remove the commands that are settled or abandoned, and return the others."""
        waiting = deque(
            each for each in self._lines[id] if not (each.is_settled or each.is_abandoned)
        )
        self._lines[id] = waiting
        return waiting
