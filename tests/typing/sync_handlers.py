"""Handlers that type checkers refuse for the sync variant; checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias, assert_type

import msgspec

from messagedb import AsyncContext, Consumer, Context, Message, Park
from messagedb.consumers import BatchContext, HandlerOutcome
from messagedb.testing import make_message


class Deposited(msgspec.Struct, frozen=True):
    amount: int


class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


Event: TypeAlias = Deposited | Withdrawn


def right(consumer: Consumer) -> None:
    @consumer.handler
    def alone(event: Deposited) -> None:
        assert_type(event.amount, int)

    @consumer.handler
    def both(event: Event, context: Context) -> HandlerOutcome | None:
        assert_type(event, Deposited | Withdrawn)
        return Park("later") if context.attempt > 1 else None

    @consumer.handler
    def described(event: Annotated[Event, "doc"], context: Any = None) -> None:
        assert_type(event, Deposited | Withdrawn)

    @consumer.handler
    def rest(message: Message[Any], context: Context) -> None:
        assert_type(message.type, str)

    @consumer.handler
    def anything(message: Any) -> Park:
        return Park("never seen")

    @consumer.handler("Deposited", "Withdrawn")
    def named(message: Message, context: Context) -> None:
        assert_type(message.stream_name, str)

    @consumer.batch_handler
    def several(events: list[Event], context: BatchContext) -> HandlerOutcome | None:
        assert_type(events[0], Deposited | Withdrawn)
        print(context.for_message(context.messages[0]).derive_id("line"))
        return Park("later") if context.attempt > 1 else None

    @consumer.batch_handler
    def in_sequence(events: Sequence[Deposited]) -> None:
        assert_type(events[0].amount, int)

    @consumer.batch_handler
    def all_messages(messages: list[Message[Any]]) -> None:
        assert_type(messages[0].type, str)

    @consumer.batch_handler("Deposited")
    def several_named(messages: list[Message], context: BatchContext) -> None:
        assert_type(messages[0].stream_name, str)

    print(several, in_sequence, all_messages, several_named)
    print(alone, both, described, rest, anything)
    print(named(message=make_message("account-1", "Deposited"), context=None))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def wrong_batches(consumer: Consumer) -> None:
    @consumer.batch_handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def one(event: Deposited) -> None:
        print(event)

    @consumer.batch_handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def of_numbers(numbers: list[int]) -> None:
        print(numbers)

    @consumer.batch_handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def with_context_of_one(events: list[Deposited], context: Context) -> None:
        print(events, context)

    @consumer.batch_handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def outcomes(events: list[Deposited]) -> list[HandlerOutcome]:
        print(events)
        return []

    print(one, of_numbers, with_context_of_one, outcomes)


def wrong(consumer: Consumer) -> None:
    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def other_half(event: Deposited) -> None:
        print(event)

    @consumer.handler("Deposited")  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    async def other_half_named(message: Message[Any]) -> None:
        print(message)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def nothing() -> None:
        print()

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def three(event: Deposited, context: Context, more: int) -> None:
        print(event, context, more)

    @consumer.handler("Deposited")  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    def three_named(message: Message[Any], context: Context, more: int) -> None:
        print(message, context, more)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def keyword(event: Deposited, *, needed: int) -> None:
        print(event, needed)

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def number(event: int) -> None:
        print(event)

    @consumer.handler  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def text(event: str, context: Context) -> None:
        print(event, context)

    @consumer.handler  # type: ignore[arg-type, type-var]
    def optional(event: Deposited | None) -> None:
        print(event)

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def several(events: list[Deposited]) -> None:
        print(events)

    @consumer.handler("Deposited")  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    def instance(event: Deposited) -> None:
        print(event)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def other_context(event: Deposited, context: AsyncContext) -> None:
        print(event, context)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def turned(context: Context, event: Deposited) -> None:
        print(event, context)

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def word(event: Deposited) -> str:
        return "park"

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def outcome_class(event: Deposited) -> type[Park]:
        return Park
