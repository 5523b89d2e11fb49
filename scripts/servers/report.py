"""The table of a run, its closing lines, and its JSON."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from .runs import Result

_WIDTHS: Final = (22, 14, 14, 12, 11, 7, 7, 8, 8)
_TITLES: Final = (
    "server",
    "schema",
    "role",
    "pooler",
    "cases",
    "passed",
    "failed",
    "skipped",
    "seconds",
)


def build_title() -> str:
    """Return the first line of the table."""
    return _build_line(_TITLES)


def build_lines(result: Result) -> Iterator[str]:
    """Return the line of a cell, and one for each reason of skipped tests and each failure."""
    cell = result.cell
    server = f"{cell.server} ({result.version}{', JIT' if result.jit else ''})"
    counts = (result.passed, result.failed, result.skipped.total(), f"{result.seconds:.1f}")
    yield _build_line(
        (server, cell.schema, cell.role, cell.pooler or "none", cell.cases, *map(str, counts))
    )
    for reason, count in result.skipped.items():
        yield f"    {count} skipped: {reason}"
    if result.again and not result.failed:
        yield f"    {result.again} failed beside others, and passed alone"
    for name in result.failures:
        yield f"    FAILED {name}"


def build_summary(results: list[Result], seconds: float) -> dict[str, Any]:
    """Return the figures of a run."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "psycopg": version("psycopg"),
        "seconds": round(seconds),
        "servers": sorted({_name_server(result) for result in results}),
        "message_dbs": sorted({result.cell.schema for result in results}),
        "cells": len(results),
        "cases": sum(result.cases for result in results),
        "failed": sum(result.failed for result in results),
        "again": sum(result.again for result in results),
        "skipped": sum(result.skipped.total() for result in results),
        "table": [_describe(result) for result in results],
    }


def build_closing_lines(summary: dict[str, Any]) -> Iterator[str]:
    """Return the last lines of a run."""
    yield f"servers  {len(summary['servers'])}: {', '.join(summary['servers'])}"
    yield f"schemas  {len(summary['message_dbs'])}: {', '.join(summary['message_dbs'])}"
    for name in ("cells", "cases", "skipped", "failed", "seconds"):
        yield f"{name:8} {summary[name]}"


def _name_server(result: Result) -> str:
    return f"PostgreSQL {result.version}{' with JIT' if result.jit else ''}"


def _describe(result: Result) -> dict[str, Any]:
    return {
        **result.cell._asdict(),
        "version": result.version,
        "jit": result.jit,
        "passed": result.passed,
        "failed": result.failed,
        "again": result.again,
        "skipped": dict(result.skipped),
        "seconds": result.seconds,
    }


def _build_line(words: Iterable[str]) -> str:
    return " ".join(word.ljust(width) for word, width in zip(words, _WIDTHS, strict=True)).rstrip()
