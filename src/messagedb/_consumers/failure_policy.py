"""What becomes of a message whose handler failed, or said what it wants: decisions only."""

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
# Read-only, resources, limits, the operating system.
_OF_WRITES: Final = ("25006", "53", "54", "58")


class Again(msgspec.Struct, frozen=True):
    """Call the handler again after so many seconds. *counts*: whether it is another attempt."""

    delay: float
    counts: bool


class Settle(msgspec.Struct, frozen=True):
    """Do this with the message: park it, skip it, or stop before it."""

    what: Policy
    reason: str


class Ask(msgspec.Struct, frozen=True):
    """Do with the message as ``on_error`` says."""


Decision: TypeAlias = Again | Settle | Ask


def decide(
    problem: BaseException, attempt: int, failures_of_store: int, policy: RetryPolicy, away: bool
) -> Decision:
    """Decide what becomes of a message.

    Args:
        problem: what the handler raised, or the outcome that it returned.
        attempt: how often it was called, from 1, those not counted for which the store was away.
        failures_of_store: how often in a row the store was away.
        policy: when it is called again.
        away: whether the problem is that the store, or its connection, was away.
    """
    if away:
        return Again(RECONNECT_BACKOFF.get_backoff(failures_of_store + 1), counts=False)
    if isinstance(problem, Park | Skip | Stop):
        return final(problem)
    if isinstance(problem, WrongResult):
        # Neither another attempt nor on_error is for what the code does wrong with every message.
        return Settle("stop", "")
    if isinstance(problem, MessageDecodeError):
        # It will read the same the next time.
        return Ask()
    wait = policy.get_delay(attempt)
    if wait is None:
        return Ask()
    if isinstance(problem, Retry) and problem.delay is not None:
        wait = problem.delay
    return Again(wait, counts=True)


def final(outcome: Park | Skip | Stop) -> Settle:
    """What a handler's own word is."""
    what: Policy = (
        "park" if isinstance(outcome, Park) else "skip" if isinstance(outcome, Skip) else "stop"
    )
    return Settle(what, outcome.reason)


def answer_of_on_error(answer: Any, attempt: int, policy: RetryPolicy) -> Again | Settle:
    """What a callable ``on_error`` answered.

    Raises:
        ValidationError: it is no answer.
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
        "on_error must give 'stop', 'park', 'skip', or one of Stop, Park, Skip, Retry, not "
        f"{shown(answer)}. The consumer stops before the message; nothing of it is stored."
    )


def may_have_passed(problem: BaseException) -> bool:
    """Whether what made a handler fail for a store may be over when that store is asked next.

    Not so where the server cancelled a statement that took too long.
    """
    return _state(problem) != _CANCELLED


def is_write_refused(problem: BaseException) -> bool:
    """Whether a server was there and did not take a write, or lacked what a write needs."""
    return _state(problem).startswith(_OF_WRITES)


def _cause(problem: BaseException) -> psycopg.Error | None:
    """The server's or libpq's error behind a handler's, which may be that itself."""
    error = problem if isinstance(problem, psycopg.Error) else problem.__cause__
    return error if isinstance(error, psycopg.Error) else None


def _state(problem: BaseException) -> str:
    error = _cause(problem)
    return (error.sqlstate or "") if error is not None else ""


def cancelled(error: BaseException) -> Exception:
    """What is wrong where something that a handler waited for was cancelled by somebody else."""
    problem = RuntimeError("what the handler waited for was cancelled")
    problem.__cause__ = error
    return problem


class WrongResult(TypeError):
    """A handler gave what says nothing of its message: its code is wrong, and stays so."""


def problem_of(result: Any) -> Exception | None:
    """Give what a handler's result says of its message, or what is wrong with it; None for nothing.

    Only an outcome says something. A word, a class or something that nobody runs may be meant to
    say that the message was not handled, so that none of them is passed over.
    """
    if result is None or isinstance(result, HandlerOutcome):
        return result
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        what = f"an object of class {type(result).__name__}, which nobody runs: it has done nothing"
    else:
        what = f"{shown(result)}, which says nothing of its message"
    return WrongResult(
        f"the handler gave {what}. It may give None, or raise or give an outcome: Park(), Skip(), "
        "Stop() or Retry()"
    )
