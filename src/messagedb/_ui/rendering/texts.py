"""Numbers, times and names as the pages show them."""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime
from typing import Final

_PICTURES: Final = {
    **{code: chr(0x2400 + code) for code in range(32)},
    0x7F: "\u2421",
    # Characters that change the direction of what follows, or cannot be seen.
    **dict.fromkeys((*range(0x80, 0xA0), 0xAD, 0x61C, 0x180E, 0xFEFF), "\ufffd"),
    **dict.fromkeys((*range(0x200B, 0x2010), *range(0x2028, 0x202F)), "\ufffd"),
    **dict.fromkeys((*range(0x2060, 0x2070), *range(0xE0000, 0xE0080)), "\ufffd"),
}
_UNSEEN: Final = re.compile("[" + "".join(chr(code) for code in _PICTURES if code > 0x7E) + "]")
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_HUES: Final = 8

SAFE_ERROR: Final = "[A-Za-z_][A-Za-z0-9_]*(?:Error|Exception|Timeout)"
"""Classes of errors that are shown although data is hidden: a word of a handler is not one."""

_SAFE_REASON: Final = re.compile(rf"({SAFE_ERROR})(?:: |$)")


def make_visible(value: object, most: int = 200) -> str:
    """Return a name or other string with pictures for control characters, cut at a length.

    A cut one ends with the number of its characters.
    """
    text = str(value)
    shown = text[:most].translate(_PICTURES)
    shown = shown.encode("utf-8", "replace").decode()  # lone surrogates
    return shown if len(text) <= most else f"{shown}… ({format_number(len(text))} characters)"


def escape_unseen(json_text: str) -> str:
    """Return a JSON text of the same value, with escapes for characters that cannot be seen."""
    return _UNSEEN.sub(_escape, json_text)


def hide_reason(reason: str) -> str:
    """Return the class of the error in a reason, without its text, which may quote data.

    Example::

        hide_reason("KeyError: 'ada@example.org'")  # 'KeyError'
    """
    found = _SAFE_REASON.match(reason)
    return found[1] if found else "(hidden)"


def format_number(value: int | None) -> str:
    """Return an integer with separators; a dash for an unknown one."""
    return "–" if value is None else f"{value:,}"


def format_estimate(value: float | None) -> str:
    """Return an estimated number with two or three digits.

    Example::

        format_estimate(1234567)  # '≈ 1.23 million'
    """
    if value is None:
        return "–"
    for unit, name in ((1e9, " billion"), (1e6, " million")):
        if value >= unit:
            return f"≈ {value / unit:.3g}{name}"
    digits = len(str(int(value)))
    rounded = round(value, -max(digits - 3, 0))
    return f"≈ {int(rounded):,}"


def format_size(value: int | None) -> str:
    """Return a number of bytes with a unit."""
    if value is None:
        return "–"
    size, unit = float(value), _UNITS[0]
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{value} B" if unit == "B" else f"{size:.3g} {unit}"


def format_rate(per_second: float | None) -> str:
    """Return a rate per second, minute or hour, whichever reads best."""
    if per_second is None:
        return "–"
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if per_second * factor >= 1 or unit == "h":
            return f"{per_second * factor:.3g}/{unit}"
    return "–"


def format_ago(time: datetime | None, now: datetime) -> str:
    """Return how long ago a time was."""
    if time is None:
        return "–"
    return format_duration((now - time).total_seconds()) + " ago"


def format_duration(seconds: float) -> str:
    """Return seconds in the largest unit that fits."""
    seconds = max(seconds, 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, size, unit in (
        (60, 1, "s"),
        (3600, 60, "min"),
        (2 * 86400, 3600, "h"),
        (730 * 86400, 86400, "days"),
    ):
        if seconds < limit:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds / (365.25 * 86400))} years"


def format_time(time: datetime | None) -> str:
    """Return a time in UTC, to the millisecond."""
    return "–" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def format_iso(time: datetime | None) -> str:
    """Return a time as ISO 8601 with all digits."""
    return "" if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def get_hue(name: str) -> int:
    """Return the number of the color of a category: the same name has the same color."""
    return zlib.crc32(name.encode("utf-8", "replace")) % _HUES


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def split_code(text: str) -> list[tuple[bool, str]]:
    """Split a sentence at backticks: True for each part that is code."""
    return [(index % 2 == 1, part) for index, part in enumerate(text.split("`"))]
