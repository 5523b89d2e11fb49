"""Metadata of rows that the Ruby toolkit wrote: read, followed, and written as it wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from messagedb import Message, MessageDecodeError, ValidationError
from messagedb._messages.metadata import Metadata
from messagedb.testing import make_message

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "metadata.json").read_text())
ROWS = VECTORS["rows"]
RUBY = VECTORS["read_by_ruby"]


def message(name: str) -> Message[Any]:
    row = ROWS[name]
    return make_message(
        row["stream_name"],
        row["type"],
        row["data"],
        row["metadata"],
        position=row["position"],
        global_position=row["global_position"],
    )


def of(name: str) -> Metadata:
    return Metadata.from_message(message(name))


def fields(metadata: Metadata) -> dict[str, Any]:
    names = VECTORS["correlate"][1]
    return {name: getattr(metadata, name) for name in names}


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_written_again_as_they_are(name: str) -> None:
    read = of(name)
    assert read.extra == {}
    assert read.to_dict() == ROWS[name]["metadata"]
    written = make_message("x-1", "T", None, read)
    assert written.metadata == ROWS[name]["metadata"]


def test_a_command_as_ruby_writes_it() -> None:
    metadata = Metadata(
        stream_name="rubyVecWrong-1",
        position=77,
        correlation_stream_name="rubyVecTransfer-789",
        reply_stream_name="rubyVecTransfer:command-789",
        schema_version="2.1",
    )
    metadata = metadata.with_properties(
        traceParent="00-aa-bb-01",
        userInfo={"firstName": "Ann", "lastName": "Lee", "stringKey": 1},
        nilProperty=None,
    ).with_local_properties(attemptCount=1)
    assert metadata.to_dict() == ROWS["command"]["metadata"]


def test_an_event_follows_a_command_as_in_ruby() -> None:
    event = Metadata.following(message("command")).with_properties(ownProperty="mine")
    assert event.to_dict() == ROWS["event"]["metadata"]
    assert event.schema_version is None
    assert event.local_properties == {}
    assert Metadata.following(message("event")).to_dict() == ROWS["second_event"]["metadata"]


def test_a_reply_as_in_ruby() -> None:
    stream_name, metadata = Metadata.following(message("command")).take_reply()
    assert stream_name == ROWS["reply"]["stream_name"]
    assert metadata.to_dict() == ROWS["reply"]["metadata"]
    with pytest.raises(ValidationError, match="no reply_stream_name"):
        metadata.take_reply()


@pytest.mark.parametrize(("name", "previous", "follows"), VECTORS["follows"])
def test_which_follows_which(name: str, previous: str, follows: bool) -> None:
    assert of(name).is_following(message(previous)) is follows
    assert of(name).is_following(of(previous)) is follows


def test_identifiers() -> None:
    expected = VECTORS["identifiers"]
    assert of("command").identifier == expected["command"]
    assert of("event").causation_message_identifier == expected["event_causation"]


@pytest.mark.parametrize(
    ("correlation", "name", "correlated"),
    [
        *(
            [ROWS["event"]["metadata"]["correlationStreamName"], *row]
            for row in VECTORS["correlated"]
        ),
        *VECTORS["more_correlated"],
    ],
)
def test_correlated(correlation: str | None, name: str, correlated: bool) -> None:
    assert Metadata(correlation_stream_name=correlation).is_correlated_with(name) is correlated


def test_difference_the_name_of_a_correlation_is_not_changed() -> None:
    """In Ruby ``ruby_vec_transfer`` is taken as ``rubyVecTransfer``."""
    assert not of("event").is_correlated_with("ruby_vec_transfer")


def test_follow_onto_metadata_that_has_values() -> None:
    case = VECTORS["follow_onto_values"]
    stream_name, position, global_position = case["previous_source"]
    previous = Metadata(
        **case["previous"],
        stream_name=stream_name,
        position=position,
        global_position=global_position,
    )
    receiver = Metadata(**case["receiver"])
    assert fields(receiver.follow(previous)) == case["after"]
    assert fields(receiver)["properties"] == case["receiver"]["properties"]


def test_follow_of_metadata_without_a_source() -> None:
    case = VECTORS["follow_of_unwritten"]
    after = Metadata.following(Metadata())
    assert fields(after) == case["after"]
    assert after.is_following(Metadata()) is case["follows"]


def test_correlate() -> None:
    name, after = VECTORS["correlate"]
    assert fields(Metadata().with_correlation(name)) == after


@pytest.mark.parametrize("stored", RUBY["refused"])
def test_metadata_that_ruby_refuses_raises_with_the_key(stored: dict[str, Any]) -> None:
    read = make_message("account-1", "T", None, stored, position=3, global_position=9)
    (key,) = stored
    with pytest.raises(
        MessageDecodeError, match=f"message 3 in stream 'account-1'.*its {key} must"
    ):
        Metadata.from_message(read)


@pytest.mark.parametrize("stored", RUBY["as_nothing"])
def test_metadata_that_ruby_ignores_reads_as_empty(stored: dict[str, Any]) -> None:
    assert Metadata.from_message(make_message("account-1", "T", None, stored)) == Metadata()


@pytest.mark.parametrize(("key", "field"), RUBY["aliases"].items())
def test_difference_aliases_of_ruby_are_keys_without_a_meaning(key: str, field: str) -> None:
    read = Metadata.from_message(make_message("account-1", "T", None, {key: "x-1"}))
    assert getattr(read, field) is None
    assert read.extra == {key: "x-1"}


def test_difference_keys_in_snake_case_have_no_meaning() -> None:
    stored = {"correlation_stream_name": "x-1"}
    read = Metadata.from_message(make_message("account-1", "T", None, stored))
    assert read.correlation_stream_name is None
    assert read.to_dict() == stored
