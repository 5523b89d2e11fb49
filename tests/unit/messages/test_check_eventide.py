"""Findings in a registry that would stop a Ruby service, or be lost in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest

from messagedb import Message, MessageRegistry, Metadata, NewMessage
from messagedb._messages.codecs import PydanticCodec
from messagedb.testing import make_message


class Line(msgspec.Struct, rename="camel"):
    unit_price: Decimal


class Ordered(msgspec.Struct, rename="camel"):
    order_id: str
    lines: list[Line]
    note: str | None = None


class Model(pydantic.BaseModel):
    order_id: str


def found(registry: MessageRegistry, *messages: NewMessage | Message[Any]) -> str:
    return "\n".join(registry.check_eventide(*messages))


def test_nothing_is_found_where_all_is_in_the_form_of_eventide() -> None:
    registry = MessageRegistry()
    registry.add(Ordered, aliases=["OrderPlaced"], version=2)
    right = Metadata(schema_version="2", properties={"userId": 5}).follow(make_message("a-1", "A"))
    assert registry.check_eventide(NewMessage("Ordered", {"orderId": "1"}, metadata=right)) == []


@pytest.mark.parametrize("name", ["ordered", "order_placed", "order.Ordered", "Ns::Ordered", "7Up"])
def test_a_type_that_is_no_name_of_a_ruby_class(name: str) -> None:
    registry = MessageRegistry()
    registry.add(Ordered, type=name)
    assert found(registry).startswith(f"type {name!r} is not the name of a Ruby class")


def test_types_that_are_one_for_ruby() -> None:
    registry = MessageRegistry()
    registry.add(Ordered, aliases=["OrDered"])
    assert "OrDered and Ordered are one name for Ruby" in found(registry)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([("id", str)], "Made.id: a value that is not a string stops Ruby"),
        ([("metadata", int)], "Made.metadata: an object stops Ruby"),
        ([("account_id", str)], "Made.account_id: Ruby writes this key as 'accountId'"),
        ([("address_1", str)], "Ruby writes this key as 'address1'"),
        ([("userId", str), ("user_id", str)], "Made.user_id and Made.userId are one key for Ruby"),
        ([("byName", dict[str, int])], "Made.byName: Ruby changes the keys of a mapping"),
        ([("lines", list[dict[str, int]])], "Made.lines: Ruby changes the keys of a mapping"),
    ],
)
def test_keys_that_stop_ruby_or_do_not_come_back(fields: list[Any], text: str) -> None:
    registry = MessageRegistry()
    registry.add(msgspec.defstruct("Made", fields))
    assert text in found(registry)


def test_keys_inside_and_of_a_model() -> None:
    registry = MessageRegistry()
    inner = msgspec.defstruct("Inner", [("unit_price", int), ("id", str)])
    registry.add(msgspec.defstruct("Made", [("lines", list[inner])]))  # type: ignore[valid-type]
    assert found(registry).startswith("Made.lines.unit_price: Ruby writes")
    assert "id" not in found(registry)
    registry = MessageRegistry()
    registry.add(Model, codec=PydanticCodec())
    assert "Model.order_id: Ruby writes this key as 'orderId'" in found(registry)


@pytest.mark.parametrize(
    ("data", "metadata", "text"),
    [
        ({"id": 5}, None, "Made.id: a value"),
        ({"some-key": 1}, None, "Made.some-key: Ruby writes this key as 'someKey'"),
        (None, {"schemaVersion": 2}, r"messages[0] (Made): schemaVersion in its metadata must be"),
        (None, {"properties": []}, "properties in its metadata must be an object"),
        (None, {"causationMessagePosition": "1"}, "causationMessagePosition in its metadata must"),
        (None, {"originStreamName": "a-1"}, "Ruby reads originStreamName in metadata as"),
    ],
)
def test_messages_that_stop_ruby(data: Any, metadata: Any, text: str) -> None:
    assert text in found(MessageRegistry(), NewMessage("Made", data, metadata=metadata))


def test_stored_json_that_is_no_object() -> None:
    odd = Message("x", "a-1", "Made", 0, 1, "[1]", None, 0)
    assert "its data is not a JSON object" in found(MessageRegistry(), odd)
    broken = Message("x", "a-1", "Made", 0, 1, None, "5", 0)
    assert "it is not a JSON object" in found(MessageRegistry(), broken)
