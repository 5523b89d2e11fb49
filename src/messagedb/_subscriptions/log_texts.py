"""Texts of errors and reasons, fit to be stored, logged and shown, whatever they hold."""

from __future__ import annotations

import re
from typing import Any, Final

_LONGEST: Final = 2000
"""Characters of a text that are kept: at most four bytes each."""

# What PostgreSQL, UTF-8 or a line of a log cannot hold.
_UNFIT: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def fit(text: str) -> str:
    """Give a text in one line, escaped where it could not be stored, and not long."""
    # A subclass of str may be given, with methods of its own.
    given = str.__getitem__(text, slice(0, _LONGEST))
    escaped = _UNFIT.sub(_escape, given)
    length = str.__len__(text)
    if length > _LONGEST or len(escaped) > _LONGEST:
        return f"{escaped[:_LONGEST]}… (shortened, of {length:,} characters)"
    return escaped


def text_of(error: BaseException) -> str:
    """Give an error's text in one line, for a log."""
    return _said_by(str, error)


def shown(value: Any) -> str:
    """Give the repr of a value that may be anything."""
    return _said_by(repr, value)


def _said_by(function: Any, value: Any) -> str:
    try:
        return fit(function(value))
    except Exception as error:
        return f"<{type(value).__name__}, whose text cannot be had: {type(error).__name__}>"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] in "\r\n":
        return "\\n" if found[0] == "\n" else "\\r"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
