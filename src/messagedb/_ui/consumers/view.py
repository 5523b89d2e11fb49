"""The rows of consumers: their state in a word, whether they are stalled, and the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from ..._consumers.consumer_info import GONE_STATES, ConsumerInfo
from ..._consumers.consumer_report import ConsumerReport
from ..._consumers.partition_info import PartitionSetInfo
from ..rendering.texts import format_duration
from .history import LagHistory, draw_line, find_trend
from .partition_view import find_state, fold_partitions

STALLED_SECONDS: Final = 300
"""A consumer is stalled if its position has not changed for so long while messages wait."""

_KINDS: Final = {
    "running": "good",
    "caught up": "good",
    "failed": "bad",
    "no report": "bad",
    "not running": "bad",
    "retrying": "warn",
    "reconnecting": "warn",
}
_HELP: Final = {
    "caught up": "its last poll found no messages",
    "failed": "its run ended with an error",
    "no report": "its process has stopped to report: it hangs, is paused, died or cannot reach the "
    "store",
    "not ours": "a consumer of another library, such as Eventide's, or one that has not run since "
    "a command has set its position: whether it runs cannot be seen",
    "not running": "it reported a run, and no process holds its lease now",
    "reconnecting": "the store is unavailable to it",
    "retrying": "it waits to call a handler again",
    "running": "it handles messages",
    "stalled": f"messages wait, and its position is the same for {STALLED_SECONDS // 60} minutes",
    "stopped": "no process runs it",
    "waiting": "another process with the same identifier runs",
}
_ORDER: Final = {"bad": 0, "warn": 1, "": 2, "good": 3}


class ConsumerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of consumers.

    Attributes:
        info: the consumer.
        report: what it last reported; None if it has not.
        title: its category and identifier.
        state: a word.
        kind: of that: ``good``, ``warn``, ``bad`` or ``""``.
        help: what the word means.
        trend: of the lag: ``up``, ``down``, ``level`` or ``""``.
        line: the points of its lag, for SVG.
        advanced: how long its stored position has been the same.
        partitions: the partitions of a consumer that has some; None for others.
    """

    info: ConsumerInfo
    report: ConsumerReport | None
    title: str
    state: str
    kind: str
    help: str
    trend: str
    line: str
    advanced: str
    partitions: PartitionSetInfo | None = None

    @property
    def was_at(self) -> bool:
        """True if the message that it reported to be at is the last one of a run that is gone."""
        return self.info.state in GONE_STATES


def build_rows(
    consumers: Iterable[ConsumerInfo],
    sets: Iterable[PartitionSetInfo],
    history: LagHistory,
    now: datetime,
) -> list[ConsumerRow]:
    """Return the rows, those in trouble first, then those that are far behind.

    A consumer with partitions is one row.
    """
    others, partitioned = fold_partitions(consumers, sets)
    rows = [build_row(each, history, now) for each in others]
    rows += [build_set_row(found, info, history, now) for found, info in partitioned]
    return sorted(rows, key=lambda row: (_ORDER[row.kind], -row.info.lag_messages, row.title))


def select_rows(rows: list[ConsumerRow], wanted: str) -> list[ConsumerRow]:
    """Return the rows with a string in title, state or owner, in any case; "" selects all."""
    text = wanted.casefold()
    return [row for row in rows if text in _describe_row(row).casefold()]


def _describe_row(row: ConsumerRow) -> str:
    return f"{row.title} {row.state} {row.report.host if row.report else ''}"


def build_row(
    info: ConsumerInfo, history: LagHistory, now: datetime, width: int = 90, height: int = 22
) -> ConsumerRow:
    """Return the row of a consumer."""
    state = "stalled" if is_stalled(info, now) else info.state
    kind = "bad" if state == "stalled" else _KINDS.get(state, "")
    if state == "stopped" and info.lag_messages:
        kind = "warn"
    points = history.get(info.name)
    saved = info.saved_at
    return ConsumerRow(
        info=info,
        report=info.report,
        title=describe(info),
        state=state,
        kind=kind,
        help=_HELP.get(state, ""),
        trend=find_trend(points),
        line=draw_line(points, width, height),
        advanced="" if saved is None else format_duration((now - saved).total_seconds()),
    )


def build_set_row(
    found: PartitionSetInfo, info: ConsumerInfo, history: LagHistory, now: datetime
) -> ConsumerRow:
    """Return the row of a partitioned consumer."""
    row = build_row(info, history, now)
    state, kind, help = find_state(found)
    return msgspec.structs.replace(row, state=state, kind=kind, help=help, partitions=found)


def describe(info: ConsumerInfo) -> str:
    """Return the category and the identifier, with the member of a group."""
    words = [info.category or "all categories"]
    if info.identifier is not None:
        words.append(info.identifier)
    if info.group_member is not None:
        words.append(f"member {info.group_member} of {info.group_size}")
    return " · ".join(words)


def is_stalled(info: ConsumerInfo, now: datetime) -> bool:
    """Return True if a consumer runs and does not get on: see ``STALLED_SECONDS``."""
    if info.state not in ("running", "retrying", "caught up") or not info.lag_messages:
        return False
    unchanged = info.saved_at is None or (now - info.saved_at).total_seconds() >= STALLED_SECONDS
    return unchanged and (info.lag_seconds or 0) >= STALLED_SECONDS


def summarize(rows: Iterable[ConsumerRow]) -> str:
    """Return one sentence about all consumers."""
    listed = list(rows)
    counts = {kind: sum(1 for each in listed if each.kind == kind) for kind in ("bad", "warn")}
    behind = sum(1 for each in listed if each.info.lag_messages)
    parts = [f"{len(listed):,} consumers" if len(listed) != 1 else "1 consumer"]
    if counts["bad"]:
        parts.append(f"{counts['bad']} that need{'s' if counts['bad'] == 1 else ''} attention")
    if counts["warn"]:
        parts.append(f"{counts['warn']} in trouble")
    parts.append(f"{behind} behind" if behind else "none behind")
    return ", ".join(parts) + "."
