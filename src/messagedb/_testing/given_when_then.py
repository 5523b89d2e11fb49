"""Given, when, then over a decider or a projection: no database, no clock.

Events are encoded and decoded as a store would do it, so that a test also fails if an event cannot
be stored, or is read back differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from .._entities.decider import Decider
from .._entities.new_events import build_messages, simulate_stored
from .._entities.projection import Projection, Projector, build_projection
from .._messages.message import NewMessage
from .._messages.registry import MessageRegistry
from .._operations.requests import build_batch_write
from ..expected_version import ANY
from .assertions import assert_error, assert_events, assert_state

__all__ = ["Given", "Outcome", "given"]

if TYPE_CHECKING:
    from typing import Never

_STREAM: Final = "given-1"
"""The stream of the events: any name would do, as nothing is written."""

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")


@overload
def given(subject: Decider[S, C, E], /, *events: E) -> Given[S, C]: ...


@overload
def given(subject: Projection[S], /, *events: object) -> Given[S, Never]: ...


def given(subject: Any, /, *events: Any) -> Given[Any, Any]:
    """Begin with the past events of an entity.

    Example::

        given(decider, Opened("Ada"), Deposited(5)).when(Withdraw(3)).then(Withdrawn(3))
        given(decider).when(Withdraw(3)).then_raises(InsufficientFunds)
        given(decider, Deposited(5)).then_state(Account(5))

    Args:
        subject: a Decider or a Projection.
        *events: the past events, in order; none for a new entity.
    """
    return Given(subject, events)


class Given(Generic[S, C]):
    """Past events of an entity: see ``given``.

    Example::

        past = given(decider, Deposited(5))
        past.then_state(Account(5))
        past.when(Withdraw(3)).then(Withdrawn(3))
    """

    def __init__(
        self, subject: Decider[S, C, Any] | Projection[S], events: tuple[Any, ...]
    ) -> None:
        self._decider = subject if isinstance(subject, Decider) else None
        projection = build_projection(subject) if isinstance(subject, Decider) else subject
        registry = MessageRegistry()
        self._applier = Projector(projection, registry)
        self._registry = registry
        self._events = events

    def state(self) -> S:
        """Return the state after the events.

        Example::

            print(given(decider, Deposited(5)).state())

        Raises:
            ValidationError: an event cannot be stored, or the projection is strict and has no
                method for it.
        """
        return self._evolve(self._applier.initial(), self._events)

    def then_state(self, expected: S) -> Given[S, C]:
        """Check the state after the events.

        Example::

            given(decider, Deposited(5)).then_state(Account(5))

        Raises:
            AssertionError: it is a different state.
        """
        assert_state(self.state(), expected, None)
        return self

    def when(self, command: C) -> Outcome[S]:
        """Decide a command. An error of ``decide`` is kept for ``then_raises``.

        Example::

            given(decider, Deposited(5)).when(Withdraw(3)).then(Withdrawn(3))

        Raises:
            TypeError: the subject is a projection, which cannot decide.
            ValidationError: a past or a decided event cannot be stored.
        """
        if self._decider is None:
            raise TypeError("a projection cannot decide: pass a decider")
        state = self.state()
        try:
            events = tuple(
                self._decider.decide_events(command, self._applier.get_private_copy(state))
            )
        except Exception as error:
            return Outcome((), state, error)
        return Outcome(events, self._evolve(state, events), None)

    def _evolve(self, state: S, events: tuple[object, ...]) -> S:
        """Return the state after some events, which are first encoded and decoded."""
        for event in events:
            cls: type[Any] = type(event)
            if cls is not NewMessage and cls not in self._registry:
                self._registry.add(cls)
        messages = build_messages(self._registry, events, _STREAM)
        self._applier.needs_stored_messages(messages)  # raises if the projection is strict
        write = build_batch_write(_STREAM, messages, ANY, False, self._registry)
        made = simulate_stored(write.encoded, messages, _STREAM, 0, decimals=False)
        return self._applier.apply(self._applier.get_private_copy(state), made)


class Outcome(Generic[S]):
    """Result of a command.

    Example::

        outcome = given(decider, Deposited(5)).when(Withdraw(3))
        outcome.then(Withdrawn(3)).then_state(Account(2))

    Attributes:
        events: the decided events.
        state: the state after them.
        error: the error that was raised instead, or None.
    """

    def __init__(self, events: tuple[Any, ...], state: S, error: Exception | None) -> None:
        self.events = events
        self.state = state
        self.error = error

    def then(self, *events: Any) -> Outcome[S]:
        """Check the decided events, in order; without arguments, that there are none.

        Example::

            given(decider, Deposited(5)).when(Withdraw(3)).then(Withdrawn(3))

        Raises:
            AssertionError: other events were decided, or an error was raised.
        """
        assert_events(self.events, events, self.error)
        return self

    def then_raises(self, expected: type[Exception], match: str | None = None) -> Outcome[S]:
        """Check the error that was raised, and its text with a regular expression.

        Example::

            given(decider).when(Withdraw(3)).then_raises(InsufficientFunds)

        Raises:
            AssertionError: no error or a different one was raised.
        """
        assert_error(self.error, expected, match, self.events)
        return self

    def then_state(self, expected: S) -> Outcome[S]:
        """Check the state after the decided events.

        Example::

            given(decider, Deposited(5)).when(Withdraw(3)).then_state(Account(2))

        Raises:
            AssertionError: it is a different state, or an error was raised.
        """
        assert_state(self.state, expected, self.error)
        return self
