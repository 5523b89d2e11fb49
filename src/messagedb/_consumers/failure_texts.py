"""Error text of a handler's problem, in one line."""

from __future__ import annotations

from typing import Final

from .._subscriptions.log_texts import fit
from .handler_outcomes import HandlerOutcome

_LOOKED_AT: Final = 200_000
"""The number of characters in which the first line is searched."""


def reason_of(problem: BaseException) -> str:
    """Format a problem in one line, with its class: for a parked message, an error and the log."""
    name = type(problem).__name__
    if isinstance(problem, HandlerOutcome):
        return fit(problem.reason) or name
    try:
        text = str.__getitem__(str(problem), slice(0, _LOOKED_AT)).strip()
    except Exception as error:
        return f"{name} (its text is not available: {type(error).__name__})"
    first = text.splitlines()[0] if text else ""
    return fit(f"{name}: {first}" if first else name)
