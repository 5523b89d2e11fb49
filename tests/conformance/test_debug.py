"""The notices of the debug settings, line for line, and the gate of the SQL condition."""

from __future__ import annotations

import uuid

import pytest

from tests.conformance.calls import Pair

IDS = [str(uuid.UUID(int=number)) for number in range(1, 7)]

CALLS = (
    f"select write_message('{IDS[0]}', 's-1', 'T', '{{\"a\": 1}}', '{{\"m\": 1}}', -1)",
    f"select write_message('{IDS[1]}', 's-1', 'T', null)",
    f"select write_message('{IDS[2]}', 's-1', 'T', '{{}}', null, 9)",
    f"select write_message('{IDS[1]}', 's-1', 'T', '{{}}')",
    "select write_message('no-uuid', 's-1', 'T', '{}')",
    f"select write_message('{IDS[2]}', null, 'T', '{{}}')",
    "select acquire_lock('s-1'), acquire_lock(null)",
    "select stream_version('s-1')",
    "select category('s-1'), id('s-1'), cardinal_id('s-1'), is_category('s-1'), hash_64('s')",
    "select message_store_version()",
    "select * from get_stream_messages('s-1')",
    "select * from get_stream_messages('s-1', null, null)",
    "select * from get_stream_messages('s-1', 1, -1)",
    "select * from get_stream_messages('s-1', 1, -2)",
    "select * from get_stream_messages('s')",
    "select * from get_stream_messages('s-1', 0, 10, 'position = 0')",
    "select * from get_stream_messages('s-1', 0, 10, 'nonsense(')",
    "select * from get_category_messages('s')",
    "select * from get_category_messages('s', null, null)",
    "select * from get_category_messages('s', 2, -1, 'x', 0, 1)",
    "select * from get_category_messages('s', 2, 10, null, 0, 99999)",
    "select * from get_category_messages('s', 2, 10, 'x-1')",
    "select * from get_category_messages('s', 0, 10, 'x', 0, 1, 'position = 0')",
    "select * from get_last_stream_message('s-1')",
    "select * from get_last_stream_message('s-1', 'T')",
    "select * from get_last_stream_message(null, 'T')",
)


@pytest.mark.parametrize("condition", ["on", "off"])
@pytest.mark.parametrize(
    ("setting", "value", "speaks"),
    [
        ("debug", "on", True),
        ("debug_get", "on", True),
        ("debug_write", "on", True),
        ("debug", "off", False),
        ("debug", "true", False),
        ("debug_get", "ON", False),
        ("debug_write", "", False),
    ],
)
def test_the_notices(pair: Pair, setting: str, value: str, speaks: bool, condition: str) -> None:
    pair.both(f"set message_store.{setting} = '{value}'")
    pair.both(f"set message_store.sql_condition = {condition}")
    notices = [notice for text in CALLS for notice in pair.same(text).notices]
    assert bool(notices) is speaks
    if speaks:
        assert notices[0].startswith("» ")


CONDITIONS = (
    "position = 0 or position = 2",
    "messages.position = 1",
    "type like '%'",
    "type like '%s%I%%'",
    "data->>'n' = '1'",
    "1=1) or (1=1",
    "category(stream_name) = 's'",
    "position < $3",
    "$1 = 's-1' or $1 = 's'",
    "$7 = 1",
    "false",
    "null",
    "",
    "garbage(",
    "no_such_column = 1",
    "global_position in (select max(global_position) from messages)",
)
GROUP = "consumer_group_member => 0, consumer_group_size => 1, correlation => 'other'"


@pytest.fixture
def written(pair: Pair) -> Pair:
    for number, name in enumerate(("s-1", "s-1", "s-1", "s-2", "other-1")):
        text = "select write_message(%s, %s, 'T', %s::jsonb, %s::jsonb)"
        metadata = '{"correlationStreamName": "other-1"}' if number % 2 else None
        pair.both(text, [IDS[number], name, f'{{"n": {number}}}', metadata])
    return pair


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition(written: Pair, condition: str) -> None:
    written.both("set message_store.sql_condition = on")
    quoted = condition.replace("'", "''")
    for call in (
        f"get_stream_messages('s-1', condition => '{quoted}')",
        f"get_stream_messages('s-1', 1, -1, '{quoted}')",
        f"get_category_messages('s', condition => '{quoted}')",
        f"get_category_messages('s', {GROUP}, condition => '{quoted}')",
    ):
        outcome = written.same(
            f"select * from (select * from {call}) as m order by global_position"
        )
        assert outcome.columns or outcome.error


def test_the_parameters_that_a_condition_can_name(written: Pair) -> None:
    written.both("set message_store.sql_condition = on")
    kinds = " || '' '' || ".join(f"pg_typeof(${number})" for number in range(1, 7))
    text = f"select * from get_category_messages('s', {GROUP}, condition => '({kinds})::int = 1')"
    assert "bigint smallint" in written.same(text).message


@pytest.mark.parametrize(
    ("value", "refused"),
    [(None, True), ("off", True), ("on", False), ("OFF", False), ("", False), ("no", False)],
)
def test_only_unset_and_off_refuse_a_condition(
    written: Pair, value: str | None, refused: bool
) -> None:
    if value is not None:
        written.both(f"set message_store.sql_condition = '{value}'")
    for call in ("get_stream_messages('s-1'", "get_category_messages('s'"):
        outcome = written.same(f"select * from {call}, condition => 'position = 0')")
        assert (outcome.message == "Retrieval with SQL condition is not activated") is refused
        assert bool(outcome.rows) is not refused


def test_a_setting_of_a_transaction_stays_on_after_it(written: Pair) -> None:
    for end in ("commit", "rollback"):
        written.both("begin")
        written.both("set local message_store.sql_condition = on")
        written.both(end)
        assert written.same("select * from get_stream_messages('s-1', condition => 'true')").rows
