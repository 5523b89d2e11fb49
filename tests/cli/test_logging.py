"""Log lines of a run: a time with its zone, one line each, and no repetitions."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from messagedb.cli._logging import JsonFormatter, RepetitionFilter, TextFormatter

MOMENT = 1_790_000_000.25


def record(message: str, name: str = "messagedb.consumer", **fields: Any) -> logging.LogRecord:
    """Return a record of a time that is known."""
    made = logging.LogRecord(name, logging.WARNING, "x.py", 1, message, (), None)
    made.created = MOMENT
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def test_a_line_has_its_time_with_the_zone_and_no_line_break_of_the_message() -> None:
    line = TextFormatter().format(record("first\nsecond"))
    assert line == ("2026-09-21T14:13:20.250Z WARNING messagedb.consumer: first\\nsecond")


def test_a_line_of_json_has_its_time_with_the_zone() -> None:
    assert msgspec.json.decode(JsonFormatter().format(record("first\nsecond"))) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "warning",
        "logger": "messagedb.consumer",
        "message": "first\nsecond",
    }


@pytest.mark.parametrize(
    ("name", "level", "seconds", "is_written"),
    [
        ("psycopg.pool", logging.WARNING, 59.0, False),
        ("psycopg.pool", logging.WARNING, 60.0, True),
        ("psycopg.pool", logging.DEBUG, 1.0, True),
        ("messagedb.consumer", logging.WARNING, 1.0, True),
    ],
)
def test_what_psycopg_repeats_while_the_store_is_away_is_written_once_a_minute(
    name: str, level: int, seconds: float, is_written: bool
) -> None:
    kept = RepetitionFilter()
    assert kept.filter(record("error connecting in %r: %s", name, levelno=level))
    assert kept.filter(record("another %s", name, levelno=level))
    later = record("error connecting in %r: %s", name, levelno=level, created=MOMENT + seconds)
    assert kept.filter(later) is is_written
