"""Metadata: what it refuses, what is written of it, trace context; and copies of fields."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import Message, MessageDecodeError, MessageRegistry, NewMessage, ValidationError
from messagedb._consumers.context import BaseContext
from messagedb._messages.field_copying import copy_fields
from messagedb._messages.metadata import Metadata
from messagedb.testing import make_message

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
JSON = st.dictionaries(st.text("abc", min_size=1), st.none() | st.integers(-9, 9) | st.text("xyz"))
NAMES = st.none() | st.sampled_from(["a-1", "b:command-2", "c"])


@st.composite
def metadata(draw: st.DrawFn) -> Metadata:
    position = st.none() | st.integers(0, 3)
    return Metadata(
        causation_message_stream_name=draw(NAMES),
        causation_message_position=draw(position),
        causation_message_global_position=draw(position),
        correlation_stream_name=draw(NAMES),
        reply_stream_name=draw(NAMES),
        schema_version=draw(st.none() | st.just("1")),
        properties=draw(JSON),
        local_properties=draw(JSON),
        extra=draw(JSON),
    )


@given(metadata())
def test_metadata_reads_back_equal(written: Metadata) -> None:
    stored = make_message("account-1", "T", None, written)
    assert stored.metadata == (written.to_dict() or None)
    read = Metadata.from_message(stored)
    assert read == written
    assert read.extra == written.extra
    assert (read.stream_name, read.position, read.global_position) == ("account-1", 0, 1)
    assert read.time == stored.time


@given(metadata(), metadata())
def test_following_metadata_is_following(own: Metadata, before: Metadata) -> None:
    previous = make_message("account-1", "T", None, before, position=2, global_position=7)
    after = own.follow(previous)
    assert after.is_following(previous)
    assert after.properties == {**own.properties, **before.properties}
    assert (after.local_properties, after.extra) == (own.local_properties, own.extra)
    assert after.schema_version == own.schema_version
    assert not Metadata.following(after).is_following(after)  # not written yet


def test_metadata_with_nothing_in_it_is_sql_null() -> None:
    for empty in (Metadata(), Metadata(stream_name="a-1", position=0, global_position=1)):
        assert empty.to_dict() == {}
        assert make_message("a-1", "T", None, empty).metadata is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"schema_version": 1}, "schema_version of a Metadata must be a string, not 1"),
        (
            {"correlation_stream_name": b"x"},
            "correlation_stream_name of a Metadata must be a string",
        ),
        ({"causation_message_position": "1"}, "must be an integer, not '1'"),
        ({"causation_message_position": True}, "must be an integer, not True"),
        ({"causation_message_global_position": 1.0}, "must be an integer, not 1.0"),
        ({"properties": None}, "properties of a Metadata must be an object, not NoneType"),
        ({"properties": ["secret"]}, "must be an object, not list"),
        ({"local_properties": {1: "secret"}}, "must have string keys, not 1"),
        ({"extra": {"replyStreamName": "x"}}, "must not have the key 'replyStreamName'"),
        ({"position": "0"}, "position of a Metadata must be an integer"),
    ],
)
def test_fields_of_the_wrong_kind(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text) as caught:
        Metadata(**fields)
    assert "secret" not in str(caught.value)


def test_properties_that_are_not_json_are_refused_with_their_path() -> None:
    with pytest.raises(ValidationError, match=r"metadata\.properties\.x is a set"):
        make_message("a-1", "T", None, Metadata(properties={"x": {1}}))


@pytest.mark.parametrize("given", [None, {}, "x", NewMessage("T"), Metadata()])
def test_metadata_comes_of_a_read_message(given: Any) -> None:
    with pytest.raises(ValidationError, match="from a stored Message, not from"):
        Metadata.from_message(given)


def test_metadata_that_is_no_object() -> None:
    stored = Message("x", "a-1", "T", 0, 1, None, "[1]", 0)
    with pytest.raises(MessageDecodeError, match="metadata of message 0"):
        Metadata.from_message(stored)
    assert Metadata.from_message(Message("x", "a-1", "T", 0, 1, None, "null", 0)) == Metadata()


@pytest.mark.parametrize(
    "differing",
    [
        {"causation_message_stream_name": "b-1"},
        {"causation_message_position": 9},
        {"causation_message_global_position": 9},
        {"causation_message_global_position": None},
        {"correlation_stream_name": "other-1"},
        {"reply_stream_name": "other-1"},
        {"reply_stream_name": None},
    ],
)
def test_changed_metadata_is_not_following(differing: dict[str, Any]) -> None:
    previous = make_message(
        "a-1", "T", None, Metadata(correlation_stream_name="c-1", reply_stream_name="r-1")
    )
    after = Metadata.following(previous)
    assert after.is_following(previous)
    assert after.with_properties(x=1).is_following(previous)
    assert not msgspec.structs.replace(after, **differing).is_following(previous)


def test_correlation_and_reply_that_the_previous_message_lacks_are_not_compared() -> None:
    previous = make_message("a-1", "T")
    after = msgspec.structs.replace(
        Metadata.following(previous), correlation_stream_name="c-1", reply_stream_name="r-1"
    )
    assert after.is_following(previous)


def test_properties() -> None:
    own = Metadata().with_properties({"a-b": 1, "c": 2}, c=3).with_local_properties(d=4)
    assert own.properties == {"a-b": 1, "c": 3}
    assert own.without_properties("c", "none").properties == {"a-b": 1}
    assert own.local_properties == {"d": 4}
    assert own.without_local_properties("d") == own.without_local_properties("d", "none")
    assert own.without_local_properties("d").local_properties == {}
    for change in (own.with_properties, own.with_local_properties):
        with pytest.raises(ValidationError, match="must have string keys"):
            change({1: 2})  # type: ignore[dict-item]


def test_a_dict_that_it_was_made_of_can_change() -> None:
    given = {"a": 1}
    own = Metadata(properties=given)
    given["b"] = 2
    assert own.properties == {"a": 1}


def test_equality_pickling_and_repr() -> None:
    own = Metadata(correlation_stream_name="c-1", properties={"token": "secret"})
    placed = msgspec.structs.replace(own, stream_name="a-1", position=1)
    assert own == placed
    assert own != Metadata(correlation_stream_name="c-1")
    assert own != own.to_dict()
    assert pickle.loads(pickle.dumps(placed)).identifier == copy.copy(placed).identifier == "a-1/1"
    assert repr(own) == "Metadata(correlation_stream_name='c-1', properties=<'token'>)"
    assert own.identifier is None
    with pytest.raises(TypeError):
        hash(own)


def test_equal_metadata_is_not_unequal() -> None:
    own, other = Metadata(properties={"a": 1}), Metadata(properties={"a": 1})
    assert own == other
    assert (own != other) is False
    assert own != Metadata()
    assert own != {"properties": {"a": 1}}


def test_trace_context_is_handed_on() -> None:
    own = Metadata().with_trace(PARENT, "vendor=1")
    stored = make_message("a-1", "T", None, own)
    after = Metadata.following(stored)
    assert (after.traceparent, after.tracestate) == (PARENT, "vendor=1")
    later = after.with_trace(OTHER)
    assert later.properties == {"traceparent": OTHER}
    assert (later.traceparent, later.tracestate) == (OTHER, None)


def test_trace_context_at_the_top_level_is_read() -> None:
    foreign = {"traceparent": PARENT, "tracestate": "v=1"}
    read = Metadata.from_message(make_message("a-1", "T", None, foreign))
    assert (read.traceparent, read.tracestate) == (PARENT, "v=1")
    both = read.with_trace(OTHER)
    assert (both.traceparent, both.tracestate) == (OTHER, None)
    wrong = read.with_properties(traceparent="x", tracestate="w=1")
    assert (wrong.traceparent, wrong.tracestate) == (PARENT, "v=1")
    assert Metadata().traceparent is None


@pytest.mark.parametrize("parent", [PARENT, OTHER, "cc" + PARENT[2:], "01" + PARENT[2:] + "-more"])
def test_traceparents(parent: str) -> None:
    assert Metadata().with_trace(parent).traceparent == parent


@pytest.mark.parametrize(
    "parent",
    [
        *("", None, 1, "x", PARENT.upper(), PARENT + "\n", PARENT + "-more", "ff" + PARENT[2:]),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        PARENT[:-1],
        PARENT + "0",
    ],
)
def test_an_invalid_traceparent_is_refused(parent: Any) -> None:
    with pytest.raises(ValidationError, match="traceparent must be of the form"):
        Metadata().with_trace(parent)
    assert Metadata(properties={"traceparent": parent}).traceparent is None


@pytest.mark.parametrize("state", ["", 1])
def test_an_invalid_tracestate_is_refused(state: Any) -> None:
    with pytest.raises(ValidationError, match="tracestate must be a str"):
        Metadata().with_trace(PARENT, state)


class Withdraw(msgspec.Struct):
    account_id: str
    amount: int


@dataclasses.dataclass
class Withdrawn:
    account_id: str
    amount: int
    sequence: int = 0


class Noted(msgspec.Struct):
    account_id: str


COMMAND = Withdraw("123", 5)


def test_a_registry_takes_metadata() -> None:
    registry = MessageRegistry()
    registry.add(Withdraw)
    own = Metadata(schema_version="2")
    assert registry.encode(COMMAND, metadata=own).metadata == own


def test_fields_are_copied() -> None:
    event = copy_fields(Withdrawn, COMMAND, sequence=7)
    assert event == Withdrawn("123", 5, 7)
    assert copy_fields(Withdraw, event, exclude=["sequence"]) == COMMAND
    assert copy_fields(Noted, COMMAND, include=["account_id"]) == Noted("123")
    assert copy_fields(Noted, event, exclude=["amount", "sequence"]) == Noted("123")
    assert copy_fields(Withdrawn, COMMAND, amount=9) == Withdrawn("123", 9)
    renamed = copy_fields(
        Withdrawn,
        COMMAND,
        include=["amount"],
        rename={"amount": "sequence"},
        account_id="1",
        amount=2,
    )
    assert renamed == Withdrawn("1", 2, 5)


@pytest.mark.parametrize(
    ("cls", "options", "text"),
    [
        (Noted, {}, "Noted has no field 'amount' for that of Withdraw: put it into exclude"),
        (Noted, {"include": ["nope"]}, "Withdraw has no field 'nope' to copy"),
        (Noted, {"exclude": ["nope"]}, "Withdraw has no field 'nope' to copy"),
        (Noted, {"rename": {"nope": "x"}}, "Withdraw has no field 'nope' to copy"),
        (Noted, {"rename": {"amount": "account_id"}}, "two fields of Withdraw would be"),
        (Noted, {"include": "account_id"}, "not the str"),
        (Noted, {"include": []}, "Noted could not be created"),
        (Withdrawn, {"nope": 1}, "Withdrawn could not be created"),
        (dict, {}, "must be a msgspec Struct or a dataclass, not dict"),
    ],
)
def test_invalid_copies_of_fields_are_refused(cls: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        copy_fields(cls, COMMAND, **options)


def test_a_source_that_has_no_fields() -> None:
    with pytest.raises(ValidationError, match="the source must be a msgspec Struct"):
        copy_fields(Noted, {"account_id": "1"})


def test_a_context_gives_the_metadata_of_its_message() -> None:
    stored = make_message("a-1", "T", None, Metadata(correlation_stream_name="c-1"), position=4)
    context = BaseContext(stored, 1, None, "x")
    assert context.metadata.correlation_stream_name == "c-1"
    assert context.metadata.identifier == "a-1/4"
    assert context.following().is_following(stored)
    assert context.following() == Metadata.following(stored)
