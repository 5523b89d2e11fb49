"""Projections: which function takes an event, and what it may give."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from messagedb import Decider, Message, MessageRegistry, Projection, ValidationError
from messagedb._entities.projection import Projector
from messagedb._entities.state_copy import is_immutable
from messagedb.entities import apply
from messagedb.testing import make_message


class Added(msgspec.Struct, frozen=True):
    number: int


class Removed(msgspec.Struct, frozen=True):
    number: int


class Total(Projection[int]):
    def initial(self) -> int:
        return 0

    @apply
    def added(self, total: int, event: Added) -> int:
        return total + event.number

    @apply
    def removed(self, total: int, event: Removed) -> int:
        return total - event.number


def messages(*events: Any) -> list[Message[Any]]:
    return [
        make_message("sum-1", type(event).__name__, event, position=position)
        for position, event in enumerate(events)
    ]


def applied(projection: Projection[Any], *events: Any) -> Any:
    applier = Projector(projection, MessageRegistry())
    return applier.apply(applier.initial(), messages(*events))


def test_methods_take_the_events_of_their_annotations() -> None:
    assert applied(Total(), Added(5), Removed(2), Added(1)) == 4
    assert applied(Total()) == 0


def test_a_subclass_has_the_methods_of_its_base_and_may_give_others() -> None:
    class Doubled(Total):
        @apply
        def added(self, total: int, event: Added) -> int:
            return total + 2 * event.number

    assert applied(Doubled(), Added(5), Removed(2)) == 8


def test_a_method_that_hides_a_marked_one_is_marked_too() -> None:
    class Doubled(Total):
        def added(self, total: int, event: Added) -> int:
            return total + 2 * event.number

    with pytest.raises(ValidationError, match="with @apply: mark it as well"):
        applied(Doubled(), Added(5))


def test_classes_that_only_a_function_knows() -> None:
    @dataclasses.dataclass(frozen=True)
    class Noted:
        text: str

    class Notes(Projection[str]):
        def initial(self) -> str:
            return ""

        @apply
        def noted(self, notes: str, event: Noted) -> str:
            return notes + event.text

    def evolve(notes: str, event: Noted) -> str:
        return notes + event.text

    assert applied(Notes(), Noted("a"), Noted("b")) == "ab"
    assert applied(Projection.of(str, evolve), Noted("a"), Noted("b")) == "ab"


def test_none_is_a_state_where_it_is_the_initial_one() -> None:
    def evolve(state: int | None, event: Added | Removed) -> int | None:
        return event.number if isinstance(event, Added) else None

    def nothing() -> int | None:
        return None

    assert applied(Projection.of(nothing, evolve)) is None
    assert applied(Projection.of(nothing, evolve), Added(5)) == 5
    with pytest.raises(ValidationError, match="evolve returned None"):
        applied(Projection.of(int, evolve), Added(5), Removed(5))
    assert applied(Projection.of(nothing, evolve), Added(5), Removed(5), Added(6)) == 6


def test_in_place_and_replaced() -> None:
    def evolve(state: list[int], event: Added | Removed) -> list[int] | None:
        if isinstance(event, Removed):
            return []
        state.append(event.number)
        return None

    assert applied(Projection.of(list, evolve), Added(1), Removed(0), Added(2), Added(3)) == [2, 3]


def test_invalid_projections_are_refused() -> None:
    def three(a: int, b: Added, c: int) -> int:
        return 0

    async def coroutine(a: int, b: Added) -> int:
        return 0

    def unresolved(a: int, b: "Unknown") -> int:  # type: ignore[name-defined] # noqa: F821, UP037
        return 0

    def number(a: int, b: int) -> int:
        return 0

    def mixed(a: int, b: Added | Message[Any]) -> int:
        return 0

    given: list[tuple[Any, str]] = [
        (three, "of the state and the event"),
        (coroutine, "plain function"),
        (unresolved, "cannot be resolved"),
        (number, "not a message class"),
        (mixed, "mixes Message"),
    ]
    for function, text in given:
        with pytest.raises(ValidationError, match=text):
            Projector(Projection.of(int, function), MessageRegistry())
    with pytest.raises(ValidationError, match="evolve must be a function"):
        Projection.of(int, 5)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="initial must be a function"):
        Projection.of(5, number)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="has no method for events"):
        Projector(Projection[int](), MessageRegistry())
    with pytest.raises(NotImplementedError, match="initial"):
        Projection[int]().initial()


def test_an_event_has_one_method() -> None:
    class Twice(Total):
        @apply
        def again(self, total: int, event: Added) -> int:
            return total

    with pytest.raises(ValidationError, match="already has a method"):
        Projector(Twice(), MessageRegistry())


def test_immutable_values_are_recognized() -> None:
    @dataclasses.dataclass(frozen=True)
    class FrozenData:
        a: int = 0

    @dataclasses.dataclass
    class OpenData:
        a: int = 0

    class OpenStruct(msgspec.Struct):
        a: int = 0

    class Plain:
        pass

    frozen: list[Any] = [
        None,
        1,
        1.5,
        True,
        "a",
        b"a",
        (1,),
        frozenset([1]),
        FrozenData(),
        Added(1),
    ]
    assert [is_immutable(value) for value in frozen] == [True] * len(frozen)
    changing: list[Any] = [[], {}, set(), OpenData(), OpenStruct(), Plain(), bytearray()]
    assert [is_immutable(value) for value in changing] == [False] * len(changing)


def test_decisions_of_every_form() -> None:
    def decide(command: Any, state: int) -> Any:
        return command

    def evolve(state: int, event: Added) -> int:
        return state + event.number

    decider: Decider[int, Any, Added] = Decider(initial=int, decide=decide, evolve=evolve)
    one, two = Added(1), Added(2)
    forms: list[tuple[Any, list[Added]]] = [
        (None, []),
        ([], []),
        ((), []),
        (one, [one]),
        ([one, two], [one, two]),
        ((one, two), [one, two]),
        ((each for each in (one, two)), [one, two]),
    ]
    for given, events in forms:
        assert decider.decide_events(given, 0) == events
