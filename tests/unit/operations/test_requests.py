"""The result of a batch is decided without a database."""

from __future__ import annotations

import uuid

import msgspec
import pytest

from messagedb import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    DuplicateMessageError,
    MessageRegistry,
    NewMessage,
    WrongExpectedVersionError,
)
from messagedb._operations import batch_plan, requests, write_results
from messagedb.errors import ValidationError
from messagedb.expected_version import ExpectedVersion

IDS = [uuid.UUID(int=n) for n in range(4)]


def batch(*numbers: int, expected: ExpectedVersion = ANY) -> requests.WriteRequest:
    messages = [NewMessage("A", {"n": n}, id=IDS[n]) for n in numbers]
    return requests.build_batch_write(
        "s-1", messages, expected, decimals=False, registry=MessageRegistry()
    )


def found(**places: int) -> dict[str, tuple[str, int]]:
    return {str(IDS[int(name[1:])]): ("s-1", position) for name, position in places.items()}


@pytest.mark.parametrize(
    ("write", "version", "stored", "positions", "inserted"),
    [
        (batch(0, 1), -1, {}, [0, 1], 2),
        (batch(0, 1, expected=NO_STREAM), -1, {}, [0, 1], 2),
        (batch(0, 1, expected=4), 4, {}, [5, 6], 2),
        (batch(0, 1, expected=STREAM_EXISTS), 0, {}, [1, 2], 2),
        (batch(0, 1, expected=NO_STREAM), 7, found(_0=0, _1=1), [0, 1], 0),
        (batch(0, 1, 2), 5, found(_1=3), [6, 3, 7], 2),
        (batch(0, 1, expected=NO_STREAM), 0, found(_0=0), [0, 1], 1),
    ],
)
def test_plans(
    write: requests.WriteRequest,
    version: int,
    stored: dict[str, tuple[str, int]],
    positions: list[int],
    inserted: int,
) -> None:
    plan = batch_plan.plan_batch(write, version, stored)
    assert plan.positions == positions
    assert len(plan.to_insert) == inserted


@pytest.mark.parametrize(
    ("write", "version", "stored", "expected", "actual"),
    [
        (batch(0, expected=NO_STREAM), 0, {}, NO_STREAM, 0),
        (batch(0, expected=3), 2, {}, 3, 2),
        (batch(0, expected=STREAM_EXISTS), -1, {}, STREAM_EXISTS, -1),
        # The first is stored already, and the second finds another version than its own.
        (batch(0, 1, expected=NO_STREAM), 4, found(_0=0), 0, 4),
    ],
)
def test_conflicts(
    write: requests.WriteRequest,
    version: int,
    stored: dict[str, tuple[str, int]],
    expected: ExpectedVersion,
    actual: int,
) -> None:
    with pytest.raises(WrongExpectedVersionError) as caught:
        batch_plan.plan_batch(write, version, stored)
    assert (caught.value.expected_version, caught.value.actual_version) == (expected, actual)


def test_an_id_elsewhere_comes_before_the_version() -> None:
    with pytest.raises(DuplicateMessageError) as caught:
        batch_plan.plan_batch(batch(0, expected=9), 3, {str(IDS[0]): ("other-1", 2)})
    assert (caught.value.existing_stream_name, caught.value.existing_position) == ("other-1", 2)


@pytest.mark.parametrize(
    ("expected", "error", "decides"),
    [
        (3, WrongExpectedVersionError("s-1", 3, 4), True),
        # The lost write may be waiting for the very lock that makes the stream what it expects.
        (3, WrongExpectedVersionError("s-1", 3, 2), False),
        (STREAM_EXISTS, WrongExpectedVersionError("s-1", STREAM_EXISTS, -1), False),
        (ANY, DuplicateMessageError("i", "s-1", "t-1", 0), True),
        (ANY, ValidationError("no"), True),
        (ANY, RuntimeError("?"), False),
    ],
)
def test_errors_that_prove_a_lost_write_failed(
    expected: ExpectedVersion, error: Exception, decides: bool
) -> None:
    assert write_results.is_conclusive(batch(0, expected=expected), error) is decides


def test_chunks_hold_every_message_once_and_are_json() -> None:
    messages = [
        requests.EncodedMessage(str(uuid.UUID(int=n)), 'A"\\', '{"n": 1}', None)
        for n in range(12_001)
    ]
    arrays = batch_plan.build_json_chunks(messages)
    assert [count for count, _ in arrays] == [5000, 5000, 2001]
    decoded = [element for _, text in arrays for element in msgspec.json.decode(text)]
    assert [element["i"] for element in decoded] == [message.id for message in messages]
    assert decoded[0] == {"i": messages[0].id, "t": 'A"\\', "d": {"n": 1}, "m": None}
    large = [
        requests.EncodedMessage("i", "A", f'{{"t": "{"x" * 5_000_000}"}}', None) for _ in range(3)
    ]
    assert [count for count, _ in batch_plan.build_json_chunks(large)] == [1, 1, 1]
    assert batch_plan.build_json_chunks([]) == []


def test_copied_rows_are_escaped_as_copy_reads_them() -> None:
    messages = [
        NewMessage("A\tB\nC\rD\\E", {"text": "back\\slash \t tab é", "n": 1}, id=IDS[0]),
        NewMessage("Plain", None, metadata={"m": None}, id=IDS[1]),
    ]
    write = requests.build_batch_write(
        "s-\t1\\", messages, ANY, decimals=False, registry=MessageRegistry()
    )
    rows = (
        b"".join(batch_plan.iter_copy_blocks(write.stream_name, write.encoded, 6))
        .decode()
        .split("\n")
    )
    assert rows.pop() == ""
    first, second = (row.split("\t") for row in rows)
    assert first[:4] == [str(IDS[0]), r"s-\t1\\", "7", r"A\tB\nC\rD\\E"]
    assert msgspec.json.decode(first[4].replace("\\\\", "\\")) == messages[0].data
    assert first[5] == second[4] == r"\N"
    assert second[2:4] == ["8", "Plain"]
    assert second[5] == '{"m":null}'


def test_copied_blocks_are_neither_many_nor_large() -> None:
    messages = [NewMessage("A", {"text": "x" * 1000}) for _ in range(1000)]
    write = requests.build_batch_write(
        "s-1", messages, ANY, decimals=False, registry=MessageRegistry()
    )
    blocks = list(batch_plan.iter_copy_blocks(write.stream_name, write.encoded, -1))
    assert 2 <= len(blocks) <= 10
    assert max(map(len, blocks)) < 300_000
    positions = [int(row.split(b"\t")[2]) for block in blocks for row in block.splitlines()]
    assert positions == list(range(1000))


@pytest.mark.parametrize("text", ["\\" * 16_000_000, "é" * 16_000_000])
def test_a_large_message_is_copied_in_blocks_as_small_ones_are_in_rows(text: str) -> None:
    json = f'{{"text":"{text}"}}'
    small = requests.EncodedMessage(str(IDS[0]), "A", '{"a":1}', None)
    large = requests.EncodedMessage(str(IDS[1]), "B\t", json, None)
    other = requests.EncodedMessage(str(IDS[2]), "C", None, json)
    blocks = list(batch_plan.iter_copy_blocks("s-1", [small, large, other, small], -1))
    assert max(map(len, blocks)) < 600_000
    assert b"".join(blocks).decode().split("\n") == [
        f'{IDS[0]}\ts-1\t0\tA\t{{"a":1}}\t\\N',
        f"{IDS[1]}\ts-1\t1\tB\\t\t{json.replace(chr(92), chr(92) * 2)}\t\\N",
        f"{IDS[2]}\ts-1\t2\tC\t\\N\t{json.replace(chr(92), chr(92) * 2)}",
        f'{IDS[0]}\ts-1\t3\tA\t{{"a":1}}\t\\N',
        "",
    ]
