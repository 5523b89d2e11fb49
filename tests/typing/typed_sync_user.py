"""A user's types with typed messages; checked, never run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, assert_type

import msgspec
import pydantic

from messagedb import Client, Consumer, Context, Message, MessageRegistry, NewMessage
from messagedb.messages import MessageCodec, MessageTypes, PydanticCodec

registry = MessageRegistry()


@registry.add(version=2, aliases=["MoneyDeposited"])
class Deposited(msgspec.Struct, frozen=True):
    amount: int


@registry.add
@dataclasses.dataclass
class Withdrawn:
    amount: int


@registry.add(type="OrderPlaced", codec=PydanticCodec())
class Ordered(pydantic.BaseModel):
    total: Decimal


@registry.upcaster(Deposited, from_version=1)
def deposited_2(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "amount": 0}


def forgetful(data: dict[str, Any]) -> None:
    data["amount"] = 0


codec: MessageCodec = PydanticCodec()
wrong_codec: MessageCodec = Decimal()  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
types = registry.types(Deposited, Withdrawn)


def register() -> None:
    assert_type(registry.add(Deposited, version=2), type[Deposited])
    assert_type(registry.add(Ordered, codec=codec), type[Ordered])
    assert_type(registry.check(), None)
    assert_type(registry.get_type_names(Deposited), tuple[str, ...])
    registry.upcaster("Deposited", deposited_2, from_version=1)
    registry.upcaster("Deposited", forgetful, from_version=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    registry.upcaster("Deposited", deposited_2)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    registry.add(Deposited, version="2")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]


def decode(message: Message[Any]) -> None:
    assert_type(message.decode(Deposited), Deposited)
    assert_type(message.decode(Withdrawn), Withdrawn)
    assert_type(message.decode(types), Deposited | Withdrawn)
    assert_type(message.decode(registry), Any)
    assert_type(types, MessageTypes[Deposited | Withdrawn])
    assert_type(types.decode(message), Deposited | Withdrawn)
    assert_type(types.names, tuple[str, ...])
    assert_type(registry.types(Ordered).decode(message), Ordered)
    three = registry.types(Deposited, Withdrawn, Ordered)
    assert_type(three.decode(message), Deposited | Withdrawn | Ordered)
    assert_type(registry.decode(message), Any)
    if message in types:
        event = types.decode(message)
        match event:
            case Deposited():
                assert_type(event, Deposited)
            case Withdrawn():
                assert_type(event, Withdrawn)
    message.decode("Deposited")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    wrong: Withdrawn = message.decode(Deposited)  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    narrow: Deposited = types.decode(message)  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    registry.types(Deposited(amount=5))  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    registry.types()  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    print(wrong, narrow)


def read(client: Client) -> None:
    assert_type(
        client.read_stream("account-1", types=types), Iterator[Message[Deposited | Withdrawn]]
    )
    assert_type(
        client.read_category("account", types=registry.types(Ordered)), Iterator[Message[Ordered]]
    )
    assert_type(client.read_stream("account-1"), Iterator[Message[Any]])
    assert_type(client.read_category("account", types=None), Iterator[Message[Any]])
    for message in client.read_stream("account-1", batch_size=10, types=types):
        assert_type(message.data, Deposited | Withdrawn)
        text: str = message.data.amount  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
        print(text)
    client.read_stream("account-1", types=Deposited)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    client.write_message("order-1", Ordered(total=Decimal(1)))
    client.write_messages("order-1", [Ordered(total=Decimal(1)), Deposited(amount=5)])
    client.write_message("order-1", 5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(registry.encode(Ordered(total=Decimal(1))), NewMessage)


def handlers(consumer: Consumer) -> None:
    @consumer.handler
    def deposited(event: Deposited | Withdrawn, context: Context) -> None:
        assert_type(event, Deposited | Withdrawn)
        assert_type(event.amount, int)
        text: str = event.amount  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
        print(text)

    @consumer.handler("OrderPlaced")
    def ordered(message: Message) -> None:
        assert_type(message.decode(registry.types(Ordered)).total, Decimal)
