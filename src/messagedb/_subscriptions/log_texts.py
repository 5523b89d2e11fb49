"""Error texts and reasons that are safe to store, log and show, whatever they contain."""

from __future__ import annotations

import re
from typing import Any, Final

_MAX_CHARACTERS: Final = 2000
"""The number of characters that are kept: at most four bytes each."""

# Characters that PostgreSQL, UTF-8 or a line of a log cannot contain.
_UNSAFE_CHARACTERS: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def escape_line(text: str) -> str:
    """Escape a string to one line that can be stored, and shorten it."""
    # The argument may be a subclass of str with overridden methods.
    shortened = str.__getitem__(text, slice(0, _MAX_CHARACTERS))
    escaped = _UNSAFE_CHARACTERS.sub(_escape, shortened)
    length = str.__len__(text)
    if length > _MAX_CHARACTERS or len(escaped) > _MAX_CHARACTERS:
        return f"{escaped[:_MAX_CHARACTERS]}… (shortened, of {length:,} characters)"
    return escaped


def format_error(error: BaseException) -> str:
    """Return an error's text in one line, for a log."""
    return _format_by(str, error)


def format_value(value: Any) -> str:
    """Return the repr of any value in one line."""
    return _format_by(repr, value)


def _format_by(function: Any, value: Any) -> str:
    try:
        return escape_line(function(value))
    except Exception as error:
        return f"<{type(value).__name__} whose text is not available: {type(error).__name__}>"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] in "\r\n":
        return "\\n" if found[0] == "\n" else "\\r"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
