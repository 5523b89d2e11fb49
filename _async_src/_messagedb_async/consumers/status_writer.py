"""The writer of what the consumers of one client report: one for all of them, beside the runs."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec
import psycopg

from messagedb._concurrency.backend_async import Event, Lock, Task
from messagedb._connection.error_mapping import get_first_line
from messagedb._consumers.report_schedule import REPORT_SECONDS, ReportSchedule
from messagedb._errors import MessageDBError
from messagedb._sql import consumer_status as sql
from messagedb._sql.statements import Statement
from messagedb._subscriptions.log_texts import format_error

from ..client_core.core import get_provider
from ..execution.spare_connections import execute_on_spare
from ..operations.internals import get_session_config
from .run_state import log

if TYPE_CHECKING:
    from messagedb._consumers.report_schedule import RunReport

    from ..client_core.core import AsyncClientCore

# A write that takes longer is given up; one at the end of a run is not waited for so long.
_WRITE_SECONDS = 5.0
_END_SECONDS = 1.0

# Nothing is written after a write that the server refused: at first for this time, then for twice
# as long, and so on, up to the other. It is also that after a write that it would refuse.
_FIRST_PAUSE_SECONDS = 5.0
_LAST_PAUSE_SECONDS = 300.0

_SETUP = Statement(sql.SET_REPORT_LIMITS, ())
_encode = msgspec.json.Encoder().encode


class AsyncStatusWriter:
    """Writes the reports of a client's runs, several in one statement, while there are runs.

    Nothing waits for it but the end of a run, for a moment. What it cannot write is left out: the
    consumers run all the same.
    """

    def __init__(self) -> None:
        self._schedule = ReportSchedule()
        self._ends: dict[RunReport, Event] = {}
        self._lock = Lock()
        self._wake = Event()
        self._task: Task[None] | None = None
        # Of the present task: an earlier one that still runs is to end.
        self._turn = object()
        self._is_checked = False
        self._is_logged = False
        self._paused_until = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    async def join(self, client: AsyncClientCore, report: RunReport) -> None:
        """Report on a run from now on. Does nothing if its name is too long for that."""
        if not report.is_possible:
            return
        async with self._lock:
            self._ends[report] = Event()
            self._schedule.reports[report] = None
            if self._task is None or self._task.is_done:
                self._turn = object()
                self._task = Task(self._run, client, self._turn)
            self._wake.set()

    def hurry(self, report: RunReport) -> None:
        """Report on a run soon, and not only when it is time for that."""
        report.is_urgent = True
        self._wake.set()

    async def leave(self, report: RunReport, *, may_wait: bool) -> None:
        """Report the end of a run, and nothing more of it.

        Args:
            report: the run's.
            may_wait: False if the store is known to be unavailable.
        """
        end = self._ends.get(report)
        if end is None:
            return
        report.is_final = True
        self._wake.set()
        try:
            if may_wait:
                await end.wait(_END_SECONDS)
        finally:
            await self._remove(report)

    async def _remove(self, report: RunReport) -> None:
        task: Task[None] | None = None
        async with self._lock:
            del self._schedule.reports[report], self._ends[report]
            if not self._ends:
                self._turn = object()
                task, self._task = self._task, None
                self._wake.set()
        if task is not None:
            await task.stop()

    async def _run(self, client: AsyncClientCore, turn: object) -> None:
        while self._turn is turn:
            self._wake.clear()
            delay = self._schedule.find_next_time() - monotonic()
            if delay > 0:
                await self._wake.wait(min(delay, REPORT_SECONDS))
            else:
                await self._write(client)

    async def _write(self, client: AsyncClientCore) -> None:
        now = monotonic()
        selected = self._schedule.select(now)
        for report in selected:
            report.note_attempt(now)
        reports = [report for report in selected if report.is_allowed()]
        try:
            if reports and now >= self._paused_until and await self._is_possible(client):
                await self._store(client, reports)
        except psycopg.Error as error:
            if not _is_passing(error):
                self._pause_longer(get_first_line(error))
        except MessageDBError:
            # The store is unavailable, which its consumers log themselves.
            pass
        except Exception as error:
            self._pause_longer(format_error(error))
        finally:
            for report in selected:
                if report.is_done and report in self._ends:
                    self._ends[report].set()

    async def _store(self, client: AsyncClientCore, reports: list[RunReport]) -> None:
        now, interval = monotonic(), self._schedule.interval
        rows = _encode([report.build_row(now, interval) for report in reports]).decode()
        first = ",".join(report.run for report in reports if report.is_first)
        schema = get_session_config(client).settings.schema
        statement = Statement(sql.REPORT, (schema, rows, f"{{{first}}}"))
        await execute_on_spare(await get_provider(client), _SETUP, statement, _WRITE_SECONDS)
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        for report in reports:
            report.is_first = False

    async def _is_possible(self, client: AsyncClientCore) -> bool:
        """Return True if the reports can be written; ask the server the first time."""
        if self._is_checked:
            return True
        provider = await get_provider(client)
        query = Statement(sql.MAY_REPORT, ())
        ((exists, is_granted, may_write),) = await execute_on_spare(
            provider, _SETUP, query, _WRITE_SECONDS
        )
        if not exists:
            self._pause("the table does not exist: messagedb.schema.upgrade() adds it")
        elif not is_granted:
            self._pause("the role may not write to it")
        elif not may_write:
            self._pause("the server is read-only")
        else:
            self._is_checked = True
        return self._is_checked

    def _pause_longer(self, reason: str) -> None:
        """Write nothing for some time, and for a longer time after the next refusal."""
        self._pause(reason, self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, _LAST_PAUSE_SECONDS)

    def _pause(self, reason: str, seconds: float = _LAST_PAUSE_SECONDS) -> None:
        """Write nothing for some time. The reason is logged once."""
        self._paused_until = monotonic() + seconds
        self._is_checked = False
        if not self._is_logged:
            self._is_logged = True
            log.info(
                "other processes cannot see how the consumers of this client are, which run all"
                " the same: nothing can be stored in messagedb.consumer_status: %s",
                reason,
            )


def get_status_writer(client: AsyncClientCore) -> AsyncStatusWriter:
    """Return the writer that the consumers of a client share."""
    return _writers.setdefault(client, AsyncStatusWriter())


_writers: WeakKeyDictionary[AsyncClientCore, AsyncStatusWriter] = WeakKeyDictionary()


def _is_passing(error: psycopg.Error) -> bool:
    """Return True if the next write may succeed: the connection was lost, or a lock was held."""
    return error.sqlstate is None or error.sqlstate[:2] in {"08", "40", "55", "57"}
