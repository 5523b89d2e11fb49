"""Error text of a handler's problem, in one line."""

from __future__ import annotations

from typing import Final

from .._subscriptions.log_texts import escape_line
from .handler_outcomes import HandlerOutcome

_MAX_SEARCHED_CHARACTERS: Final = 200_000
"""The number of characters in which the first line is searched."""


def format_reason(problem: BaseException) -> str:
    """Format a problem in one line, with its class: for a parked message, an error and the log."""
    name = type(problem).__name__
    if isinstance(problem, HandlerOutcome):
        return escape_line(problem.reason) or name
    try:
        text = str.__getitem__(str(problem), slice(0, _MAX_SEARCHED_CHARACTERS)).strip()
    except Exception as error:
        return f"{name} (its text is not available: {type(error).__name__})"
    first = text.splitlines()[0] if text else ""
    return escape_line(f"{name}: {first}" if first else name)
