"""The field and the reason of data that does not fit its class."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_PATH = re.compile(r" - at (?:`key` in )?`\$([^`]*)`$")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")


def describe_decode_error(error: Exception) -> tuple[str, str]:
    """Return the field that an error is about, such as ``data.items[0].price``, and the reason.

    For pydantic's error, neither the values nor the many lines are used: data may be secret.
    """
    details = getattr(error, "errors", None)
    if callable(details):
        try:
            found: Any = details(include_url=False, include_input=False, include_context=False)
            fields = ["data" + "".join(_format_step(step) for step in one["loc"]) for one in found]
            reasons = [f"{field}: {one['msg']}" for field, one in zip(fields, found, strict=True)]
            return fields[0], "; ".join(reasons)
        except (TypeError, KeyError, IndexError):
            pass  # the error of another library
    text = str(error)
    field = "data"
    if isinstance(error, msgspec.ValidationError):
        if path := _PATH.search(text):
            field += path[1]
            text = text[: path.start()]
        if missing := _MISSING.match(text):
            field += f".{missing[1]}"
    return field, text


def _format_step(step: object) -> str:
    return f"[{step}]" if isinstance(step, int) else f".{step}"
