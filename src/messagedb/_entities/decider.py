"""What becomes of a command: the events that a state answers it with."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload

from .._messages.annotations import capture_namespace, try_resolve_classes

__all__ = ["Decider"]

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")

if TYPE_CHECKING:
    D = TypeVar("D")
    D_contra = TypeVar("D_contra", contravariant=True)
    E_contra = TypeVar("E_contra", contravariant=True)

    class Evolve(Protocol[S, D_contra, E_contra]):
        """Takes all events, and so those that are decided: for type checkers two signatures of one.

        By the first they check that it takes what ``decide`` gives; from the second they infer the
        events of the decider, which may be more than that.
        """

        @overload
        def __call__(self, state: S, event: D_contra, /) -> S | None: ...

        @overload
        def __call__(self, state: S, event: E_contra, /) -> S | None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decider(Generic[S, C, E]):
    """Decides what happens, and says what that makes of the state: three plain functions.

    Attributes:
        initial: gives the state of an entity without events: the class itself, often.
        decide: takes the command and the state, and gives what happens: an event, several in a list
            or tuple or by ``yield``, or None or an empty list for nothing. What it raises is the
            answer to a command that is refused; nothing is written then. It may be called again
            with a newer state, so it does nothing else.
        evolve: takes the state and an event, and gives the new state; as in ``Projection.of``.
    """

    initial: Callable[[], S]
    decide: Callable[[C, S], E | Sequence[E] | Iterator[E] | None]
    evolve: Callable[[S, E], S | None]

    if TYPE_CHECKING:  # in three forms, as mypy does not infer the events from the union of all

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
        # Two frames up is where it is made, and where the classes of events can be local.
        names = capture_namespace(sys._getframe(2))  # pyright: ignore[reportPrivateUsage]
        object.__setattr__(
            self, "_iter_classes", try_resolve_classes(self.evolve, 1, "method", names)
        )

    @property
    def event_classes(self) -> list[type[Any]] | None:
        """The classes that ``evolve`` is annotated with; None if they were not known yet."""
        classes: list[type[Any]] | None = getattr(self, "_iter_classes", None)
        return classes

    def decide_events(self, command: C, state: S) -> list[E]:
        """Give what ``decide`` says, as a list."""
        return events_of(self.decide(command, state))


def events_of(decided: Any) -> list[Any]:
    """The events of what a decision gave: one, several or none."""
    if decided is None:
        return []
    if isinstance(decided, (Sequence, Iterator)):
        return list(cast("Iterator[Any]", decided))
    return [decided]
