"""Which handler gets which message, and what is refused as one."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union, cast

import msgspec
import pytest

from messagedb import Context, Message, MessageRegistry, ValidationError
from messagedb._consumers.handler_registry import HandlerRegistry
from messagedb._messages.annotations import capture_namespace
from messagedb.testing import make_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID as OnlyForTypeCheckers


class Deposited(msgspec.Struct, frozen=True):
    amount: int


@dataclasses.dataclass
class Closed:
    reason: str = ""


class Call:
    """The context of a handler's call, from which it gets the message."""

    def __init__(self, message: Message[Any]) -> None:
        self.message = message


@pytest.fixture
def handlers() -> HandlerRegistry:
    return HandlerRegistry(MessageRegistry())


def add(handlers: HandlerRegistry, function: Callable[..., Any], *names: str) -> None:
    around = capture_namespace(sys._getframe())  # pyright: ignore[reportPrivateUsage]
    handlers.add(function, names, around)


def hand(handlers: HandlerRegistry, type_name: str, data: Any = None) -> Any:
    """Hand a message over, and return what its handler does."""
    by_type, catch_all, _ = handlers.build_dispatch(())
    invoke = by_type.get(type_name, catch_all)
    assert invoke is not None
    return invoke(Call(make_message("account-1", type_name, data)))


def event(given: Deposited) -> Any:
    return given


def event_with_context(given: Closed, context: Context) -> Any:
    return given, context.message.type


def either(given: Deposited | Closed) -> Any:
    return given


def message(given: Message[Any]) -> Any:
    return given.type


def anything(given: Any, context: Any) -> Any:
    return given.type, context.message is given


def anything_else(number: int, given: Any) -> Any:
    return number, given.type


def with_default(given: Any, context: Any = None) -> bool:
    return context is not None


bare: Any = eval("lambda given: given.type")


def test_the_annotation_names_the_class(handlers: HandlerRegistry) -> None:
    add(handlers, event)
    add(handlers, event_with_context)
    assert hand(handlers, "Deposited", {"amount": 5}) == Deposited(5)
    assert hand(handlers, "Closed") == (Closed(), "Closed")
    assert len(handlers) == 2
    assert handlers.build_dispatch(())[1] is None


def test_a_class_keeps_the_name_that_it_is_registered_under() -> None:
    registry = MessageRegistry()
    registry.add(Deposited, type="account.deposited")
    handlers = HandlerRegistry(registry)
    add(handlers, either)
    assert set(handlers.build_dispatch(())[0]) == {"account.deposited", "Closed"}
    assert hand(handlers, "account.deposited", {"amount": 5}) == Deposited(5)
    assert registry.get_class("Closed") is Closed


def union(given: Union[Deposited, Closed]) -> Any:  # noqa: UP007
    return given


def test_a_union_of_the_older_form(handlers: HandlerRegistry) -> None:
    add(handlers, union)
    assert set(handlers.build_dispatch(())[0]) == {"Deposited", "Closed"}


@pytest.mark.parametrize("function", [message, anything, bare])
def test_message_any_and_no_annotation_are_for_the_rest(
    handlers: HandlerRegistry, function: Callable[..., Any]
) -> None:
    add(handlers, function)
    add(handlers, message, "Named")
    assert hand(handlers, "Named") == "Named"
    assert hand(handlers, "Other") in ("Other", ("Other", True))
    assert len(handlers) == 2


def test_names_give_the_message_whatever_the_annotation_says(handlers: HandlerRegistry) -> None:
    def odd(given: Deposited) -> Any:
        return cast("Any", given).type

    add(handlers, odd, "Deposited", "Withdrawn")
    assert hand(handlers, "Withdrawn") == "Withdrawn"
    assert len(handlers) == 2


def test_every_callable_can_be_a_handler(handlers: HandlerRegistry) -> None:
    class Account:
        def handle(self, given: Deposited) -> Any:
            return self, given

        def __call__(self, *given: Any) -> int:
            return len(given)

    account = Account()
    add(handlers, account.handle)
    add(handlers, account, "Any")
    add(handlers, functools.partial(anything_else, 1), "Partial")
    add(handlers, with_default, "Default")
    assert hand(handlers, "Deposited", {"amount": 1}) == (account, Deposited(1))
    assert hand(handlers, "Any") == 2
    assert hand(handlers, "Partial") == (1, "Partial")
    assert hand(handlers, "Default") is True


def test_an_annotation_may_be_of_the_calling_function(handlers: HandlerRegistry) -> None:
    class Local(msgspec.Struct):
        a: int = 0

    def handle(given: Local) -> Any:
        return given

    around = capture_namespace(sys._getframe())  # pyright: ignore[reportPrivateUsage]
    handlers.add(handle, (), around)
    assert hand(handlers, "Local", {"a": 1}) == Local(1)


def test_an_annotation_means_the_names_of_its_own_module(handlers: HandlerRegistry) -> None:
    class Local(msgspec.Struct):
        a: int = 0

    elsewhere: dict[str, Any] = {"__name__": "elsewhere"}
    exec("def handle(given: Local) -> None: ...", elsewhere)
    with pytest.raises(ValidationError, match="'Local' of handler handle cannot be resolved"):
        handlers.add(elsewhere["handle"], (), capture_namespace(sys._getframe()))  # pyright: ignore[reportPrivateUsage]
    assert Local() == Local(0)


def test_a_decorated_function_keeps_its_annotations(handlers: HandlerRegistry) -> None:
    @functools.wraps(event)
    def wrapper(*given: Any) -> Any:
        return event(*given)

    add(handlers, wrapper)
    assert hand(handlers, "Deposited", {"amount": 5}) == Deposited(5)


def none() -> None: ...


def three(a: Any, b: Any, c: Any) -> None: ...


def keyword(a: Any, *, needed: Any) -> None: ...


def number(given: int) -> None: ...


def optional(given: Optional[Deposited]) -> None: ...  # noqa: UP045


def mixed(given: Deposited | Message[Any]) -> None: ...


def listed(given: list[Deposited]) -> None: ...


def hidden(given: OnlyForTypeCheckers) -> None: ...


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (5, "must be a function, not 5"),
        (none, "must take the message"),
        (three, "must take the message"),
        (keyword, "must take the message"),
        (number, "'int'> of handler .* is not a message class"),
        (optional, "'NoneType'> of handler .* is not a message class"),
        (mixed, "mixes Message with message classes"),
        (listed, "is not a message class"),
        (hidden, "cannot be resolved .* not only for type checkers"),
    ],
)
def test_invalid_handlers_are_refused(handlers: HandlerRegistry, function: Any, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        add(handlers, function)
    assert len(handlers) == 0


def test_a_type_has_one_handler(handlers: HandlerRegistry) -> None:
    add(handlers, event)
    add(handlers, message)
    for function, names, text in (
        (event, (), "type 'Deposited' already has a handler, event"),
        (message, ("Deposited",), "'Deposited'"),
        (either, (), "'Deposited'"),
        (anything, (), "every other message type already has a handler, message"),
        (message, ("New", "New"), "'New'"),
    ):
        with pytest.raises(ValidationError, match=text):
            add(handlers, function, *names)
    assert set(handlers.build_dispatch(())[0]) == {"Deposited"}


def test_names_are_those_of_message_types(handlers: HandlerRegistry) -> None:
    wrong: Any
    for wrong in ("\0", 5):
        with pytest.raises(ValidationError):
            add(handlers, message, wrong)


def test_middleware_is_called_in_its_order_around_each_handler(handlers: HandlerRegistry) -> None:
    def around(name: str) -> Callable[..., Any]:
        def call(context: Any, call_next: Callable[[Any], Any]) -> Any:
            return f"{name}({call_next(context)})"

        return call

    add(handlers, message)
    add(handlers, event)
    by_type, catch_all, _ = handlers.build_dispatch([around("a"), around("b")])
    assert catch_all is not None
    assert catch_all(Call(make_message("account-1", "X"))) == "a(b(X))"
    deposited = Call(make_message("account-1", "Deposited", {"amount": 5}))
    assert by_type["Deposited"](deposited) == "a(b(Deposited(amount=5)))"


class BatchCall:
    """The context of a batch handler's call, from which it gets the messages."""

    def __init__(self, messages: list[Message[Any]]) -> None:
        self.messages = messages


def add_batch(handlers: HandlerRegistry, function: Callable[..., Any], *names: str) -> None:
    around = capture_namespace(sys._getframe())  # pyright: ignore[reportPrivateUsage]
    handlers.add(function, names, around, is_batch=True)


def hand_batch(handlers: HandlerRegistry, *messages: Message[Any]) -> Any:
    """Hand messages over, and return what their one handler does."""
    dispatch = handlers.build_dispatch(())
    (invoke,) = {dispatch.by_type.get(each.type, dispatch.catch_all) for each in messages}
    assert invoke is not None
    assert invoke in dispatch.batches
    return invoke(BatchCall(list(messages)))


def of_list(given: list[Deposited | Closed]) -> Any:
    return given


def of_sequence(given: Sequence[Deposited], context: Any) -> Any:
    return given


def of_messages(given: list[Message]) -> Any:
    return given


def of_bare_list(given: list) -> Any:  # type: ignore[type-arg] # pyright: ignore
    return cast("Any", given)


def of_anything(given):  # type: ignore[no-untyped-def] # pyright: ignore
    return cast("Any", given)


UNTYPED = cast("Any", of_anything)
BARE = cast("Any", of_bare_list)
DEPOSITED = make_message("account-1", "Deposited", {"amount": 5})
CLOSED = make_message("account-1", "Closed", {"reason": "moved"})


def test_a_batch_handler_gets_instances_of_all_of_its_classes(handlers: HandlerRegistry) -> None:
    add_batch(handlers, of_list)
    assert hand_batch(handlers, DEPOSITED, CLOSED) == [Deposited(5), Closed("moved")]


def test_a_batch_handler_of_a_sequence(handlers: HandlerRegistry) -> None:
    add_batch(handlers, of_sequence)
    assert hand_batch(handlers, DEPOSITED, DEPOSITED) == [Deposited(5), Deposited(5)]


@pytest.mark.parametrize("function", [of_messages, BARE, UNTYPED])
def test_a_batch_handler_of_all_messages(handlers: HandlerRegistry, function: Any) -> None:
    add_batch(handlers, function)
    assert hand_batch(handlers, DEPOSITED, CLOSED) == [DEPOSITED, CLOSED]


def test_a_batch_handler_by_names(handlers: HandlerRegistry) -> None:
    add_batch(handlers, UNTYPED, "Deposited", "Closed")
    assert hand_batch(handlers, DEPOSITED, CLOSED) == [DEPOSITED, CLOSED]


def of_one(given: Deposited) -> Any:
    return given


def of_two_lists(given: list[Deposited] | list[Closed]) -> Any:
    return given


def of_a_dict(given: dict[str, Deposited]) -> Any:
    return given


@pytest.mark.parametrize("function", [of_one, of_two_lists, of_a_dict])
def test_a_batch_handler_is_annotated_with_a_list(handlers: HandlerRegistry, function: Any) -> None:
    with pytest.raises(ValidationError, match="is not a list of messages: annotate list"):
        add_batch(handlers, function)


def of_numbers(given: list[int]) -> Any:
    return given


def of_contexts(given: list[Context]) -> Any:
    return given


def test_a_batch_handler_s_elements_are_messages(handlers: HandlerRegistry) -> None:
    with pytest.raises(ValidationError, match="of batch handler of_numbers is not a message class"):
        add_batch(handlers, of_numbers)
    with pytest.raises(ValidationError, match="annotated as the context"):
        add_batch(handlers, of_contexts)


def test_a_type_has_one_handler_of_either_kind(handlers: HandlerRegistry) -> None:
    add(handlers, event)
    with pytest.raises(ValidationError, match="already has a handler, event"):
        add_batch(handlers, of_list)
    add_batch(handlers, UNTYPED)
    with pytest.raises(ValidationError, match="every other message type already has a handler"):
        add(handlers, UNTYPED)


def test_middleware_keeps_a_batch_handler_one_for_all_of_its_types(
    handlers: HandlerRegistry,
) -> None:
    add_batch(handlers, of_list)
    add(handlers, UNTYPED)

    def call(context: Any, call_next: Any) -> Any:
        return call_next(context)

    dispatch = handlers.build_dispatch([call])
    assert dispatch.by_type["Deposited"] is dispatch.by_type["Closed"]
    assert dispatch.batches == {dispatch.by_type["Closed"]}
    assert dispatch.catch_all not in dispatch.batches
