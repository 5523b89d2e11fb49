"""Unions, aliases and Annotated name the same classes wherever they are nested."""

from __future__ import annotations

import sys
import typing
from typing import Annotated, Any, TypeVar, Union

import msgspec
import pytest
import typing_extensions

from messagedb import Decider, Message, MessageRegistry, Projection, ValidationError
from messagedb._consumers.handler_registry import HandlerRegistry
from messagedb._messages.annotations import capture_namespace
from messagedb._messages.unions import get_union_members
from messagedb.entities import apply
from messagedb.testing import given


class Opened(msgspec.Struct, frozen=True):
    n: int = 1


class Deposited(msgspec.Struct, frozen=True):
    n: int = 2


class Closed(msgspec.Struct, frozen=True):
    n: int = 3


class Note(msgspec.Struct, frozen=True):
    n: int = 4


# As of a "type" statement; made here without a variable of its name.
TypeAliasType: Any = typing_extensions.TypeAliasType
UNION: Any = Union

Event = TypeVar("Event")
Some = TypeVar("Some", Opened, Deposited)
Bound = TypeVar("Bound", bound=Union[Opened, Deposited])  # noqa: UP007

NAMES: dict[str, Any] = {
    **vars(typing),
    **{cls.__name__: cls for cls in (Opened, Deposited, Closed, Note, Message)},
    "Projection": Projection,
    "apply": apply,
    "Some": Some,
    "Bound": Bound,
    "__name__": __name__,
    "Plain": Opened | Deposited,
    "Alias": TypeAliasType("Alias", Opened | Deposited),
    "Nested": TypeAliasType(
        "Nested", Annotated[TypeAliasType("Inner", Opened | Deposited) | Closed, "doc"]
    ),
    "Generic": TypeAliasType("Generic", UNION[Event, "Closed"], type_params=(Event,)),
}
if sys.version_info >= (3, 12):
    exec(
        "type Statement = Opened | Deposited\n"
        "type Texts = 'Opened | Deposited'\n"
        "type Of[T] = T | Closed\n",
        NAMES,
    )

TWO = (Opened, Deposited)
THREE = (Opened, Deposited, Closed)
ANNOTATIONS: list[tuple[str, tuple[type[Any], ...]]] = [
    ("Opened", (Opened,)),
    ("Annotated[Opened, 'doc']", (Opened,)),
    ("Plain", TWO),
    ("Alias", TWO),
    ("Alias | Closed", THREE),
    ("Union[Closed, Alias]", (Closed, *TWO)),
    ("Alias | Opened", TWO),
    ("Annotated[Alias, 'doc'] | Closed", THREE),
    ("Annotated[Opened, 1] | Annotated[Union[Deposited, Annotated[Closed, 2]], 3]", THREE),
    ("Nested", THREE),
    ("Generic[Opened]", (Opened, Closed)),
    ("Generic[Alias]", THREE),
    ("Union['Opened', 'Deposited']", TWO),
    ("Some", TWO),
    ("Bound", TWO),
]
if sys.version_info >= (3, 12):
    ANNOTATIONS += [
        ("Statement", TWO),
        ("Statement | Closed", THREE),
        ("Annotated[Statement, 'doc']", TWO),
        ("Texts", TWO),
        ("Of[Statement]", THREE),
    ]

CASES = [
    pytest.param(annotation, classes, future, id=f"{annotation}-{'text' if future else 'object'}")
    for annotation, classes in ANNOTATIONS
    for future in (False, True)
]


def made(source: str, future: bool) -> dict[str, Any]:
    """Run some source with or without the annotations as strings, like a separate module."""
    scope = dict(NAMES)
    exec("from __future__ import annotations\n" * future + source, scope)
    return scope


@pytest.mark.parametrize(("annotation", "classes", "future"), CASES)
def test_a_handler_gets_each_class_of_the_union(
    annotation: str, classes: tuple[type[Any], ...], future: bool
) -> None:
    handlers = HandlerRegistry(MessageRegistry())
    handle = made(f"def handle(event: {annotation}): return event", future)["handle"]
    handlers.add(handle, (), capture_namespace(sys._getframe()))  # pyright: ignore[reportPrivateUsage]
    assert set(handlers.build_dispatch(())[0]) == {cls.__name__ for cls in classes}


@pytest.mark.parametrize(("annotation", "classes", "future"), CASES)
def test_a_decider_and_a_projection_take_each_class_of_the_union(
    annotation: str, classes: tuple[type[Any], ...], future: bool
) -> None:
    evolve = made(f"def evolve(state: int, event: {annotation}): return state + event.n", future)
    decider: Decider[int, Any, Any] = Decider(
        initial=int, decide=lambda command, state: command, evolve=evolve["evolve"]
    )
    assert decider.event_classes == list(classes)
    total = sum(cls().n for cls in classes)
    events = [Opened(), Deposited(), Closed(), Note()]
    assert given(decider, *events).state() == total

    source = f"""class Sums(Projection):
    def initial(self): return 0
    @apply
    def moved(self, state, event: {annotation}): return state + event.n"""
    assert given(made(source, future)["Sums"](), *events).state() == total


@pytest.mark.parametrize(("annotation", "classes"), ANNOTATIONS)
def test_types_are_each_class_of_the_union(annotation: str, classes: tuple[type[Any], ...]) -> None:
    registry = MessageRegistry()
    for cls in classes:
        registry.add(cls)
    union = get_union_members(eval(annotation, dict(NAMES)), NAMES)
    assert registry.types(*union).classes == classes
    if "'Opened'" not in annotation and annotation not in ("Generic[Opened]", "Generic[Alias]"):
        assert registry.types(eval(annotation, dict(NAMES))).classes == classes


@pytest.mark.parametrize(
    "annotation", ["Optional[Alias]", "Alias | None", "Annotated[Union[Opened, None], 1]"]
)
@pytest.mark.parametrize("future", [False, True])
def test_none_is_no_message_at_any_depth(annotation: str, future: bool) -> None:
    handlers = HandlerRegistry(MessageRegistry())
    handle = made(f"def handle(event: {annotation}): return event", future)["handle"]
    with pytest.raises(ValidationError, match="'NoneType'> of handler handle is not a message"):
        handlers.add(handle, (), capture_namespace(sys._getframe()))  # pyright: ignore[reportPrivateUsage]


def test_an_alias_with_message_in_it_is_mixed() -> None:
    handle = made("def handle(event: Union[Alias, Annotated[Message, 1]]): ...", False)["handle"]
    with pytest.raises(ValidationError, match="mixes Message with message classes"):
        HandlerRegistry(MessageRegistry()).add(handle, (), capture_namespace(sys._getframe()))  # pyright: ignore[reportPrivateUsage]


def test_types_must_be_classes() -> None:
    registry = MessageRegistry()
    wrong: Any
    for wrong in ("Nowhere", list[Opened], 5, TypeAliasType("Loop", "Lo" + "op")):
        with pytest.raises(ValidationError, match="types"):
            registry.types(wrong)
