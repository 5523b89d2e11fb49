"""Written messages, their positions, and the reasons to refuse a write, in the genuine order."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.conformance.calls import Pair

WRITE = "select write_message(%s::varchar, %s::varchar, %s::varchar, %s::jsonb, %s::jsonb, %s)"
TABLE = "select global_position, position, stream_name, type, data, metadata, id from messages"

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))

# Each write: id, stream, type, data, metadata, expected version; then the state or position.
SEQUENCES: dict[str, list[tuple[list[Any], Any]]] = {
    "positions": [
        ([A, "s-1", "T", "{}", None, None], 0),
        ([B, "s-1", "T", "{}", None, None], 1),
        ([C, "s-2", "T", "{}", None, None], 0),
    ],
    "expected versions": [
        ([A, "s-1", "T", "{}", None, -1], 0),
        ([B, "s-1", "T", "{}", None, -1], "P0001"),
        ([B, "s-1", "T", "{}", None, 5], "P0001"),
        ([B, "s-1", "T", "{}", None, -2], "P0001"),
        ([B, "s-1", "T", "{}", None, 0], 1),
        ([C, "s-2", "T", "{}", None, 0], "P0001"),
    ],
    "the version is looked at before the id": [
        ([A, "s-1", "T", "{}", None, -1], 0),
        ([A, "s-1", "T", "{}", None, -1], "P0001"),
        ([A, "s-1", "T", "{}", None, 0], "23505"),
        ([A, "s-2", "T", "{}", None, None], "23505"),
        (["no-uuid", "s-1", "T", "{}", None, 7], "P0001"),
        ([None, "s-1", "T", "{}", None, 7], "P0001"),
        (["no-uuid", "s-1", None, "{}", None, 0], "22P02"),
        ([B, "s-1", "T", "{}", None, None], 1),
    ],
    "a failed insert uses a global position up, a refused one does not": [
        ([None, "s-1", "T", "{}", None, None], "23502"),
        ([A, "s-1", None, "{}", None, None], "23502"),
        ([A, None, "T", "{}", None, None], "23502"),
        ([A, None, "T", "{}", None, 4], "P0001"),
        (["", "s-1", "T", "{}", None, None], "22P02"),
        ([A, "s-1", "T", "{}", None, 9], "P0001"),
        ([A, "s-1", "T", "{}", None, None], 0),
        ([A, "s-1", "T", "{}", None, None], "23505"),
        ([B, "s-1", "T", "{}", None, None], 1),
    ],
    "ids in other forms": [
        (["00000000000000000000000000000001", "s-1", "T", "{}", None, None], 0),
        (["{00000000-0000-0000-0000-000000000002}", "s-1", "T", "{}", None, None], 1),
        (["00000000-0000-0000-0000-00000000000A", "s-1", "T", "{}", None, None], 2),
    ],
    "data of every kind": [
        ([A, "s-1", "T", None, None, None], 0),
        ([B, "s-1", "T", "null", "null", None], 1),
        ([C, "s-1", "T", "7", '"text"', None], 2),
        ([str(uuid.UUID(int=4)), "s-1", "T", '{"b":1.10,"a":1e2,"a":2, "n":1e16}', "[]", None], 3),
        ([str(uuid.UUID(int=5)), "s-1", "T", r'{"a": "\u0000"}', None, None], "22P05"),
        ([str(uuid.UUID(int=6)), "s-1", "", "{}", "{}", None], 4),
    ],
    "names without a rule": [
        ([A, "", "T", "{}", None, None], 0),
        ([B, "-", "T", "{}", None, None], 0),
        ([C, "noid", "T", "{}", None, -1], 0),
        ([str(uuid.UUID(int=4)), "a-" + "é" * 20, "T", "{}", None, None], 0),
        ([str(uuid.UUID(int=5)), "".join(chr(i) for i in range(256, 9000)), "T", "{}", None, 0], 1),
    ],
}
SEQUENCES["names without a rule"][-1] = (SEQUENCES["names without a rule"][-1][0], "P0001")


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_of_writes(pair: Pair, name: str) -> None:
    for arguments, expected in SEQUENCES[name]:
        outcome = pair.same(WRITE, arguments)
        found = outcome.sqlstate if outcome.error else outcome.rows[0][0]
        assert found == expected, arguments
    assert pair.same(f"{TABLE} order by global_position").rows
    assert pair.same("select * from get_category_messages('s')").columns


def test_a_name_longer_than_the_index_takes(pair: Pair) -> None:
    # Random characters: what compresses well may be longer.
    name = "s-" + "".join(str(uuid.uuid4()) for _ in range(90))
    outcome = pair.same(WRITE, [A, name, "T", "{}", None, None])
    assert outcome.sqlstate == "54000"


def test_several_writes_in_one_statement_are_one(pair: Pair) -> None:
    text = (
        "select write_message(id, 's-1', 'T', '{}'::jsonb, null, version)"
        " from unnest(%s::varchar[], %s::bigint[]) with ordinality as v(id, version, n) order by n"
    )
    assert pair.same(text, [[A, B, C], [-1, 0, 1]]).rows == [(0,), (1,), (2,)]
    ids = [str(uuid.UUID(int=number)) for number in (4, 5, 6)]
    assert pair.same(text, [ids, [2, 3, 3]]).sqlstate == "P0001"
    assert pair.same("select count(*) from messages").rows == [(3,)]


def test_the_time_is_that_of_the_transaction_in_utc(pair: Pair) -> None:
    pair.both("set timezone = 'Asia/Tokyo'")
    pair.both("begin")
    pair.both(WRITE, [A, "s-1", "T", "{}", None, None])
    pair.both(WRITE, [B, "s-2", "T", "{}", None, None])
    same_time = (
        "select count(distinct time), bool_and(time = now() at time zone 'utc') from messages"
    )
    assert pair.same(same_time).rows == [(1, True)]
    pair.both("commit")


def test_the_defaults_of_the_table(pair: Pair) -> None:
    pair.both("insert into messages (stream_name, type, position) values ('d-1', 'T', 0)")
    filled = "select global_position, data, metadata, id is null, time is null from messages"
    assert pair.same(filled).rows == [(1, None, None, False, False)]
    again = "insert into messages (stream_name, type, position) values ('d-1', 'T', 0)"
    assert pair.same(again).error[-1] == "messages_stream"
