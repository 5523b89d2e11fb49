"""Times of options: a date and time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from messagedb import ValidationError

_AGO: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_since(text: str, now: datetime) -> datetime:
    """Parse a time: ISO 8601, in UTC if it has no zone, or a number of s, m, h or d before now.

    Raises:
        ValidationError: it is neither.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        time = datetime.fromisoformat(text)
        # A time near the year 1 or 9999 may have no time in UTC.
        return time.replace(tzinfo=UTC) if time.utcoffset() is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError(
            "--since takes a time such as 2026-05-01T12:00 (UTC unless it has a zone), or how long"
            f" ago: 90s, 10m, 2h, 7d; not {text!r:.200}. Nothing was read."
        ) from None
