"""A class of messages stands for the registered classes below it, too."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from messagedb import Decider, Message, MessageRegistry, Projection, ValidationError
from messagedb._consumers.handler_registry import HandlerRegistry
from messagedb._entities.projection import Projector
from messagedb._messages.annotations import capture_namespace
from messagedb.entities import apply
from messagedb.testing import given, make_message

if TYPE_CHECKING:
    from collections.abc import Callable


class AccountEvent(msgspec.Struct, frozen=True):
    n: int = 1


class Moved(AccountEvent, frozen=True):
    pass


class Deposited(Moved, frozen=True):
    pass


class Closed(AccountEvent, frozen=True):
    pass


class Other(msgspec.Struct, frozen=True):
    n: int = 100


class Named:
    """A base that is no class of messages itself."""


@dataclasses.dataclass
class Renamed(Named):
    n: int = 1


def by_base(event: AccountEvent) -> str:
    return f"base {type(event).__name__}"


def by_middle(event: Moved) -> str:
    return f"middle {type(event).__name__}"


def by_class(event: Closed) -> str:
    return f"class {type(event).__name__}"


def by_name(message: Message[Any]) -> str:
    return f"name {message.type}"


def by_named(event: Named) -> str:
    return f"named {type(event).__name__}"


def registry_of(*classes: type[Any]) -> MessageRegistry:
    registry = MessageRegistry()
    for cls in classes:
        registry.add(cls)
    return registry


def add(handlers: HandlerRegistry, function: Callable[..., Any], *names: str) -> None:
    handlers.add(function, names, capture_namespace(sys._getframe()))  # pyright: ignore[reportPrivateUsage]


class Call:
    def __init__(self, message: Message[Any]) -> None:
        self.message = message


def hand(handlers: HandlerRegistry, *types: str) -> list[Any]:
    by_type, catch_all, _ = handlers.build_dispatch(())
    assert catch_all is None
    calls = [Call(make_message("account-1", name, {})) for name in types]
    return [by_type[call.message.type](call) for call in calls]


def test_a_handler_for_a_base_class_gets_what_is_registered_below_it() -> None:
    handlers = HandlerRegistry(registry_of(Deposited, Closed, Other))
    add(handlers, by_base)
    assert hand(handlers, "Deposited", "Closed") == ["base Deposited", "base Closed"]
    assert set(handlers.build_dispatch(())[0]) == {"Deposited", "Closed"}
    assert len(handlers) == 1


def test_the_nearest_handler_gets_the_message() -> None:
    handlers = HandlerRegistry(registry_of(Deposited, Closed, Moved))
    for function in (by_base, by_middle, by_class):
        add(handlers, function)
    assert hand(handlers, "Moved", "Deposited", "Closed") == [
        "middle Moved",
        "middle Deposited",
        "class Closed",
    ]


def test_a_handler_by_name_is_nearer_than_one_of_a_base_class() -> None:
    handlers = HandlerRegistry(registry_of(Deposited, Closed))
    add(handlers, by_base)
    add(handlers, by_name, "Deposited")
    assert hand(handlers, "Deposited", "Closed") == ["name Deposited", "base Closed"]


def test_a_class_that_is_registered_after_the_handler_counts() -> None:
    registry = MessageRegistry()
    handlers = HandlerRegistry(registry)
    add(handlers, by_base)
    registry.add(Deposited, aliases=["MoneyDeposited"])
    assert hand(handlers, "Deposited", "MoneyDeposited") == ["base Deposited", "base Deposited"]


def test_a_base_class_need_not_be_a_class_of_messages() -> None:
    handlers = HandlerRegistry(registry_of(Renamed))
    add(handlers, by_named)
    assert hand(handlers, "Renamed") == ["named Renamed"]
    with pytest.raises(ValidationError, match="class Named already has a handler, by_named"):
        add(handlers, by_named)
    with pytest.raises(ValidationError, match="neither a msgspec Struct nor a dataclass"):
        add(HandlerRegistry(MessageRegistry()), by_named)


def test_a_decider_applies_the_events_of_a_base_class() -> None:
    def evolve(state: int, event: AccountEvent) -> int:
        return state + event.n

    def decide(command: int, state: int) -> AccountEvent:
        return Deposited(command)

    decider = Decider(initial=int, decide=decide, evolve=evolve)
    assert given(decider, Deposited(5), Closed(2)).when(3).then(Deposited(3)).state == 10


def test_the_nearest_method_of_a_projection_applies_an_event() -> None:
    class Texts(Projection[str]):
        strict = True

        def initial(self) -> str:
            return ""

        @apply
        def event(self, state: str, event: AccountEvent) -> str:
            return f"{state} base {event.n}"

        @apply
        def moved(self, state: str, event: Moved) -> str:
            return f"{state} moved {event.n}"

    assert given(Texts(), Closed(1), Deposited(2), Closed(3)).state() == " base 1 moved 2 base 3"
    with pytest.raises(ValidationError, match="'Other', and it is strict"):
        given(Texts(), Other()).state()


def test_two_methods_for_one_base_class_are_refused() -> None:
    class Twice(Projection[int]):
        def initial(self) -> int:
            return 0

        @apply
        def one(self, state: int, event: Named) -> int:
            return state

        @apply
        def two(self, state: int, event: Named) -> int:
            return state

    with pytest.raises(ValidationError, match="Named already has a method"):
        Projector(Twice(), registry_of(Renamed))


def test_types_of_a_base_class_are_those_below_it() -> None:
    registry = registry_of(Deposited, Closed, Other)
    types = registry.types(AccountEvent)
    assert types.names == ("Deposited", "Closed")
    assert types.decode(make_message("account-1", "Closed", {"n": 7})) == Closed(7)
    assert registry.types(Closed, AccountEvent).names == ("Closed", "Deposited")
    with pytest.raises(ValidationError, match="Moved is not a registered message type"):
        registry_of(Closed).types(Moved)
