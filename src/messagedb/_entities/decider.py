"""Deciders: functions that decide which events follow from a command and a state."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload

from .._messages.annotations import capture_namespace, get_frame, try_resolve_classes

__all__ = ["Decider"]

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")

D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)
E_contra = TypeVar("E_contra", contravariant=True)


class Evolve(Protocol[S, D_contra, E_contra]):
    """The type of ``evolve``, with two signatures for type checkers.

    With the first one they check that ``evolve`` accepts all results of ``decide``. From the
    second one they infer the decider's events, which may be more than that.

    Example::

        def evolve(state: int, event: Deposited) -> int:
            return state + event.amount

        function: Evolve[int, Deposited, Deposited] = evolve
    """

    @overload
    def __call__(self, state: S, event: D_contra, /) -> S | None: ...

    @overload
    def __call__(self, state: S, event: E_contra, /) -> S | None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decider(Generic[S, C, E]):
    """Three plain functions: they decide which events happen, and derive the state from events.

    Example::

        def decide(command: Deposit, state: int) -> Deposited:
            return Deposited(command.amount)

        def evolve(state: int, event: Deposited) -> int:
            return state + event.amount

        decider = Decider(initial=int, decide=decide, evolve=evolve)

    Attributes:
        initial: returns the state of an entity without events; often the class itself.
        decide: takes the command and the state, and returns an event, several events (a list or
            tuple, or yielded by a generator), or None or an empty list for no event. To refuse a
            command it raises; then nothing is written. It may be called again with a newer state,
            so it must have no side effects.
        evolve: takes the state and an event, and returns the new state, as in ``Projection.of``.
    """

    initial: Callable[[], S]
    decide: Callable[[C, S], E | Sequence[E] | Iterator[E] | None]
    evolve: Callable[[S, E], S | None]

    if TYPE_CHECKING:  # Three forms, because mypy does not infer the events from a union of them.

        @overload
        def __init__(
            self,
            *,
            initial: Callable[[], S],
            decide: Callable[[C, S], Sequence[D] | Iterator[D] | None],
            evolve: Evolve[S, D, E],
        ) -> None: ...

        @overload
        def __init__(
            self,
            *,
            initial: Callable[[], S],
            decide: Callable[[C, S], D | None],
            evolve: Evolve[S, D, E],
        ) -> None: ...

        @overload
        def __init__(
            self,
            *,
            initial: Callable[[], S],
            decide: Callable[[C, S], D | Sequence[D] | Iterator[D] | None],
            evolve: Evolve[S, D, E],
        ) -> None: ...

        def __init__(self, *, initial: Any, decide: Any, evolve: Any) -> None: ...

    def __post_init__(self) -> None:
        # Two frames up the decider is created: the classes of its events may be local there.
        names = capture_namespace(get_frame(2))
        object.__setattr__(self, "_classes", try_resolve_classes(self.evolve, 1, "method", names))

    @property
    def event_classes(self) -> list[type[Any]] | None:
        """The classes that ``evolve`` is annotated with; None if they were not known yet.

        Example::

            print(decider.event_classes)
        """
        classes: list[type[Any]] | None = getattr(self, "_classes", None)
        return classes

    def decide_events(self, command: C, state: S) -> list[E]:
        """Return the result of ``decide`` as a list.

        Example::

            events = decider.decide_events(Deposit(5), decider.initial())
        """
        return as_event_list(self.decide(command, state))


def as_event_list(decided: Any) -> list[Any]:
    """Return the events of a decision as a list: one, several or none."""
    if decided is None:
        return []
    if isinstance(decided, (Sequence, Iterator)):
        return list(cast("Iterator[Any]", decided))
    return [decided]
