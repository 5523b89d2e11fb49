"""Calls of every function: results, columns, error texts and SQLSTATEs are those of the genuine."""

from __future__ import annotations

import uuid

import pytest

from tests.conformance.calls import Pair

CORRELATED = (
    ("thisComponent-789", "c-corr1"),
    ("thisComponent", "c-corr2"),
    ("thisComponent:command-1", "c-corr3"),
    ("other-1", "c-corr4"),
)

# Streams of several shapes: ids, compound ids, none, empty ones, types, other scripts.
STREAMS = (
    *("cg-1", "cg-1+x", "cg-1+y", "cg-2", "cg-3", "cg-4", "cg-5", "cg-abc", "cg-abc+1", "cg-1-2"),
    *("cg-", "cg", "other-1", "", "-", "-123", "account:command-123", "account:command"),
    *("account:command+position-xyz", "konto-é", "konto-日本語", "konto-🎈"),
)

WRITE = "select write_message(%s::varchar, %s::varchar, %s::varchar, %s::jsonb, %s::jsonb, %s)"


def message_id(number: int) -> str:
    return str(uuid.UUID(int=number))


@pytest.fixture
def filled(pair: Pair) -> Pair:
    number = 0
    for round_number in range(3):
        for name in STREAMS:
            number += 1
            data = f'{{"n": {number}, "name": "é日本"}}' if number % 4 else None
            kind = "Odd" if (number + round_number) % 2 else "Even"
            assert not pair.same(WRITE, [message_id(number), name, kind, data, None, None]).error
    for origin, name in CORRELATED:
        number += 1
        metadata = f'{{"correlationStreamName": "{origin}"}}'
        assert not pair.same(WRITE, [message_id(number), name, "T", "{}", metadata, None]).error
    return pair


READS = (
    *(f"select * from get_stream_messages('{name}')" for name in STREAMS),
    *(f"select * from get_category_messages('{name}')" for name in STREAMS),
    *(f"select * from get_last_stream_message('{name}')" for name in STREAMS),
    *(f"select * from get_last_stream_message('{name}', 'Odd')" for name in STREAMS),
    *(f"select stream_version('{name}'), acquire_lock('{name}')" for name in STREAMS),
    *(
        f"select * from get_category_messages('cg', 1, 1000, null, {member}, {size})"
        for size in range(1, 9)
        for member in range(size)
    ),
    *(
        f"select * from get_category_messages('c', correlation => '{correlation}')"
        for correlation in ("thisComponent", "thisComponent:command", "other", "", "x-1")
    ),
    "select * from get_category_messages('c', 1, 1000, 'thisComponent', 0, 1)",
    "select * from get_category_messages('c', 1, 1000, 'thisComponent', 0, 2)",
    "select * from get_category_messages('c', 1, 1000, 'thisComponent', 1, 2)",
    *(
        f"select * from get_{kind}({name!r}, {position}, {size})"
        for kind, name in (("stream_messages", "cg-1"), ("category_messages", "cg"))
        for position in ("null", "-5", "0", "1", "2", "999999999999")
        for size in ("null", "-1", "0", "1", "2", "-2", "-1000")
    ),
    "select * from get_stream_messages('someStream')",
    "select * from get_stream_messages('')",
    "select * from get_stream_messages(null)",
    "select * from get_category_messages('someStream-123')",
    "select * from get_category_messages(null)",
    "select * from get_category_messages('nothing')",
    "select * from get_last_stream_message(null)",
    "select * from get_last_stream_message('cg-1', null)",
    "select * from get_last_stream_message('cg-1', '')",
    "select * from get_last_stream_message('nothing-1')",
    "select stream_version(null), stream_version('nothing-1')",
    "select acquire_lock(null), acquire_lock(''), acquire_lock('a-1'), acquire_lock('a')",
    "select message_store_version()",
    "select count(get_stream_messages('cg-1'))",
    "select (get_last_stream_message('cg-1')).*",
    "select position, global_position, id from get_category_messages(category => 'cg',"
    ' "position" => 3, batch_size => 2)',
    "select position from get_stream_messages(stream_name => 'cg-1', batch_size => 1)",
    "select type from get_last_stream_message(stream_name => 'cg-1', type => 'Even')",
)

REFUSALS = (
    ("select * from get_category_messages('c', 1, 10, 'x-1')", "Correlation must be a category"),
    ("select * from get_category_messages('c-1', 1, 10, 'x-1', 1)", "Must be a category: c-1"),
    ("select * from get_category_messages('c', 1, 10, 'x-1', 1)", "Correlation must be a"),
    *(
        (f"select * from get_category_messages('c', 1, 10, null, {member}, {size})", words)
        for member, size, words in (
            ("1", "null", "Consumer group member and size must be specified"),
            ("null", "1", "Consumer group member and size must be specified"),
            ("-1", "null", "Consumer group member and size must be specified"),
            ("0", "0", "Consumer group size must not be less than 1"),
            ("-1", "0", "Consumer group size must not be less than 1"),
            ("0", "-3", "Consumer group size must not be less than 1"),
            ("-1", "1", "Consumer group member must not be less than 0"),
            ("1", "1", "Consumer group member must be less than the group size"),
            ("2", "1", "Consumer group member must be less than the group size"),
            ("40000", "40000", "Consumer group member must be less than the group size"),
            ("0", "32768", "smallint out of range"),
            ("0", "99999999999", "smallint out of range"),
        )
    ),
    (
        "select * from get_category_messages('c', consumer_group_member => 1, condition => '1=1')",
        "Consumer group member and size must be specified",
    ),
    (
        "select * from get_category_messages('c', 1, -2, null, 0, 99999)",
        "smallint out of range",
    ),
    ("select * from get_category_messages('nothing', batch_size => -2)", "LIMIT must not be"),
    ("select * from get_stream_messages('c', condition => '1=1')", "Must be a stream name: c"),
    ("select * from get_stream_messages('c-1', condition => '1=1')", "Retrieval with SQL"),
    ("select * from get_category_messages('c', condition => '1=1')", "Retrieval with SQL"),
    ("select * from get_category_messages(category_name => 'c')", "function get_category"),
    ("select write_message(gen_random_uuid(), 'a-1', 'T', '{}'::jsonb)", "function write_message"),
    ("select write_message('x', 'a-1', 'T', '{}'::json)", "function write_message"),
    ("select hash_64(1)", "function hash_64"),
)


@pytest.mark.parametrize("text", READS)
def test_a_read_gives_what_the_genuine_gives(filled: Pair, text: str) -> None:
    outcome = filled.same(text)
    assert outcome.columns or outcome.error


@pytest.mark.parametrize(("text", "words"), REFUSALS)
def test_a_refusal_has_the_genuine_words(pair: Pair, text: str, words: str) -> None:
    assert pair.same(text).message.startswith(words)


def test_the_largest_group_size(filled: Pair) -> None:
    assert not filled.same("select * from get_category_messages('cg', 1, 9, null, 0, 32767)").error


def test_reads_work_in_a_read_only_transaction(filled: Pair) -> None:
    filled.both("set default_transaction_read_only = on")
    assert filled.same("select * from get_stream_messages('cg-1')").rows
    assert filled.same("select * from get_category_messages('cg', 1, 5, null, 0, 2)").rows
    assert filled.same("select stream_version('cg-1')").rows == [(2,)]
    written = filled.same(WRITE, [message_id(10**6), "cg-1", "T", "{}", None, None])
    assert written.sqlstate == "25006"
