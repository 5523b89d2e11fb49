"""The messages to write and the messages read: what is checked when, and what is decoded when."""

from __future__ import annotations

import copy
import enum
import json
import pickle
import types
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import pytest

from messagedb._messages.message import Message, NewMessage
from messagedb._messages.registry import MessageRegistry
from messagedb.errors import MessageDecodeError, ValidationError
from messagedb.testing import make_message

if TYPE_CHECKING:
    from collections.abc import Callable

ID = UUID("0190a1b2-c3d4-7e5f-8a6b-0123456789ab")
ROW = (str(ID), "account-1", "Deposited", 3, 42, '{"amount": 5}', '{"x": "y"}', 123_456_789)


class Deposited(msgspec.Struct):
    amount: int


class Kind(enum.StrEnum):
    DEPOSITED = "Deposited"


def row(**changes: Any) -> Message[Any]:
    parts: dict[str, Any] = dict(zip(Message.__struct_fields__, ROW, strict=False))
    return Message(*(parts | changes).values())


# NewMessage


def test_takes_its_parts_by_position_or_name() -> None:
    message = NewMessage("Deposited", {"amount": 5}, metadata={"x": "y"}, id=ID)
    assert message == NewMessage(type="Deposited", data={"amount": 5}, metadata={"x": "y"}, id=ID)
    assert (message.type, message.data, message.metadata, message.id) == (
        "Deposited",
        {"amount": 5},
        {"x": "y"},
        ID,
    )


def test_has_a_new_id_of_version_7() -> None:
    first, second = NewMessage("Deposited"), NewMessage("Deposited")
    assert first.id < second.id
    assert first.id.version == 7
    assert first != second
    assert (first.data, first.metadata) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "0190a1b2-c3d4-7e5f-8a6b-0123456789ab",
        "0190A1B2-C3D4-7E5F-8A6B-0123456789AB",
        "0190a1b2c3d47e5f8a6b0123456789ab",
        "0190-a1b2-c3d4-7e5f-8a6b-0123-4567-89ab",
        "0190a1b2-c3d47e5f-8a6b0123-456789ab",
        "{0190a1b2-c3d4-7e5f-8a6b-0123456789ab}",
        "{0190a1b2c3d47e5f8a6b0123456789AB}",
    ],
)
def test_reads_an_id_as_postgresql_does(text: str) -> None:
    id = NewMessage("Deposited", id=text).id
    assert type(id) is UUID
    assert id == ID


@pytest.mark.parametrize(
    "id",
    [
        "not-a-uuid",
        "",
        "{0190a1b2-c3d4-7e5f-8a6b-0123456789ab",
        "0190a1b2-c3d4-7e5f-8a6b-0123456789ab}",
        "0190a1b2--c3d4-7e5f-8a6b-0123456789ab",
        "0190a1b2-c3d4-7e5f-8a6b-0123456789ab-",
        "-0190a1b2-c3d4-7e5f-8a6b-0123456789ab",
        "019-0a1b2-c3d4-7e5f-8a6b-0123456789ab",
        "urn:uuid:0190a1b2-c3d4-7e5f-8a6b-0123456789ab",
        " 0190a1b2-c3d4-7e5f-8a6b-0123456789ab",
        "0190a1b2-c3d4-7e5f-8a6b-0123456789ab\n",
        "0190a1b2-c3d4-7e5f-8a6b-0123456789aｂ",
        5,
        None,
        b"0190a1b2c3d47e5f8a6b0123456789ab",
        "x" * 5000,
    ],
)
def test_refuses_what_is_not_a_uuid(id: Any) -> None:
    with pytest.raises(ValidationError, match=r"must be a UUID.*uuid5\(\)") as caught:
        NewMessage("Deposited", id=id)
    assert len(str(caught.value)) < 250


def test_a_subclass_of_uuid_becomes_a_uuid() -> None:
    class Other(UUID):
        pass

    id = NewMessage("Deposited", id=Other(int=ID.int)).id
    assert type(id) is UUID
    assert id == ID


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("", "must not be empty"),
        (None, "must be a str, not NoneType"),
        (b"Deposited", "must be a str, not bytes"),
        (Deposited, "must be a str, not StructMeta"),
        ("Depo\0sited", "NUL"),
        ("Depo\ud800sited", "surrogate"),
    ],
)
def test_refuses_what_is_not_a_type_name(type: Any, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        NewMessage(type)


@pytest.mark.parametrize("name", ["Deposited", "Überwiesen", Kind.DEPOSITED])
def test_the_type_is_plain_text(name: str) -> None:
    message = NewMessage(name)
    assert type(message.type) is str
    assert message.type == str(name)


@pytest.mark.parametrize("data", [NewMessage("A"), make_message("a-1", "A")])
def test_refuses_a_message_as_data(data: Any) -> None:
    with pytest.raises(ValidationError, match=r"pass its data, message\.data"):
        NewMessage("Deposited", data)


def test_data_is_not_looked_at_before_it_is_written() -> None:
    data = object()
    assert NewMessage("Deposited", data).data is data


def test_the_repr_of_a_new_message_tells_no_secrets() -> None:
    message = NewMessage("Deposited", {"iban": "secret"}, metadata={"token": "secret"}, id=ID)
    assert repr(message) == f"NewMessage(type='Deposited', id='{ID}')"


def test_a_new_message_is_frozen_and_copies_and_pickles() -> None:
    message = NewMessage("Deposited", {"amount": [5]}, metadata=types.MappingProxyType({}))
    with pytest.raises(AttributeError):
        message.type = "Withdrawn"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    assert copy.copy(message) == message
    message = NewMessage("Deposited", Deposited(5), metadata={"x": [1]})
    for again in (copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert again == message
        assert again.id == message.id
        assert again.data is not message.data


# Message


def test_a_message_is_made_of_a_row() -> None:
    message: Message[dict[str, Any]] = Message(*ROW)
    assert message.id == ID
    assert message.stream_name == "account-1"
    assert message.type == "Deposited"
    assert (message.position, message.global_position) == (3, 42)
    assert message.data == {"amount": 5}
    assert message.metadata == {"x": "y"}
    assert message.time == datetime(2000, 1, 1, 0, 2, 3, 456_789, tzinfo=UTC)


def test_the_time_is_aware_and_exact() -> None:
    moment = datetime(2024, 5, 1, 12, 30, 15, 123_457, tzinfo=UTC)
    assert row(_time=767_881_815_123_457).time == moment
    for time in (moment, moment.astimezone(timezone(timedelta(hours=5, minutes=30)))):
        made = make_message("account-1", "Deposited", time=time)
        assert made.time == moment
        assert made.time.tzinfo is UTC
    assert make_message("a-1", "A", time=datetime.min.replace(tzinfo=UTC)).time.year == 1
    assert (
        make_message("a-1", "A", time=datetime.max.replace(tzinfo=UTC)).time.microsecond == 999999
    )
    assert make_message("a-1", "A", time=datetime(1999, 12, 31, tzinfo=UTC)).time.year == 1999


@pytest.mark.parametrize("microseconds", [2**63 - 1, -(2**63), 300_000_000_000_000_000])
def test_a_time_out_of_range_raises_from_its_property(microseconds: int) -> None:
    message = row(_time=microseconds)
    assert message.data == {"amount": 5}
    with pytest.raises(MessageDecodeError, match="the time of message 3 in stream 'account-1'"):
        _ = message.time


def test_null_is_none() -> None:
    message = row(_data=None, _metadata=None)
    assert message.data is None
    assert message.metadata is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("null", None), ("[1, 2]", [1, 2]), ('"x"', "x"), ("5", 5), ("true", True), ("{}", {})],
)
def test_data_of_others_need_not_be_an_object(text: str, value: Any) -> None:
    assert row(_data=text).data == value


def test_metadata_is_an_object_or_nothing() -> None:
    assert row(_metadata="null").metadata is None
    assert row(_metadata="{}").metadata == {}
    with pytest.raises(
        MessageDecodeError, match=r"the metadata of .*not a JSON object but '\[1\]'"
    ):
        _ = row(_metadata="[1]").metadata


def test_an_undecodable_field_raises_from_its_property_only() -> None:
    message = row(_id="x", _data='{"n": 1%s.5}' % ("0" * 400), _metadata="{")
    for name in ("id", "data", "metadata"):
        with pytest.raises(MessageDecodeError, match=f"^the {name} of message 3") as caught:
            getattr(message, name)
        error = caught.value
        assert (error.stream_name, error.position, error.global_position) == ("account-1", 3, 42)
    assert message.type == "Deposited"
    assert message.time.year == 2000
    assert "account-1" in repr(message)


def test_decimals_are_for_the_client_to_say() -> None:
    text = '{"n": [1.10, 5, 1%s.5]}' % ("0" * 400)
    numbers = row(_data=text, _metadata=text, _decimals=True)
    values: list[Any] = [numbers.data, numbers.metadata]
    for value in values:
        assert value["n"] == [Decimal("1.10"), 5, Decimal("1" + "0" * 400 + ".5")]
        assert [type(number) for number in value["n"]] == [Decimal, int, Decimal]
    assert type(row(_data='{"n": 1.10}').data["n"]) is float


def test_data_is_decoded_each_time() -> None:
    message = row()
    message.data["amount"] = 6
    assert message.data == {"amount": 5}


def test_messages_are_equal_when_what_is_stored_is() -> None:
    assert row() == Message(*ROW)
    assert hash(row()) == hash(Message(*ROW))
    assert len({row(), Message(*ROW), row(position=4)}) == 2
    assert row() != row(_data='{"amount":5}')
    assert row() != row(_id=str(uuid4()))


def test_a_message_is_frozen_and_copies_and_pickles() -> None:
    message = row()
    with pytest.raises(AttributeError):
        message.type = "Withdrawn"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    for again in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert again == message
        assert again.data == message.data


def test_the_repr_of_a_message_shows_no_data() -> None:
    assert repr(row(_metadata='{"token": "secret"}')) == (
        f"Message(id='{ID}', stream_name='account-1', type='Deposited', position=3, "
        "global_position=42)"
    )


def test_a_message_as_a_dict_is_taken_by_every_encoder() -> None:
    message = row(_metadata='{"properties": {"a": 1}}', _time=1)
    whole = message.to_dict()
    assert whole == {
        "id": str(ID),
        "stream_name": "account-1",
        "type": "Deposited",
        "position": 3,
        "global_position": 42,
        "time": "2000-01-01T00:00:00.000001Z",
        "data": {"amount": 5},
        "metadata": {"properties": {"a": 1}},
    }
    assert json.loads(json.dumps(whole)) == msgspec.json.decode(msgspec.json.encode(whole)) == whole
    bare = row(_data=None, _metadata=None).to_dict()
    assert (bare["data"], bare["metadata"]) == (None, None)
    # The data is what is stored, whatever class the message is read as.
    registry = MessageRegistry()
    registry.add(Deposited)
    typed = msgspec.structs.replace(message, _types=registry.types(Deposited))
    assert typed.data == Deposited(5)
    assert typed.to_dict() == whole
    with pytest.raises(MessageDecodeError):
        row(_data="{").to_dict()


def test_msgspec_writes_nothing_that_a_message_keeps_to_itself() -> None:
    encoders: list[Callable[[Any], Any]] = [
        msgspec.json.encode,
        msgspec.msgpack.encode,
        msgspec.to_builtins,
    ]
    for encode in encoders:
        for given in (row(), [row()], {"message": row()}):
            with pytest.raises(TypeError, match=r"encode message\.to_dict\(\) instead"):
                encode(given)


def test_makes_a_message_for_tests() -> None:
    before = datetime.now(UTC)
    message = make_message("account-1", "Deposited", Deposited(5), {"x": 1e16})
    assert message.data == {"amount": 5}
    assert message.metadata == {"x": 1e16}
    assert (message.position, message.global_position) == (0, 1)
    assert before <= message.time <= datetime.now(UTC)
    assert message.id.version == 7
    assert message.id != make_message("account-1", "Deposited").id
    assert make_message("account-1", "Deposited").data is None
    made = make_message("a-1", "A", id=str(ID), position=3, global_position=9)
    assert (made.id, made.position, made.global_position) == (ID, 3, 9)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"data": {"n": float("nan")}}, "^data.n is nan"),
        ({"metadata": {"n": {1: 2}}}, "^metadata.n is a mapping with the key 1"),
        ({"data": [1]}, "^data must be a mapping"),
        ({"id": "x"}, "must be a UUID"),
        ({"type": ""}, "must not be empty"),
        ({"time": datetime(2024, 5, 1)}, "no time zone"),
    ],
)
def test_refuses_to_make_what_could_not_be_written(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        make_message("account-1", options.pop("type", "Deposited"), **options)
