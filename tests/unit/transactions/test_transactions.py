"""How a transaction is begun, locked and run again is decided without a database."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from messagedb import RetryableError, ValidationError, WrongExpectedVersionError, streams
from messagedb._connection.settings import Settings
from messagedb._operations.category_locks import get_category_lock, sort_for_locking
from messagedb._transactions.options import (
    build_begin,
    build_options,
    check_writable,
)
from messagedb._transactions.retry import get_retry_delay

SETTINGS = Settings(
    conninfo="",
    schema="message_store",
    min_size=1,
    max_size=10,
    timeout=10.0,
    command_timeout=5.0,
    pooler=None,
    direct_writes=None,
    default_batch_size=1000,
    decimals=False,
)


def text(version: int = 180000, **arguments: Any) -> list[str]:
    given: dict[str, Any] = {
        "isolation": None,
        "read_only": False,
        "timeout": 30.0,
        "categories": (),
    }
    options = build_options(**{**given, **arguments})
    return build_begin(options, SETTINGS, version).decode().split("; ")


def test_a_transaction_begins_with_its_limits_in_milliseconds() -> None:
    assert text(timeout=30.0) == [
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "SET LOCAL statement_timeout = 5000",
        "SET LOCAL idle_in_transaction_session_timeout = 30000",
        "SET LOCAL transaction_timeout = 0",
        "SET LOCAL transaction_timeout = 30000",
    ]
    assert text(timeout=0.0015)[1:] == [
        "SET LOCAL statement_timeout = 2",
        "SET LOCAL idle_in_transaction_session_timeout = 2",
        "SET LOCAL transaction_timeout = 0",
        "SET LOCAL transaction_timeout = 2",
    ]


def test_a_server_before_17_has_no_limit_for_the_whole() -> None:
    assert not any("transaction_timeout" in part for part in text(160004) if "idle" not in part)


@pytest.mark.parametrize("level", list(IsolationLevel))
def test_levels_and_read_only(level: IsolationLevel) -> None:
    name = level.name.replace("_", " ")
    begin = text(isolation=level, read_only=True)[0]
    assert begin == f"BEGIN ISOLATION LEVEL {name} READ ONLY"


def test_locks_come_in_one_order_once_each_and_are_marked() -> None:
    names = [f"category{n}" for n in range(20)]
    keys = sorted(streams.hash_64(name) for name in names)
    shuffled = random.Random(1).sample(names, 20) + names[:5]
    parts = text(categories=shuffled)[5:]
    assert parts[:-1] == [f"SELECT pg_advisory_xact_lock({key})" for key in keys]
    marks = "".join(f"|{key}|" for key in keys)
    assert parts[-1] == f"SELECT set_config('messagedb.locked', '{marks}', true), txid_current()"
    assert sort_for_locking(shuffled) == sort_for_locking(reversed(shuffled))


def test_a_stream_has_the_lock_of_its_category() -> None:
    assert (
        get_category_lock("account-1")
        == get_category_lock("account")
        == get_category_lock("account-")
    )
    assert get_category_lock("account:command-1") != get_category_lock("account-1")
    assert get_category_lock("account-1").key == streams.hash_64("account")


@pytest.mark.parametrize(
    ("isolation", "read_only", "fit"),
    [
        (None, False, True),
        (IsolationLevel.READ_UNCOMMITTED, False, True),
        (IsolationLevel.REPEATABLE_READ, False, False),
        (IsolationLevel.SERIALIZABLE, False, False),
        (None, True, False),
    ],
)
def test_writable_transaction_options(
    isolation: IsolationLevel | None, read_only: bool, fit: bool
) -> None:
    options = build_options(isolation, read_only, 30.0, ())
    if fit:
        check_writable(options)
    else:
        with pytest.raises(ValidationError, match="Nothing was"):
            check_writable(options)


@pytest.mark.parametrize(
    ("error", "asked", "again"),
    [
        (RetryableError("", "40P01"), False, True),
        (psycopg.errors.DeadlockDetected(), False, True),
        (psycopg.errors.SerializationFailure(), False, True),
        (psycopg.errors.LockNotAvailable(), False, True),
        (WrongExpectedVersionError("a-1", 0, 1), False, False),
        (WrongExpectedVersionError("a-1", 0, 1), True, True),
        (psycopg.errors.UniqueViolation(), True, False),
        (ValueError(), True, False),
    ],
)
def test_errors_after_which_a_transaction_is_retried(
    error: Exception, asked: bool, again: bool
) -> None:
    assert (get_retry_delay(error, 1, asked) is not None) is again


def test_the_delays_grow_to_a_second() -> None:
    error = RetryableError("")
    for attempt in range(1, 40):
        delays = [get_retry_delay(error, attempt, False) for _ in range(50)]
        limit = min(0.01 * 2**attempt, 1.0)
        assert all(delay is not None and 0 <= delay <= limit for delay in delays)
        assert len(set(delays)) > 25
