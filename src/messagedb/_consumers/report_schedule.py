"""Which consumers of a client report next, and what they report. No I/O."""

from __future__ import annotations

import math
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from .._messages.ids import uuid7
from .._operations.validation import LAST_POSITION
from .position_stores import StreamPositionStore
from .status import build_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._messages.message import Message
    from .counters import Counters
    from .failure_log import FailureLog
    from .settings import ConsumerSettings
    from .status import RunSnapshot

REPORT_SECONDS: Final = 2.0
"""The time between two reports of a consumer, if the client has at most ``MAX_ROWS`` of them."""

FIRST_SECONDS: Final = 0.25
"""The time from the begin of a run to its first report. A shorter run only reports its end."""

URGENT_SECONDS: Final = 0.5
"""The least time between two writes: what is urgent waits at most so long."""

MAX_ROWS: Final = 200
"""The number of reports in one write. A thousand consumers report in turn, less often."""

MAX_ERROR_CHARACTERS: Final = 500
"""The length to which the text of an error is cut."""

_MAX_NAME_BYTES: Final = 2000
"""A longer name does not fit into the index of the table in each case, and is not reported."""


class RunReport:
    """One run as other processes can know it, and the time at which they last got it.

    Args:
        settings: the consumer's.
        counters: the consumer's.
        failures: the failed attempts of the run.
        get_snapshot: returns the state of the run.
        get_message: returns the message that is handled now; None for none.
        is_allowed: returns False while another process may hold the consumer's lease.
        now: the present time, in seconds of a clock that only moves forward.

    Attributes:
        run: the id of the run.
        is_first: True until a report of it is stored, which may replace another run's.
        is_urgent: True if something happened that is not to wait for the next interval.
        is_final: True if the run has ended.
        is_done: True if that was written, or could not be: nothing more is reported.
        attempted_at: the time of the last write; before the first one, as if there had been one.
    """

    def __init__(
        self,
        settings: ConsumerSettings,
        counters: Counters,
        failures: FailureLog,
        get_snapshot: Callable[[], RunSnapshot],
        get_message: Callable[[], Message[Any] | None],
        is_allowed: Callable[[], bool],
        now: float,
    ) -> None:
        self.run = str(uuid7())
        self.is_first = True
        self.is_urgent = False
        self.is_final = False
        self.is_done = False
        self.attempted_at = now - REPORT_SECONDS + FIRST_SECONDS
        self.is_allowed = is_allowed
        self._settings = settings
        self._counters = counters
        self._failures = failures
        self._get_snapshot = get_snapshot
        self._get_message = get_message
        self._started_at = now
        self._seen: Message[Any] | None = None
        self._seen_at = now

    @property
    def is_possible(self) -> bool:
        """True if the name fits into the table."""
        return len(self._settings.position_name.encode()) <= _MAX_NAME_BYTES

    def note_attempt(self, now: float) -> None:
        """Note that its report is being written."""
        self.is_urgent = False
        self.is_done = self.is_final
        self.attempted_at = now

    def build_row(self, now: float, interval: float) -> dict[str, Any]:
        """Return the report as a row of ``REPORT``, with the seconds since each event."""
        settings = self._settings
        name = settings.position_name
        status = build_status(name, self._get_snapshot(), self._counters, datetime.now(UTC))
        ended = "failed" if status.state == "failed" else "stopped"
        position = status.next_position
        if position is not None:
            # After the last one there is none that fits into the table.
            position = min(position, LAST_POSITION)
        return {
            "consumer": name,
            "run": self.run,
            "category": settings.category,
            "identifier": settings.identifier,
            "group_member": settings.group_member,
            "group_size": settings.group_size,
            "position_store": "stream"
            if isinstance(settings.position_store, StreamPositionStore)
            else "table",
            "has_lease": settings.lease_timeout is not None,
            "host": socket.gethostname()[:255],
            "pid": os.getpid(),
            "started_before": now - self._started_at,
            "report_interval": interval,
            "state": ended if self.is_final else status.state,
            "next_position": position,
            "lag_messages": status.lag_messages,
            "lag_seconds": status.lag_seconds,
            **({} if self.is_final else self._describe_in_flight(now)),
            **self._describe_failure(now),
        }

    def _describe_in_flight(self, now: float) -> dict[str, Any]:
        failed = self._failures.find_first()
        if failed is not None:
            message, attempt, since = failed.message, failed.attempt, failed.began_failing_at
        else:
            current = self._get_message()
            if current is not self._seen:
                self._seen, self._seen_at = current, now
            if current is None:
                return {}
            message, attempt, since = current, 1, self._seen_at
        return {
            "in_flight_stream": message.stream_name,
            "in_flight_position": message.position,
            "in_flight_attempt": attempt,
            "in_flight_for": max(now - since, 0.0),
        }

    def _describe_failure(self, now: float) -> dict[str, Any]:
        failed = self._failures.last
        if failed is None:
            return {}
        message, error = failed.message, failed.error
        is_long = len(error) > MAX_ERROR_CHARACTERS
        return {
            "failed_stream": message.stream_name,
            "failed_position": message.position,
            "failed_global_position": message.global_position,
            "failed_message_id": str(message.id),
            "failed_type": message.type,
            "failed_attempt": failed.attempt,
            "failed_error": f"{error[: MAX_ERROR_CHARACTERS - 1]}…" if is_long else error,
            # Another thread may have noted it since.
            "failed_before": max(now - failed.failed_at, 0.0),
        }


class ReportSchedule:
    """The runs of one client that report, in turn. Threads may share it.

    Attributes:
        reports: those of all runs.
    """

    def __init__(self) -> None:
        self.reports: dict[RunReport, None] = {}
        self._written_at = -math.inf

    @property
    def interval(self) -> float:
        """The seconds between two reports of a run."""
        return REPORT_SECONDS * max(1, math.ceil(len(self.reports) / MAX_ROWS))

    def find_next_time(self) -> float:
        """Return the time of the next write, which may be in the past; infinity for none."""
        reports, interval = self._list_open(), self.interval
        if any(each.is_final for each in reports):
            return -math.inf
        if any(each.is_urgent for each in reports):
            return self._written_at + URGENT_SECONDS
        return min((each.attempted_at + interval for each in reports), default=math.inf)

    def select(self, now: float) -> list[RunReport]:
        """Return the runs to report now: all that have ended, then urgent ones, then those due.

        Those that are due within half of an interval join, so that there are fewer writes.
        """
        due_at = now - self.interval / 2
        reports = [
            each
            for each in self._list_open()
            if each.is_final or each.is_urgent or each.attempted_at <= due_at
        ]
        reports.sort(key=lambda each: (not each.is_final, not each.is_urgent, each.attempted_at))
        count = sum(each.is_final for each in reports)
        self._written_at = now
        return reports[: max(count, MAX_ROWS)]

    def _list_open(self) -> list[RunReport]:
        return [each for each in tuple(self.reports) if not each.is_done]
