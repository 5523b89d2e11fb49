"""Logs of a service on standard error: lines for a person, or JSON for a collector."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
import typer

from ._cells import escape_controls

_REPETITION_SECONDS: Final = 60.0


class LogFormat(StrEnum):
    """Format of log lines."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe log lines to write."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LevelOption = Annotated[LogLevel, typer.Option("--log-level", help="Least severe log lines.")]
FormatOption = Annotated[LogFormat, typer.Option("--log-format", help="Form of log lines.")]


class TextFormatter(logging.Formatter):
    """Formatter of one line with time and zone; a traceback follows on separate lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = escape_controls(record.getMessage())
        line = f"{_format_time(record)} {record.levelname:7} {record.name}: {said}"
        trace = _format_exception(record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """Formatter of one JSON object a line: time, level, logger, message, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        fields: dict[str, Any] = {
            "time": _format_time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = _format_exception(record)
        if trace:
            fields["exception"] = trace
        return msgspec.json.encode(fields).decode()


class RepetitionFilter(logging.Filter):
    """Filter of what psycopg says of an unavailable store, several times a second: once a minute.

    The consumers say themselves when the store is lost and when it is available again. What is said
    at the level DEBUG is never omitted.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True for a record that is to be written."""
        if not record.name.startswith("psycopg") or record.levelno <= logging.DEBUG:
            return True
        key = (record.name, str(record.msg))
        said_at = self._said_at.get(key)
        if said_at is not None and record.created - said_at < _REPETITION_SECONDS:
            return False
        self._said_at[key] = record.created
        return True


def configure_logging(level: LogLevel, format: LogFormat) -> None:
    """Write log lines of all loggers to standard error, unless the user's module did that.

    The level applies to this library's loggers; those of other libraries write warnings.
    """
    logging.getLogger("messagedb").setLevel(level.upper())
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepetitionFilter())
    handler.setFormatter(JsonFormatter() if format is LogFormat.JSON else TextFormatter())
    root.addHandler(handler)


def _format_time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _format_exception(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info)).rstrip()
