"""Versions of message types: what is written, and how data of older ones is read."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from messagedb import ANY, Message, MessageDecodeError, MessageRegistry, Metadata, NewMessage
from messagedb._operations import requests
from messagedb.errors import ValidationError


class Deposited(msgspec.Struct, frozen=True, rename="camel"):
    """Version 1 had ``amt``, version 2 has ``amount``, version 3 names the account as well."""

    amount: int
    account_id: str


class Closed(msgspec.Struct):
    reason: str = ""


class Counted(msgspec.Struct):
    by_year: dict[int, int]


@dataclasses.dataclass
class Summed:
    """Mappings with keys that JSON does not have, at several depths."""

    by_id: Mapping[UUID, int]
    counted: list[Counted]
    by_day: dict[date, dict[str, int]] | None = None


class Priced(msgspec.Struct):
    price: Decimal
    share: float


def to_2(data: dict[str, Any]) -> dict[str, Any]:
    data["amount"] = data.pop("amt")
    return data


def to_3(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "accountId": "unknown"}


@pytest.fixture
def registry() -> MessageRegistry:
    registry = MessageRegistry()
    registry.upcaster("Deposited", to_2, from_version=1)
    registry.add(Deposited, version=3, aliases=["MoneyDeposited"])
    registry.upcaster(Deposited, from_version=2)(to_3)
    registry.add(Closed)
    registry.check()
    return registry


def stored(data: str | None, metadata: str | None = None, type: str = "Deposited") -> Message[Any]:
    return Message(str(UUID(int=1)), "a-1", type, 3, 7, data, metadata, 0)


def written(registry: MessageRegistry, message: Any, metadata: Any = None) -> Any:
    return requests.build_message_write(
        "a-1", message, None, metadata, ANY, False, registry
    ).encoded[0]


# --- what is written ----------------------------------------------------------------------------


class OwnMetadata(msgspec.Struct, rename="camel"):
    user_id: int
    schema_version: str | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (None, {"schemaVersion": "3"}),
        ({}, {"schemaVersion": "3"}),
        ({"a": [1]}, {"a": [1], "schemaVersion": "3"}),
        ({"schemaVersion": "3"}, {"schemaVersion": "3"}),
        ({"schemaVersion": None}, {"schemaVersion": "3"}),
        (Metadata(), {"schemaVersion": "3"}),
        (
            Metadata(correlation_stream_name="t-1"),
            {"correlationStreamName": "t-1", "schemaVersion": "3"},
        ),
        (Metadata(schema_version="3"), {"schemaVersion": "3"}),
        (OwnMetadata(5), {"userId": 5, "schemaVersion": "3"}),
        (OwnMetadata(5, "3"), {"userId": 5, "schemaVersion": "3"}),
    ],
)
def test_an_instance_is_written_with_the_version_of_its_class(
    registry: MessageRegistry, metadata: Any, expected: dict[str, Any]
) -> None:
    event = Deposited(5, "1")
    for message, given in (
        (event, metadata),
        (registry.encode(event, metadata=metadata), None),
        (NewMessage("Deposited", event), metadata),
    ):
        encoded = written(registry, message, given)
        assert msgspec.json.decode(encoded.metadata) == expected
        assert encoded.data == '{"amount":5,"accountId":"1"}'
        assert registry.decode(stored(encoded.data, encoded.metadata)) == event


@pytest.mark.parametrize(
    "metadata", [{"schemaVersion": "2"}, {"schemaVersion": 3}, Metadata(schema_version="4")]
)
def test_another_version_in_the_metadata_is_refused(
    registry: MessageRegistry, metadata: Any
) -> None:
    with pytest.raises(ValidationError, match=r"^metadata has the schemaVersion .*of version 3"):
        written(registry, Deposited(5, "1"), metadata)
    batch = [Closed(), registry.encode(Deposited(5, "1"), metadata=metadata)]
    with pytest.raises(ValidationError, match=r"^messages\[1\]\.metadata has the schemaVersion"):
        requests.build_batch_write("a-1", batch, ANY, False, registry)


def test_other_messages_are_written_without_a_version(registry: MessageRegistry) -> None:
    assert written(registry, Closed()).metadata is None
    assert written(registry, Closed(), {"schemaVersion": "9"}).metadata == '{"schemaVersion":"9"}'
    raw = NewMessage("Deposited", {"amt": 5})
    assert written(registry, raw).metadata is None
    under_another_name = NewMessage("Other", Deposited(5, "1"))
    assert written(registry, under_another_name).metadata is None


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "metadata"),
    [
        ('{"amt": 5}', None),
        ('{"amt": 5}', "{}"),
        ('{"amt": 5}', "null"),
        ('{"amt": 5}', '{"schemaVersion": null}'),
        ('{"amt": 5}', '{"schemaVersion": "1", "properties": {}}'),
        ('{"amount": 5}', '{"schemaVersion": "2"}'),
        ('{"amount": 5}', '{"schemaVersion": 2}'),
        ('{"amount": 5, "accountId": "unknown"}', '{"schemaVersion": "3"}'),
        ('{"amount": 5, "accountId": "unknown"}', '{"schemaVersion": 3}'),
    ],
)
@pytest.mark.parametrize("type", ["Deposited", "MoneyDeposited"])
def test_data_of_each_version_is_read_as_the_class(
    registry: MessageRegistry, data: str, metadata: str | None, type: str
) -> None:
    message = stored(data, metadata, type)
    for _ in range(2):  # an upcaster that changes its dict changes nothing that is kept
        assert registry.decode(message) == Deposited(5, "unknown")


@pytest.mark.parametrize(
    ("cls", "stored_data", "expected"),
    [
        (Counted, '{"by_year": {"2026": 5}}', Counted({2026: 5})),
        (
            Summed,
            '{"by_id": {"00000000-0000-0000-0000-000000000007": 1},'
            ' "counted": [{"by_year": {"1": 2}}], "by_day": {"2026-01-31": {"a": 3}}}',
            Summed({UUID(int=7): 1}, [Counted({1: 2})], {date(2026, 1, 31): {"a": 3}}),
        ),
    ],
)
def test_keys_that_are_not_strings_are_read_after_an_upcaster(
    cls: type[Any], stored_data: str, expected: Any
) -> None:
    registry = MessageRegistry()
    registry.add(cls, type="Deposited", version=2)
    registry.upcaster("Deposited", lambda data: data, from_version=1)
    assert registry.decode(stored(stored_data)) == expected
    assert registry.decode(stored(stored_data, '{"schemaVersion": "2"}')) == expected


def test_a_class_without_a_version_does_not_look_at_the_metadata(registry: MessageRegistry) -> None:
    for metadata in (None, '{"schemaVersion": "9"}', "[1]"):
        assert registry.decode(stored("{}", metadata, "Closed")) == Closed()


def test_no_data_is_an_empty_dict_for_upcasters() -> None:
    registry = MessageRegistry()
    registry.add(Closed, version=2)
    registry.upcaster(Closed, lambda data: {"reason": repr(data)}, from_version=1)
    assert registry.decode(stored(None, None, "Closed")) == Closed("{}")


@pytest.mark.parametrize(
    ("data", "metadata", "field", "reason"),
    [
        (
            "{}",
            '{"schemaVersion": "4"}',
            "data",
            r"of version 4, and Deposited is known here up to version 3: upgrade this service",
        ),
        ("{}", '{"schemaVersion": "two"}', "metadata.schemaVersion", "'two' is not a version"),
        ("{}", '{"schemaVersion": ""}', "metadata.schemaVersion", "'' is not a version"),
        ("{}", '{"schemaVersion": "0"}', "metadata.schemaVersion", "'0' is not a version"),
        ("{}", '{"schemaVersion": "-1"}', "metadata.schemaVersion", "is not a version"),
        ("{}", '{"schemaVersion": "1.0"}', "metadata.schemaVersion", "is not a version"),
        ("{}", '{"schemaVersion": "١"}', "metadata.schemaVersion", "is not a version"),
        ("{}", '{"schemaVersion": 0}', "metadata.schemaVersion", "0 is not a version"),
        ("{}", '{"schemaVersion": 1.5}', "metadata.schemaVersion", "is not a version"),
        ("{}", '{"schemaVersion": true}', "metadata.schemaVersion", "True is not a version"),
        ("{}", '{"schemaVersion": {}}', "metadata.schemaVersion", "is not a version"),
        ("{}", "[1]", "metadata.schemaVersion", "got `array`"),
        ("{}", None, "data", r"to_2 from version 1 raised KeyError: 'amt'"),
        ("[1]", None, "data", "not a JSON object"),
        ('{"a": 1' + "0" * 5000 + "}", None, "data", "out of range"),
        ('{"amt": "5"}', None, "data.amount", "Expected `int`, got `str`"),
        ('{"amount": "5"}', '{"schemaVersion": "2"}', "data.amount", "got `str`"),
        ('{"amount": 5}', '{"schemaVersion": "3"}', "data.accountId", "required field `accountId`"),
    ],
)
def test_an_undecodable_version_is_an_error_of_its_message(
    registry: MessageRegistry, data: str, metadata: str | None, field: str, reason: str
) -> None:
    with pytest.raises(MessageDecodeError, match=reason) as caught:
        registry.decode(stored(data, metadata))
    error = caught.value
    assert (error.stream_name, error.position, error.field) == ("a-1", 3, field)
    assert "message 3 in stream 'a-1'" in str(error)
    assert pickle.loads(pickle.dumps(error)).field == field


def test_the_cause_is_what_an_upcaster_raised(registry: MessageRegistry) -> None:
    with pytest.raises(MessageDecodeError) as caught:
        registry.decode(stored("{}"))
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(("wrong", "name"), [(None, "NoneType"), ([], "list"), ("{}", "str")])
def test_an_upcaster_must_give_a_dict(wrong: Any, name: str) -> None:
    registry = MessageRegistry()
    registry.add(Closed, version=2)

    @registry.upcaster(Closed, from_version=1)
    def forgetful(data: dict[str, Any]) -> dict[str, Any]:
        data["reason"] = "x"
        result: dict[str, Any] = wrong
        return result

    with pytest.raises(
        MessageDecodeError, match=rf"forgetful from version 1 returned {name}: it must"
    ):
        registry.decode(stored("{}", None, "Closed"))


def test_a_gap_is_an_error_of_the_message_too() -> None:
    registry = MessageRegistry()
    registry.add(Deposited, version=3)
    registry.upcaster(Deposited, to_2, from_version=1)
    with pytest.raises(
        MessageDecodeError, match=r"of version 1, and there is no upcaster from ver"
    ):
        registry.decode(stored('{"amt": 5}'))


def test_decimals_of_upcast_data_are_those_of_the_client() -> None:
    registry = MessageRegistry()
    registry.add(Priced, version=2)
    registry.upcaster(Priced, lambda data: data, from_version=1)
    data = '{"price": 1.1000000000000000000000001, "share": 0.5}'
    exact = Message(str(UUID(int=1)), "a-1", "Priced", 0, 1, data, None, 0, True)
    assert registry.decode(exact) == Priced(Decimal("1.1000000000000000000000001"), 0.5)
    assert type(registry.decode(exact).share) is float


# --- registering and checking -------------------------------------------------------------------


def test_check_names_every_gap() -> None:
    registry = MessageRegistry()
    registry.add(Deposited, version=4)
    registry.add(Closed)
    registry.upcaster("Deposited", to_3, from_version=2)
    registry.upcaster(Deposited, to_3, from_version=4)
    registry.upcaster("Closed", to_2, from_version=1)
    registry.upcaster("Unheard", to_2, from_version=1)
    registry.upcaster(OwnMetadata, to_2, from_version=1)
    with pytest.raises(ValidationError) as caught:
        registry.check()
    for problem in (
        "no upcaster from version 1 to 2 of 'Deposited'",
        "no upcaster from version 3 to 4 of 'Deposited'",
        "to_3 is an upcaster from version 4 of 'Deposited', which is at version 4",
        "to_2 is an upcaster of 'Closed', which has no version",
        "to_2 is an upcaster of 'Unheard', which is not registered",
        "OwnMetadata, which is not registered",
    ):
        assert problem in str(caught.value)
    assert "Nothing was sent." in str(caught.value)


def test_an_empty_registry_and_first_versions_need_nothing() -> None:
    registry = MessageRegistry()
    registry.check()
    registry.add(Closed, version=1)
    registry.check()
    assert registry.decode(stored("{}", None, "Closed")) == Closed()
    assert written(registry, Closed()).metadata == '{"schemaVersion":"1"}'


def test_two_upcasters_of_one_version_are_refused(registry: MessageRegistry) -> None:
    registry.upcaster("Deposited", to_2, from_version=1)  # the same again does nothing
    with pytest.raises(ValidationError, match="'Deposited' already has an upcaster from version 1"):
        registry.upcaster("Deposited", to_3, from_version=1)
    registry.check()
    registry.upcaster("MoneyDeposited", to_3, from_version=1)
    with pytest.raises(ValidationError, match="'Deposited' already has an upcaster from version 1"):
        registry.check()


def test_upcasters_that_are_added_later_count(registry: MessageRegistry) -> None:
    first = stored('{"amt": 5}', '{"schemaVersion": "1"}')
    assert registry.decode(first) == Deposited(5, "unknown")
    registry.upcaster("MoneyDeposited", to_3, from_version=1)
    with pytest.raises(MessageDecodeError, match="already has an upcaster from version 1, to_2"):
        registry.decode(first)
    gap = MessageRegistry()
    gap.add(Closed, version=2)
    with pytest.raises(MessageDecodeError, match="no upcaster from version 1 to 2"):
        gap.decode(stored("{}", None, "Closed"))
    gap.upcaster(Closed, lambda data: {"reason": "x"}, from_version=1)
    assert gap.decode(stored("{}", None, "Closed")) == Closed("x")


def test_upcasters_of_an_alias_are_those_of_the_class() -> None:
    registry = MessageRegistry()
    registry.upcaster("Shut", lambda data: {"reason": data["why"]}, from_version=1)
    registry.add(Closed, version=2, aliases=["Shut"])
    registry.check()
    for name in ("Shut", "Closed"):
        assert registry.decode(stored('{"why": "x"}', None, name)) == Closed("x")


@pytest.mark.parametrize("version", [0, -1, 1.0, "1", True])
def test_versions_are_integers_from_1(version: Any) -> None:
    registry = MessageRegistry()
    with pytest.raises(ValidationError, match="must be an integer of at least 1"):
        registry.add(Closed, version=version)
    with pytest.raises(ValidationError, match="from_version must be an integer of at least 1"):
        registry.upcaster(Closed, to_2, from_version=version)
    assert Closed not in registry
    registry.check()


def test_an_upcaster_is_a_function_of_a_type() -> None:
    registry = MessageRegistry()
    wrong: Any = 5
    with pytest.raises(ValidationError, match="an upcaster must be a function"):
        registry.upcaster(Closed, wrong, from_version=1)
    with pytest.raises(ValidationError, match="takes a message type or its class first, not 5"):
        registry.upcaster(wrong, to_2, from_version=1)
