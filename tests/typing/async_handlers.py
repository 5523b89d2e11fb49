"""Handlers that type checkers refuse for the async variant; checked, never run."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, assert_type

import msgspec

from messagedb import AsyncConsumer, AsyncContext, Context, Message, Park
from messagedb.consumers import HandlerOutcome
from messagedb.testing import make_message


class Deposited(msgspec.Struct, frozen=True):
    amount: int


class Withdrawn(msgspec.Struct, frozen=True):
    amount: int


Event: TypeAlias = Deposited | Withdrawn


def right(consumer: AsyncConsumer) -> None:
    @consumer.handler
    async def alone(event: Deposited) -> None:
        assert_type(event.amount, int)

    @consumer.handler
    async def both(event: Event, context: AsyncContext) -> HandlerOutcome | None:
        assert_type(event, Deposited | Withdrawn)
        return Park("later") if context.attempt > 1 else None

    @consumer.handler
    async def described(event: Annotated[Event, "doc"], context: Any = None) -> None:
        assert_type(event, Deposited | Withdrawn)

    @consumer.handler
    async def rest(message: Message[Any], context: AsyncContext) -> None:
        assert_type(message.type, str)

    @consumer.handler
    async def anything(message: Any) -> Park:
        return Park("never seen")

    @consumer.handler("Deposited", "Withdrawn")
    async def named(message: Message, context: AsyncContext) -> None:
        assert_type(message.stream_name, str)

    print(alone, both, described, rest, anything)
    print(named(message=make_message("account-1", "Deposited"), context=None))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def wrong(consumer: AsyncConsumer) -> None:
    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    def other_half(event: Deposited) -> None:
        print(event)

    @consumer.handler("Deposited")  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    def other_half_named(message: Message[Any]) -> None:
        print(message)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def nothing() -> None:
        print()

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def three(event: Deposited, context: AsyncContext, more: int) -> None:
        print(event, context, more)

    @consumer.handler("Deposited")  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    async def three_named(message: Message[Any], context: AsyncContext, more: int) -> None:
        print(message, context, more)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def keyword(event: Deposited, *, needed: int) -> None:
        print(event, needed)

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def number(event: int) -> None:
        print(event)

    @consumer.handler  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def text(event: str, context: AsyncContext) -> None:
        print(event, context)

    @consumer.handler  # type: ignore[arg-type, type-var]
    async def optional(event: Deposited | None) -> None:
        print(event)

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def several(events: list[Deposited]) -> None:
        print(events)

    @consumer.handler("Deposited")  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    async def instance(event: Deposited) -> None:
        print(event)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def other_context(event: Deposited, context: Context) -> None:
        print(event, context)

    @consumer.handler  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def turned(context: AsyncContext, event: Deposited) -> None:
        print(event, context)

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def word(event: Deposited) -> str:
        return "park"

    @consumer.handler  # type: ignore[arg-type, type-var] # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
    async def outcome_class(event: Deposited) -> type[Park]:
        return Park
