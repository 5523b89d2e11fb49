"""Decisions about a message whose handler failed or returned an outcome. No I/O."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final, Literal, TypeAlias

import msgspec
import psycopg

from .._errors import MessageDecodeError, ValidationError
from .._subscriptions.backoff import RECONNECT_BACKOFF, RetryPolicy
from .._subscriptions.log_texts import format_value
from .handler_outcomes import HandlerOutcome, Park, Retry, Skip, Stop

Policy: TypeAlias = Literal["stop", "park", "park_stream", "skip"]

POLICIES: Final[tuple[Policy, ...]] = ("stop", "park", "park_stream", "skip")

_CANCELLED: Final = "57014"
# SQLSTATEs of refused writes: read-only, resources, limits, the operating system.
_REFUSED_WRITE_STATES: Final = ("25006", "53", "54", "58")
_DISK_FULL: Final = "53100"
# Of a file outside the default tablespace: the numbers of its tablespace and of its database.
_TABLESPACE_FILE: Final = re.compile(r'"pg_tblspc/(\d+)/[^/"]+/(\d+)/')
# Seconds in which the sessions of a pool learn, one after the other, that writes are allowed again:
# a session reads the configuration before its next statement, once the server has signaled it.
_SETTINGS_RELOAD_SECONDS: Final = 1.0


class RetryAfter(msgspec.Struct, frozen=True):
    """Call the handler again after a delay in seconds. *counts*: as another attempt."""

    delay: float
    counts: bool


class FinalAction(msgspec.Struct, frozen=True):
    """Park the message (and those behind it in its stream), skip it, or stop before it."""

    action: Policy
    reason: str


class ConsultOnError(msgspec.Struct, frozen=True):
    """Let ``on_error`` decide about the message."""


NextAction: TypeAlias = RetryAfter | FinalAction | ConsultOnError


def choose_action(
    problem: BaseException,
    attempt: int,
    consecutive_outages: int,
    policy: RetryPolicy,
    is_unavailable: bool,
    *,
    parks_streams: bool = False,
) -> NextAction:
    """Decide what to do with a message.

    Args:
        problem: the exception that the handler raised, or the outcome that it returned.
        attempt: the number of calls, from 1, without those that failed because of the store.
        consecutive_outages: how often in a row the store was unavailable.
        policy: the number of attempts and the delays between them.
        is_unavailable: True if the store, or its connection, was unavailable.
        parks_streams: True if ``on_error`` is ``"park_stream"``.
    """
    if is_unavailable:
        return RetryAfter(RECONNECT_BACKOFF.get_backoff(consecutive_outages + 1), counts=False)
    if isinstance(problem, Park | Skip | Stop):
        return to_final_action(problem, parks_streams=parks_streams)
    if isinstance(problem, InvalidResultError):
        # The code fails in the same way for every message: no other attempt, and no on_error.
        return FinalAction("stop", "")
    if isinstance(problem, MessageDecodeError):
        # Decoding it again would fail in the same way.
        return ConsultOnError()
    delay = policy.get_delay(attempt)
    if delay is None:
        return ConsultOnError()
    if isinstance(problem, Retry) and problem.delay is not None:
        delay = problem.delay
    return RetryAfter(delay, counts=True)


def to_final_action(outcome: Park | Skip | Stop, *, parks_streams: bool = False) -> FinalAction:
    """Convert an outcome of a handler to the action to take."""
    action: Policy = "stop"
    if isinstance(outcome, Park):
        holds_stream = parks_streams if outcome.stream is None else outcome.stream
        action = "park_stream" if holds_stream else "park"
    elif isinstance(outcome, Skip):
        action = "skip"
    return FinalAction(action, outcome.reason)


def parse_on_error_result(
    result: Any, attempt: int, policy: RetryPolicy
) -> RetryAfter | FinalAction:
    """Convert the result of a function ``on_error`` to the action to take.

    Raises:
        ValidationError: the result is not one of the actions.
    """
    if isinstance(result, Park | Skip | Stop):
        return to_final_action(result)
    if isinstance(result, Retry):
        delay = policy.get_backoff(attempt) if result.delay is None else result.delay
        return RetryAfter(delay, counts=True)
    for action in POLICIES:
        if result == action:
            return FinalAction(action, "")
    raise ValidationError(
        "on_error must return 'stop', 'park', 'park_stream', 'skip', or one of Stop, Park, Skip, "
        f"Retry, not {format_value(result)}. The consumer stops before the message, and stores "
        "nothing of it."
    )


def may_have_passed(problem: BaseException) -> bool:
    """Return True if a handler's problem with a store may be over at the next attempt.

    It is not over if the server cancelled a statement that took too long.
    """
    return _get_sqlstate(problem) != _CANCELLED


def may_come_from_past_outage(problem: BaseException, available_for: float | None) -> bool:
    """Return True if an outage that is over may have caused a handler's problem.

    Args:
        problem: the exception that the handler raised.
        available_for: seconds since another attempt was found to have failed because of the same
            outage; None if there was none.
    """
    if not may_have_passed(problem):
        return False
    if available_for is None:
        return True
    return is_write_refused(problem) and available_for < _SETTINGS_RELOAD_SECONDS


def is_write_refused(problem: BaseException) -> bool:
    """Return True if a server refused a write, or lacked a resource for it."""
    return _get_sqlstate(problem).startswith(_REFUSED_WRITE_STATES)


def find_full_tablespace(problem: BaseException) -> tuple[int, int] | None:
    """Return the numbers of the tablespace whose disk is full, and of the database of the file.

    None for the default tablespace, and for other problems.
    """
    if _get_sqlstate(problem) != _DISK_FULL:
        return None
    match = _TABLESPACE_FILE.search(str(_get_psycopg_error(problem)))
    return None if match is None else (int(match[1]), int(match[2]))


def _get_psycopg_error(problem: BaseException) -> psycopg.Error | None:
    """Return the error of the server or of libpq that caused a handler's error, or is it."""
    error = problem if isinstance(problem, psycopg.Error) else problem.__cause__
    return error if isinstance(error, psycopg.Error) else None


def _get_sqlstate(problem: BaseException) -> str:
    error = _get_psycopg_error(problem)
    return (error.sqlstate or "") if error is not None else ""


def cancelled_dependency_error(error: BaseException) -> Exception:
    """Return the error to report when an awaitable inside the handler was cancelled."""
    problem = RuntimeError("an awaitable that the handler waited for was cancelled")
    problem.__cause__ = error
    return problem


class InvalidResultError(TypeError):
    """A handler returned an invalid result: its code is wrong, so another attempt is useless."""


def find_problem(result: Any, *, is_batch: bool = False) -> Exception | None:
    """Return the outcome in a handler's result, or the error of an invalid result; None for None.

    Only an outcome is valid. A string, a class or an awaitable that was not awaited may mean that
    the message was not handled, so none of them is ignored.
    """
    if result is None or isinstance(result, HandlerOutcome):
        return result
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        description = f"an object of class {type(result).__name__}, which was not executed"
    else:
        description = f"{format_value(result)}, which is not an outcome"
    text = (
        f"the handler returned {description}. Return None, or raise or return an outcome: Park(), "
        "Skip(), Stop() or Retry()"
    )
    if is_batch:
        text += (
            ". An outcome of a batch handler is for the whole list: its messages are then passed "
            "one by one, so that the next outcome is for one of them"
        )
    return InvalidResultError(text)
