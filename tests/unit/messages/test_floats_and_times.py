"""Floats are stored as floats, and times are read as Ruby writes them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest

from messagedb import MessageDecodeError, MessageRegistry, NewMessage, ValidationError
from messagedb._messages.codecs import PydanticCodec
from messagedb._operations import requests
from messagedb.expected_version import ANY
from messagedb.testing import make_message

MOMENT = datetime(2000, 1, 1, 1, 2, 3, tzinfo=UTC)


class Line(msgspec.Struct):
    price: float
    count: int = 1


@dataclasses.dataclass
class Ordered:
    total: float
    lines: list[Line]
    by_name: dict[str, float | None] = dataclasses.field(default_factory=dict[str, "float | None"])
    note: Any = None


class Timed(msgspec.Struct):
    at: datetime
    text: str = ""
    others: list[datetime] = []


class Model(pydantic.BaseModel):
    at: datetime
    price: float = 0.0


def text_of(registry: MessageRegistry, given: Any, decimals: bool = False) -> str:
    write = requests.build_message_write("a-1", given, None, None, ANY, decimals, registry)
    return write.encoded[0].data or ""


@pytest.fixture
def registry() -> MessageRegistry:
    registry = MessageRegistry()
    for cls in (Ordered, Timed):
        registry.add(cls)
    registry.add(Model, codec=PydanticCodec())
    return registry


@pytest.mark.parametrize("decimals", [False, True])
def test_an_integer_in_a_field_of_floats_is_stored_as_a_float(
    registry: MessageRegistry, decimals: bool
) -> None:
    ordered = Ordered(5, [Line(2, 3)], {"a": 7, "b": None}, note=9)
    expected = (
        '{"total":5.0,"lines":[{"price":2.0,"count":3}],"by_name":{"a":7.0,"b":null},"note":9}'
    )
    assert text_of(registry, ordered, decimals) == expected
    assert text_of(registry, NewMessage("Other", ordered), decimals) == expected
    assert text_of(MessageRegistry(), NewMessage("Other", ordered), decimals) == expected
    assert isinstance(ordered.total, int)  # what was given is as it was
    assert '"total":100000000000000000.0' in text_of(registry, Ordered(10**17, []), decimals)
    with pytest.raises(ValidationError, match="would read back"):
        text_of(registry, Ordered(2**53 + 1, []), decimals)
    assert '"price":2.0' in text_of(registry, Model(at=MOMENT, price=2))


def test_an_unregistered_instance_need_not_fit_its_class() -> None:
    odd: Any = Line("dear")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert text_of(MessageRegistry(), NewMessage("Other", odd)) == '{"price":"dear","count":1}'
    assert text_of(MessageRegistry(), NewMessage("Other", {"price": 2})) == '{"price":2}'


def test_a_decimal_is_stored_with_a_fraction_always(registry: MessageRegistry) -> None:
    ordered = Ordered(1, [], note=Decimal(100))
    assert text_of(registry, ordered, decimals=True).endswith('"note":100.0}')


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2000-01-01 01:02:03 UTC", MOMENT),
        ("2000-01-01 01:02:03.5 UTC", MOMENT + timedelta(milliseconds=500)),
        ("2000-01-01 03:02:03 +0200", MOMENT.astimezone(timezone(timedelta(hours=2)))),
        ("2000-01-01T01:02:03Z", MOMENT),
    ],
)
@pytest.mark.parametrize("version", [None, 2])
def test_a_time_is_read_as_ruby_writes_it(text: str, moment: datetime, version: int | None) -> None:
    registry = MessageRegistry()
    registry.add(Timed, version=version)
    if version:
        registry.upcaster("Timed", lambda data: data, from_version=1)
    data = {"at": text, "text": text, "others": [text, "2001-01-01T00:00:00Z", text]}
    read = registry.decode(make_message("a-1", "Timed", data))
    assert read == Timed(moment, text, [moment, datetime(2001, 1, 1, tzinfo=UTC), moment])


def test_a_model_reads_a_time_as_ruby_writes_it(registry: MessageRegistry) -> None:
    message = make_message("a-1", "Model", {"at": "2000-01-01 01:02:03 UTC"})
    assert registry.decode(message).at == MOMENT


def test_invalid_times_are_refused(registry: MessageRegistry) -> None:
    for text in ("2000-01-01 01:02 UTC", "2000-13-01 01:02:03 UTC", "yesterday"):
        with pytest.raises(MessageDecodeError) as caught:
            registry.decode(make_message("a-1", "Timed", {"at": text}))
        assert caught.value.field == "data.at"
