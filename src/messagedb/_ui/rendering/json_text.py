"""JSON with all of its digits: read, changed by the user's ``redact``, and written again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, cast

_logger = logging.getLogger("messagedb.ui")

_LONGEST_INT: Final = 4000
HIDDEN: Final = '"(hidden)"'
"""The JSON that is shown instead of data that ``redact`` cannot be applied to."""


def redact_text(
    text: str | None, message_type: str, redact: Callable[[str, Any], Any] | None
) -> str | None:
    """Return the JSON that may be shown.

    If the function fails, or the JSON cannot be decoded, nothing of it is shown.
    """
    if text is None or redact is None:
        return text
    try:
        value = json.loads(text, parse_int=_parse_integer, parse_float=Decimal)
        return write_json(redact(message_type, value))
    except Exception:
        _logger.exception("redact failed for a message of the type %r", message_type)
        return HIDDEN


def write_json(value: Any) -> str:
    """Return a value as JSON. Decimals are written as numbers, with all digits."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        inner = (f"{_quote(str(key))}: {write_json(each)}" for key, each in members.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return "[" + ", ".join(map(write_json, items)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return _quote(str(value))


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _parse_integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < _LONGEST_INT else Decimal(digits)
