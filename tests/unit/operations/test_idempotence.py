"""The detection of handled commands, and the copy that reserves a command."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from messagedb import Message, MessageDecodeError, NewMessage, ValidationError
from messagedb._messages.metadata import Metadata
from messagedb._operations.reservation import build_reservation
from messagedb.idempotency import is_already_handled
from messagedb.testing import make_message

ID = UUID("5f3c6c1c-1111-4222-8333-944455556666")


def command(**changes: Any) -> Message[Any]:
    """Make a command at global position 11."""
    values: dict[str, Any] = {"id": ID, "position": 3, "global_position": 11, **changes}
    return make_message("account:command-1", "Deposit", {"amount": 5}, **values)


@pytest.mark.parametrize(
    ("sequence", "expected"), [(None, False), (0, False), (10, False), (11, True), (12, True)]
)
def test_a_command_at_or_before_the_sequence_was_handled(
    sequence: int | None, expected: bool
) -> None:
    assert is_already_handled(sequence, command()) is expected


@pytest.mark.parametrize("sequence", ["11", 11.0, True])
def test_a_sequence_of_another_kind_is_refused(sequence: Any) -> None:
    with pytest.raises(ValidationError, match="Nothing was sent"):
        is_already_handled(sequence, command())


def test_a_message_that_was_not_read_is_refused() -> None:
    new: Any = NewMessage("Deposit")
    with pytest.raises(ValidationError, match=r"context\.message"):
        is_already_handled(1, new)
    with pytest.raises(ValidationError, match=r"context\.message"):
        build_reservation(new, "key-1")


@pytest.mark.parametrize(
    ("name", "reason"),
    [(None, "must be a str"), ("", "empty"), ("key-\ud800", "surrogate"), ("key-\0", "NUL")],
)
def test_a_key_that_no_stream_can_have_reserves_nothing(name: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=f"stream_name .*{reason}"):
        build_reservation(command(), name)


def test_the_copy_follows_the_command() -> None:
    metadata = Metadata(
        correlation_stream_name="transfer-1",
        reply_stream_name="transfer-1",
        schema_version="2",
        properties={"trace": "x"},
        local_properties={"mine": 1},
    )
    copy = build_reservation(command(metadata=metadata), "key-1")
    assert (copy.type, copy.data) == ("Deposit", {"amount": 5})
    assert copy.metadata == Metadata(
        causation_message_stream_name="account:command-1",
        causation_message_position=3,
        causation_message_global_position=11,
        correlation_stream_name="transfer-1",
        reply_stream_name="transfer-1",
        schema_version="2",
        properties={"trace": "x"},
    )


def test_the_id_is_of_the_command_and_the_stream() -> None:
    copy = build_reservation(command(), "key-1")
    assert copy.id == build_reservation(command(global_position=12), "key-1").id
    assert copy.id.version == 5
    others = {
        build_reservation(command(), "key-2").id,
        build_reservation(command(id=UUID(int=7)), "key-1").id,
        ID,
    }
    assert copy.id not in others
    assert len(others) == 3


def test_a_command_whose_metadata_cannot_be_read_is_not_copied() -> None:
    with pytest.raises(MessageDecodeError, match="schemaVersion"):
        build_reservation(command(metadata={"schemaVersion": 2}), "key-1")
