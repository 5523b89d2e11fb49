"""Decisions about a message whose handler failed or returned an outcome. No I/O."""

from __future__ import annotations

import inspect
from typing import Any, Final, Literal, TypeAlias

import msgspec
import psycopg

from .._errors import MessageDecodeError, ValidationError
from .._subscriptions.backoff import RECONNECT_BACKOFF, RetryPolicy
from .._subscriptions.log_texts import shown
from .handler_outcomes import HandlerOutcome, Park, Retry, Skip, Stop

Policy: TypeAlias = Literal["stop", "park", "skip"]

POLICIES: Final = ("stop", "park", "skip")

_CANCELLED: Final = "57014"
# SQLSTATEs of refused writes: read-only, resources, limits, the operating system.
_OF_WRITES: Final = ("25006", "53", "54", "58")
# Seconds in which the sessions of a pool learn, one after the other, that writes are allowed again:
# a session reads the configuration before its next statement, once the server has signaled it.
_SESSIONS_LEARN: Final = 1.0


class Again(msgspec.Struct, frozen=True):
    """Call the handler again after a delay in seconds. *counts*: as another attempt."""

    delay: float
    counts: bool


class Settle(msgspec.Struct, frozen=True):
    """Park the message, skip it, or stop before it."""

    what: Policy
    reason: str


class Ask(msgspec.Struct, frozen=True):
    """Let ``on_error`` decide about the message."""


Decision: TypeAlias = Again | Settle | Ask


def decide(
    problem: BaseException, attempt: int, failures_of_store: int, policy: RetryPolicy, away: bool
) -> Decision:
    """Decide what to do with a message.

    Args:
        problem: the exception that the handler raised, or the outcome that it returned.
        attempt: the number of calls, from 1, without those that failed because of the store.
        failures_of_store: how often in a row the store was unavailable.
        policy: the number of attempts and the delays between them.
        away: True if the store, or its connection, was unavailable.
    """
    if away:
        return Again(RECONNECT_BACKOFF.get_backoff(failures_of_store + 1), counts=False)
    if isinstance(problem, Park | Skip | Stop):
        return final(problem)
    if isinstance(problem, WrongResult):
        # The code fails in the same way for every message: no other attempt, and no on_error.
        return Settle("stop", "")
    if isinstance(problem, MessageDecodeError):
        # Decoding it again would fail in the same way.
        return Ask()
    wait = policy.get_delay(attempt)
    if wait is None:
        return Ask()
    if isinstance(problem, Retry) and problem.delay is not None:
        wait = problem.delay
    return Again(wait, counts=True)


def final(outcome: Park | Skip | Stop) -> Settle:
    """Convert an outcome of a handler to the action to take."""
    what: Policy = (
        "park" if isinstance(outcome, Park) else "skip" if isinstance(outcome, Skip) else "stop"
    )
    return Settle(what, outcome.reason)


def answer_of_on_error(answer: Any, attempt: int, policy: RetryPolicy) -> Again | Settle:
    """Convert the result of a function ``on_error`` to the action to take.

    Raises:
        ValidationError: the result is not one of the actions.
    """
    if isinstance(answer, Park | Skip | Stop):
        return final(answer)
    if isinstance(answer, Retry):
        delay = policy.get_backoff(attempt) if answer.delay is None else answer.delay
        return Again(delay, counts=True)
    if answer == "stop":
        return Settle("stop", "")
    if answer == "park":
        return Settle("park", "")
    if answer == "skip":
        return Settle("skip", "")
    raise ValidationError(
        "on_error must return 'stop', 'park', 'skip', or one of Stop, Park, Skip, Retry, not "
        f"{shown(answer)}. The consumer stops before the message, and stores nothing of it."
    )


def may_have_passed(problem: BaseException) -> bool:
    """Return True if a handler's problem with a store may be over at the next attempt.

    It is not over if the server cancelled a statement that took too long.
    """
    return _state(problem) != _CANCELLED


def is_of_past_outage(problem: BaseException, available_for: float | None) -> bool:
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
    return is_write_refused(problem) and available_for < _SESSIONS_LEARN


def is_write_refused(problem: BaseException) -> bool:
    """Return True if a server refused a write, or lacked a resource for it."""
    return _state(problem).startswith(_OF_WRITES)


def _cause(problem: BaseException) -> psycopg.Error | None:
    """Return the error of the server or of libpq that caused a handler's error, or is it."""
    error = problem if isinstance(problem, psycopg.Error) else problem.__cause__
    return error if isinstance(error, psycopg.Error) else None


def _state(problem: BaseException) -> str:
    error = _cause(problem)
    return (error.sqlstate or "") if error is not None else ""


def cancelled(error: BaseException) -> Exception:
    """Return the error to report when an awaitable inside the handler was cancelled."""
    problem = RuntimeError("an awaitable that the handler waited for was cancelled")
    problem.__cause__ = error
    return problem


class WrongResult(TypeError):
    """A handler returned an invalid result: its code is wrong, so another attempt is useless."""


def problem_of(result: Any) -> Exception | None:
    """Return the outcome in a handler's result, or the error of an invalid result; None for None.

    Only an outcome is valid. A string, a class or an awaitable that was not awaited may mean that
    the message was not handled, so none of them is ignored.
    """
    if result is None or isinstance(result, HandlerOutcome):
        return result
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        what = f"an object of class {type(result).__name__}, which was not executed"
    else:
        what = f"{shown(result)}, which is not an outcome"
    return WrongResult(
        f"the handler returned {what}. Return None, or raise or return an outcome: Park(), Skip(), "
        "Stop() or Retry()"
    )
