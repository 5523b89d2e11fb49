"""The W3C trace context of a message: its form, and its place in metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .._errors import ValidationError

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

# Versions after 00 may have further parts, which are to be passed on unchanged (W3C Recommendation
# "Trace Context", section 3.2).
_FORM: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]*)?"
)


def is_traceparent(value: object) -> bool:
    """Return True for a value in the form of a traceparent: lower case, ids that are not 0."""
    if not isinstance(value, str):
        return False
    match = _FORM.fullmatch(value)
    return match is not None and (match[1] != "00" or match[2] is None)


def check_trace_context(traceparent: Any, tracestate: Any) -> None:
    """Raise an error for an invalid trace context.

    Raises:
        ValidationError: the message describes the required form.
    """
    if not is_traceparent(traceparent):
        raise ValidationError(
            f"traceparent must be of the form version-traceid-parentid-flags, lower-case "
            "hexadecimal of 2, 32, 16 and 2 digits with ids that are not 0, such as "
            "'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', not "
            f"{traceparent!r:.80}. Nothing was sent."
        )
    if tracestate is not None and (not isinstance(tracestate, str) or not tracestate):
        raise ValidationError(
            f"tracestate must be a str such as 'vendor=value', or None for none, not "
            f"{tracestate!r:.80}. Nothing was sent."
        )


def find_trace_context(*mappings: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the traceparent and tracestate of the first mapping that has a valid traceparent.

    An invalid traceparent is ignored; both values come from the same mapping.
    """
    for place in mappings:
        parent = place.get(TRACEPARENT)
        if is_traceparent(parent):
            state = place.get(TRACESTATE)
            return parent, state if isinstance(state, str) and state else None
    return None, None
