"""Filters of messages by their metadata: workflow, cause, W3C trace. No index helps them."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from .._argument_checks import check_string
from .._errors import ValidationError
from .._messages.message import Message
from .._sql.traces import TRACEPARENT
from .traces import find_cause, get_workflow, parse_identifier

_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")


class WorkflowFilter(msgspec.Struct, frozen=True):
    """A filter of messages by their metadata; without a value it lets all pass.

    Attributes:
        correlation: the correlation stream, or its category.
        causation: the cause, as ``stream/position``.
        trace_id: the W3C trace id: 32 lower-case hexadecimal digits.
    """

    correlation: str | None = None
    causation: str | None = None
    trace_id: str | None = None

    def check(self) -> None:
        """Check the values.

        Raises:
            ValidationError: one is invalid. Nothing was sent.
        """
        if self.correlation is not None:
            check_string("correlation", self.correlation)
            if not self.correlation:
                raise ValidationError(
                    "correlation must not be empty: use a stream or a category. Nothing was sent."
                )
        if self.causation is not None and parse_identifier(self.causation) is None:
            raise ValidationError(
                "causation must be the stream and position of the cause, such as account-123/4, "
                f"not {self.causation!r:.200}. Nothing was sent."
            )
        if self.trace_id is not None and not _is_trace_id(self.trace_id):
            raise ValidationError(
                "trace_id must be a W3C trace id of 32 lower-case hexadecimal digits, not "
                f"{self.trace_id!r:.80}. Nothing was sent."
            )

    def build_condition(self) -> str | None:
        """Return the filter as an SQL condition over ``messages``; None if all pass."""
        parts: list[str] = []
        if self.correlation is not None:
            place = "metadata->>'correlationStreamName'"
            if "-" not in self.correlation:
                place = f"split_part({place}, '-', 1)"
            parts.append(f"{place} = {_quote(self.correlation)}")
        cause = None if self.causation is None else parse_identifier(self.causation)
        if cause is not None:
            parts.append(f"metadata->>'causationMessageStreamName' = {_quote(cause[0])}")
            parts.append(f"metadata->>'causationMessagePosition' = '{cause[1]}'")
        if self.trace_id is not None:
            parts.append(f"substr({TRACEPARENT}, 4, 32) = {_quote(self.trace_id)}")
        return " AND ".join(parts) or None

    def matches(self, message: Message[Any]) -> bool:
        """Return True if a message passes; one whose metadata cannot be decoded does not."""
        if self == _ALL:
            return True
        correlation, trace_id = get_workflow(message)
        if self.correlation is not None:
            found = correlation or ""
            if "-" not in self.correlation:
                found = found.partition("-")[0]
            if found != self.correlation:
                return False
        if self.trace_id is not None and trace_id != self.trace_id:
            return False
        return self.causation is None or find_cause(message) == parse_identifier(self.causation)


_ALL: Final = WorkflowFilter()


def join_conditions(*conditions: str | None) -> str | None:
    """Return the condition that all of these hold; None if there is none."""
    given = [condition for condition in conditions if condition is not None]
    return " AND ".join(f"({condition})" for condition in given) or None


def _is_trace_id(value: Any) -> bool:
    return isinstance(value, str) and _TRACE_ID.fullmatch(value) is not None


def _quote(value: str) -> str:
    """Return a string as an SQL literal, whatever ``standard_conforming_strings`` is."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"
