"""Which writes form a group, their parameters, and their outcomes from rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messagedb import (
    ANY,
    NO_STREAM,
    DuplicateMessageError,
    MessageRegistry,
    NewMessage,
    WrongExpectedVersionError,
    streams,
)
from messagedb._errors import copy_error
from messagedb._group_commit import forming, outcomes, pace
from messagedb._group_commit.pending_write import (
    LOCK_NOT_FREE,
    SEND_ALONE,
    PendingWrite,
)
from messagedb._operations.category_locks import get_category_lock
from messagedb._operations.requests import WriteRequest, build_batch_write
from messagedb.errors import OutcomeUnknownError
from messagedb.expected_version import ExpectedVersion


def build(stream: str, *messages: NewMessage, expected: ExpectedVersion = ANY) -> WriteRequest:
    """Return a write, of one new message unless others are passed."""
    return build_batch_write(
        stream, messages or (NewMessage("T"),), expected, False, MessageRegistry()
    )


def wait(write: WriteRequest) -> PendingWrite:
    """Return a write that waits."""
    size = forming.measure_write(write)
    assert size is not None
    return PendingWrite(write, 0.0, get_category_lock(write.stream_name), size, None)


def choose(*writes: WriteRequest) -> list[int]:
    """Return the numbers of the writes that form a group."""
    chosen = forming.choose_writes([wait(write) for write in writes])
    return [[id(write) for write in writes].index(id(each.write)) for each in chosen]


def test_any_number_without_an_expected_version_is_in_a_group() -> None:
    assert choose(build("a-1"), build("a-1"), build("b-1"), build("a-1")) == [0, 1, 2, 3]


def test_one_with_an_expected_version_is_the_only_one_of_its_stream() -> None:
    one = build("a-1", expected=3)
    assert choose(one, build("a-1"), build("a-1", expected=3), build("a-2")) == [0, 3]
    assert choose(build("a-1"), one, build("a-1"), build("b-1", expected=NO_STREAM)) == [0, 2, 3]


def test_an_id_is_in_a_group_once() -> None:
    message = NewMessage("T")
    writes = build("a-1", message), build("b-1", message), build("b-1", NewMessage("T"), message)
    assert choose(*writes, build("b-1")) == [0, 3]


def test_a_group_is_bounded_in_messages_and_characters() -> None:
    writes = [build(f"a-{n}") for n in range(forming.MAX_MESSAGES + 5)]
    assert len(choose(*writes)) == forming.MAX_MESSAGES
    large = [
        build(f"a-{n}", NewMessage("T", {"x": "y" * 30_000}))
        for n in range(2 + forming.MAX_CHARACTERS // 30_000)
    ]
    assert len(choose(*large)) == forming.MAX_CHARACTERS // 30_200


@pytest.mark.parametrize(
    "write",
    [
        build("a-1", *(NewMessage("T") for _ in range(forming.MAX_WRITE_MESSAGES + 1))),
        build("a-1", NewMessage("T", {"x": "y" * forming.MAX_WRITE_CHARACTERS})),
        build(f"a-{'n' * 700}"),
        build("a-1", NewMessage("T", metadata={"correlationStreamName": f"b-{'n' * 700}"})),
        build("a-1", NewMessage("T" * forming.MAX_WRITE_CHARACTERS)),
    ],
    ids=["many", "large", "long name", "long correlation", "long type"],
)
def test_a_write_that_would_delay_a_group_or_make_it_fail_does_not_join(
    write: WriteRequest,
) -> None:
    assert forming.measure_write(write) is None


def test_locks_are_acquired_in_the_order_of_their_keys_and_each_once() -> None:
    names = [f"category{number}" for number in range(20)]
    writes = [build(f"{name}-{number}") for name in names for number in (1, 2)]
    keys = [get_category_lock(write.stream_name).key for write in writes]
    parameters = forming.build_parameters(writes, keys)
    assert json.loads(f"[{parameters.keys[1:-1]}]") == sorted(map(streams.hash_64, names))


def test_the_parameters_are_json_that_has_each_message_with_its_stream_and_write() -> None:
    first = NewMessage('T"\\', {"x": 'a"b'}, metadata={"traceparent": "1"})
    second, third = NewMessage("T", None), NewMessage("T", {})
    writes = [build('a-"1', first, second, expected=4), build("b-1", third)]
    parameters = forming.build_parameters(writes, [5, -6])
    assert parameters.keys == "{-6,5}"
    assert json.loads(parameters.streams) == [['a-"1', 4, "|5|"], ["b-1", None, "|-6|"]]
    assert json.loads(parameters.messages) == [
        [1, 0, str(first.id), 'T"\\', {"x": 'a"b'}, {"traceparent": "1"}],
        [1, 0, str(second.id), "T", None, None],
        [2, 1, str(third.id), "T", {}, None],
    ]


Row = tuple[Any, ...]
NOT_FOUND = (None, None, None)


def test_each_write_has_the_outcome_of_its_rows() -> None:
    batch = build("a-2", NewMessage("T"), NewMessage("T"))
    writes = [build("a-1"), batch, build("b-1"), build("a-3", expected=7), build("a-4")]
    rows: list[Row] = [
        (6, None, 4, "other-1", 9, None),
        (1, 5, 4, *NOT_FOUND),
        (3, 1, -1, *NOT_FOUND),
        (2, 0, -1, *NOT_FOUND),
        (5, None, 2, *NOT_FOUND),
    ]
    stored, both, locked, conflict, duplicate = outcomes.parse_group(writes, rows)
    assert stored == [5]
    assert both == [0, 1]
    assert locked is LOCK_NOT_FREE
    assert isinstance(conflict, WrongExpectedVersionError)
    assert (conflict.expected_version, conflict.actual_version) == (7, 2)
    assert isinstance(duplicate, DuplicateMessageError)
    assert (duplicate.existing_stream_name, duplicate.existing_position) == ("other-1", 9)


def test_an_id_in_its_stream_is_the_position_whatever_the_version() -> None:
    rows: list[Row] = [(1, None, 8, "a-1", 3, None)]
    assert outcomes.parse_group([build("a-1", expected=2)], rows) == [[3]]


def test_a_batch_with_a_stored_id_is_sent_by_itself() -> None:
    rows: list[Row] = [(1, None, 3, *NOT_FOUND), (2, None, 3, "a-1", 3, None)]
    write = build("a-1", NewMessage("T"), NewMessage("T"))
    assert outcomes.parse_group([write], rows) == [SEND_ALONE]


def test_a_write_is_claimed_once_and_again_after_its_release() -> None:
    pending = wait(build("a-1"))
    first, second = object(), object()
    assert pending.claim(first)
    assert not pending.claim(second)
    assert pending.owner is first
    pending.release()
    assert pending.claim(second)
    pending.release()
    pending.drop()
    assert not pending.claim(first)


def test_a_write_waits_until_it_is_claimed_or_dropped() -> None:
    claimed, dropped = wait(build("a-1")), wait(build("a-1"))
    assert [claimed.is_waiting, dropped.is_waiting] == [True, True]
    claimed.claim(object())
    dropped.drop()
    assert [claimed.is_waiting, dropped.is_waiting] == [False, False]


def test_each_caller_gets_an_error_of_its_own() -> None:
    cause = ValueError()
    error = OutcomeUnknownError("a-1", (NewMessage("T"),), ANY, "lost")
    error.__cause__ = cause
    copied = copy_error(error)
    assert copied is not error
    assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))
    assert copied.__cause__ is cause


def test_a_group_is_sent_when_nothing_recent_is_on_its_way() -> None:
    assert pace.may_send(1.0, [], [], [], 1)
    assert not pace.may_send(1.0, [0.99], [], [], 1)
    assert not pace.may_send(1.0, [], [0.99], [], 1)
    assert pace.may_send(1.0, [0.9], [0.5], [], 1)
    assert not pace.may_send(1.0, [], [0.9], [], 1)
    assert pace.may_send(1.0, [], [0.99], [], pace.SECOND_GROUP)
    assert not pace.may_send(1.0, [0.99], [0.99], [], pace.SECOND_GROUP)
    assert not pace.may_send(1.0, [], [0.0] * pace.MAX_GROUPS, [], 1000)
    # A group that has not chosen its writes yet will take those that wait.
    assert not pace.may_send(1.0, [], [0.99], [0.99], pace.SECOND_GROUP)
    assert pace.may_send(1.0, [], [0.9], [0.9], pace.SECOND_GROUP)
