"""The decision about a message whose handler failed or returned an outcome."""

from __future__ import annotations

import pickle
from typing import Any

import psycopg
import pytest

from messagedb import (
    MessageDecodeError,
    OutcomeUnknownError,
    Park,
    Retry,
    RetryPolicy,
    Skip,
    Stop,
    StoreUnavailableError,
    ValidationError,
)
from messagedb._consumers.failure_policy import (
    ConsultOnError,
    FinalAction,
    InvalidResultError,
    RetryAfter,
    choose_action,
    find_full_tablespace,
    find_problem,
    may_come_from_past_outage,
    parse_on_error_result,
)
from messagedb._subscriptions.availability import is_store_unavailable
from messagedb.consumers import NO_RETRY, HandlerOutcome
from messagedb.errors import PoolTimeoutError

POLICY = RetryPolicy(max_attempts=3, delay=2, jitter=False)
UNREADABLE = MessageDecodeError("account-1", 0, 1, "data", "it is no JSON")


def test_an_error_is_tried_again_and_then_asked_about() -> None:
    error = RuntimeError("broken")
    made = [
        choose_action(error, attempt, 0, POLICY, is_unavailable=False) for attempt in (1, 2, 3, 4)
    ]
    assert made == [
        RetryAfter(2, counts=True),
        RetryAfter(4, counts=True),
        ConsultOnError(),
        ConsultOnError(),
    ]
    assert choose_action(error, 1, 0, NO_RETRY, is_unavailable=False) == ConsultOnError()


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (Park("p"), FinalAction("park", "p")),
        (Skip("s"), FinalAction("skip", "s")),
        (Stop("x"), FinalAction("stop", "x")),
        (Park(), FinalAction("park", "")),
    ],
)
def test_an_outcome_is_the_last_word(outcome: HandlerOutcome, end: FinalAction) -> None:
    for attempt in (1, 3):
        assert choose_action(outcome, attempt, 0, POLICY, is_unavailable=False) == end
    assert parse_on_error_result(outcome, 1, POLICY) == end


def test_retry_says_when_and_counts() -> None:
    assert choose_action(Retry(7), 1, 0, POLICY, is_unavailable=False) == RetryAfter(7, counts=True)
    assert choose_action(Retry(0), 2, 0, POLICY, is_unavailable=False) == RetryAfter(0, counts=True)
    assert choose_action(Retry(), 2, 0, POLICY, is_unavailable=False) == RetryAfter(4, counts=True)
    assert choose_action(Retry(7), 3, 0, POLICY, is_unavailable=False) == ConsultOnError()


def test_an_undecodable_message_consults_on_error_without_retries() -> None:
    assert choose_action(UNREADABLE, 1, 0, POLICY, is_unavailable=False) == ConsultOnError()


def test_while_the_store_is_away_no_attempt_counts_and_waits_grow_to_a_limit() -> None:
    error = StoreUnavailableError("away")
    longest = 0.0
    for failures in range(100):
        decision = choose_action(error, 3, failures, NO_RETRY, is_unavailable=True)
        assert isinstance(decision, RetryAfter)
        assert not decision.counts
        assert 0.05 <= decision.delay <= 5
        longest = max(longest, decision.delay)
    assert longest > 2


def test_an_invalid_result_stops_without_retries() -> None:
    wrong = find_problem("park")
    assert isinstance(wrong, InvalidResultError)
    for attempt in (1, 3):
        assert choose_action(wrong, attempt, 0, POLICY, is_unavailable=False) == FinalAction(
            "stop", ""
        )


def test_a_handler_parks_as_on_error_would_unless_it_says_how() -> None:
    for stream, by_default, with_streams in (
        (None, "park", "park_stream"),
        (True, "park_stream", "park_stream"),
        (False, "park", "park"),
    ):
        outcome = Park("p", stream=stream)
        for parks_streams, action in ((False, by_default), (True, with_streams)):
            found = choose_action(
                outcome, 1, 0, POLICY, is_unavailable=False, parks_streams=parks_streams
            )
            assert isinstance(found, FinalAction)
            assert (found.action, found.reason) == (action, "p")
        assert pickle.loads(pickle.dumps(outcome)).stream is stream
    wrong: Any = "yes"
    with pytest.raises(ValidationError, match="stream must be True, False or None"):
        Park(stream=wrong)


def test_an_outcome_of_a_class_that_does_not_call_ours_still_says_what_it_is() -> None:
    class Later(Retry):
        def __init__(self, number: int) -> None:
            self.number = number

    class Broken(Park):
        def __init__(self, number: int) -> None:
            self.number = number

    assert choose_action(Later(1), 1, 0, POLICY, is_unavailable=False) == RetryAfter(2, counts=True)
    assert choose_action(Broken(1), 1, 0, POLICY, is_unavailable=False) == FinalAction("park", "")


def test_valid_results_of_on_error() -> None:
    for word in ("stop", "park", "park_stream", "skip"):
        answer = parse_on_error_result(word, 1, POLICY)
        assert isinstance(answer, FinalAction)
        assert (answer.action, answer.reason) == (word, "")
    assert parse_on_error_result(Retry(7), 3, POLICY) == RetryAfter(7, counts=True)
    # Beyond the policy's attempts: its waits go on growing.
    assert parse_on_error_result(Retry(), 3, POLICY) == RetryAfter(8, counts=True)
    for wrong in (None, True, "retry", RuntimeError(), Park):
        with pytest.raises(ValidationError, match="on_error must return"):
            parse_on_error_result(wrong, 1, POLICY)


def test_which_errors_say_that_the_store_is_away() -> None:
    closed = StoreUnavailableError("closed")
    closed.is_transient = False
    unknown = OutcomeUnknownError("account-1", (), None, "lost")
    for error, away in (
        (StoreUnavailableError("away"), True),
        (PoolTimeoutError("full"), True),
        (unknown, True),
        (closed, False),
        (UNREADABLE, False),
        (OSError("disk"), False),
        (Park(), False),
    ):
        assert is_store_unavailable(error) is away, error


@pytest.mark.parametrize("kind", [Park, Skip, Stop, Retry])
def test_outcomes_refuse_what_is_no_reason_and_no_delay(kind: Any) -> None:
    for wrong in (None, 5, b"x"):
        with pytest.raises(ValidationError, match="reason must be a string"):
            kind(reason=wrong)
    assert kind(reason="x").reason == "x"
    assert str(kind(reason="x")) == "x"


def test_a_delay_is_seconds_or_none() -> None:
    assert Retry(0).delay == 0
    assert Retry(0.5).delay == 0.5
    assert Retry().delay is None
    wrong: Any
    for wrong in (-1, "5", True, float("nan")):
        with pytest.raises(ValidationError, match="delay"):
            Retry(wrong)


def test_outcomes_pickle() -> None:
    for outcome in (Park("p"), Skip(), Stop("x")):
        again = pickle.loads(pickle.dumps(outcome))
        assert (type(again), again.reason) == (type(outcome), outcome.reason)
    again = pickle.loads(pickle.dumps(Retry(5, "soon")))
    assert (again.delay, again.reason) == (5, "soon")


@pytest.mark.parametrize(
    ("error", "available_for", "expected"),
    [
        (psycopg.errors.ReadOnlySqlTransaction, None, True),
        (psycopg.errors.ReadOnlySqlTransaction, 0.5, True),
        (psycopg.errors.ReadOnlySqlTransaction, 1.5, False),
        (psycopg.errors.DiskFull, 0.5, True),
        (psycopg.errors.AdminShutdown, None, True),
        (psycopg.errors.AdminShutdown, 0.0, False),
        (psycopg.errors.QueryCanceled, None, False),
    ],
)
def test_a_refused_write_counts_a_second_after_the_outage_and_others_at_the_next_attempt(
    error: type[psycopg.Error], available_for: float | None, expected: bool
) -> None:
    assert may_come_from_past_outage(error("x"), available_for) is expected
    wrapped = StoreUnavailableError("unavailable")
    wrapped.__cause__ = error("x")
    assert may_come_from_past_outage(wrapped, available_for) is expected


def test_the_tablespace_of_a_full_disk_is_found_in_the_error() -> None:
    full = psycopg.errors.DiskFull(
        'could not extend file "pg_tblspc/16472/PG_18_202506291/5/7_fsm"'
    )
    unavailable = StoreUnavailableError("the disk is full")
    unavailable.__cause__ = full
    assert find_full_tablespace(full) == find_full_tablespace(unavailable) == (16472, 5)
    default = psycopg.errors.DiskFull('could not extend file "base/5/16473": No space left')
    other = psycopg.errors.IoError('could not read file "pg_tblspc/16472/PG_18_1/5/7"')
    assert [find_full_tablespace(error) for error in (default, other, OSError())] == [None] * 3
