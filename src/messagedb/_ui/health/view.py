"""Findings as sentences: problems first, and what is fine last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from ..._consumers.consumer_info import ConsumerInfo
from ..._diagnosis.findings import Finding, Level
from ..consumers.view import describe, is_stalled
from ..rendering.texts import format_duration

_TITLES: dict[Level, str] = {"problem": "Problems", "warning": "Warnings", "ok": "Fine"}


class Section(msgspec.Struct, frozen=True):
    """The findings of one level."""

    level: Level
    title: str
    findings: list[Finding]


def build_sections(findings: Sequence[Finding]) -> list[Section]:
    """Return the levels that have findings, problems first."""
    sections = [
        Section(level, title, [each for each in findings if each.level == level])
        for level, title in _TITLES.items()
    ]
    return [each for each in sections if each.findings]


def summarize(findings: Iterable[Finding]) -> str:
    """Return one sentence about all findings."""
    levels = [each.level for each in findings]
    problems, warnings = levels.count("problem"), levels.count("warning")
    if not problems and not warnings:
        return "Everything that was checked is fine."
    parts = [
        _count(count, word)
        for count, word in ((problems, "problem"), (warnings, "warning"))
        if count
    ]
    fine = levels.count("ok")
    return f"{' and '.join(parts)}, and {_count(fine, 'check')} without one."


def check_consumers(consumers: Sequence[ConsumerInfo], now: datetime) -> list[Finding]:
    """Return findings about consumers: those that do not get on, and parked messages."""
    found: list[Finding] = []
    for each in consumers:
        waits = f"{each.lag_messages:,} messages wait"
        if each.state in ("failed", "no report", "not running") and each.lag_messages:
            text = f"{describe(each)}: {each.state}, and {waits}"
            found.append(Finding("problem", "consumer", text, "start it again: its log says why"))
        elif is_stalled(each, now):
            since = format_duration(each.lag_seconds or 0)
            text = f"{describe(each)}: stalled; {waits}, the oldest for {since}"
            fix = "its page names the message that it is at, and the last error"
            found.append(Finding("problem", "consumer", text, fix))
        elif each.problem is not None:
            found.append(Finding("warning", "consumer", f"{describe(each)}: {each.problem}"))
    streams = {each.parked_stream: each.parked_count for each in consumers if each.parked_count}
    parked = sum(streams.values())
    if parked:
        text = f"{_count(parked, 'message')} parked, by {_count(len(streams), 'consumer')}"
        fix = "read why on the page of parked messages, then replay or discard them"
        found.append(Finding("warning", "parked", text, fix))
    if consumers and not found:
        found.append(
            Finding(
                "ok", "consumers", f"{_count(len(consumers), 'consumer')} known, and none stuck"
            )
        )
    return found


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
