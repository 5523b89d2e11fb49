"""The log of a consumer without problems: some lines a minute at most, and none for a message."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime

import pytest

from messagedb._consumers.activity_log import SUMMARY_SECONDS, ActivityLog, describe_lag
from messagedb._consumers.counters import Counters
from messagedb.consumers import Lag

NOW = datetime.now(UTC)
log = logging.getLogger("messagedb.consumer")


def lag(messages: int, *, head: int | None = 53, is_exact: bool = True) -> Lag:
    """Return a lag of so many messages."""
    return Lag(head=head, messages=messages, is_exact=is_exact, oldest=None, now=NOW)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the list to which the messages of the log are added."""
    caplog.set_level("INFO", "messagedb.consumer")
    messages: list[str] = []

    def add(record: logging.LogRecord) -> bool:
        messages.append(record.getMessage())
        return True

    caplog.handler.addFilter(add)
    return messages


def test_a_start_says_where_and_by_which_process(lines: list[str]) -> None:
    ActivityLog("mail", Counters(), log, 0.0).note_start(41, lag(12))
    (line,) = lines
    assert line.startswith("mail: it has started after position 41, 12 messages behind (head 53),")
    assert f"process {os.getpid()} of " in line


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (None, "its lag is not known"),
        (lag(0), "no message behind (head 53)"),
        (lag(1), "1 message behind (head 53)"),
        (lag(100_000, head=None, is_exact=False), "at least 100000 messages behind"),
    ],
)
def test_a_lag_in_words(measured: Lag | None, text: str) -> None:
    assert describe_lag(measured) == text


def test_counts_are_logged_once_a_minute_and_only_if_they_changed(lines: list[str]) -> None:
    counters = Counters()
    activity = ActivityLog("mail", counters, log, 100.0)
    counters.handled = 5
    activity.summarize(100.0 + SUMMARY_SECONDS - 1, lag(3))
    assert lines == []
    counters.handled, counters.parked = 1200, 1
    activity.summarize(100.0 + SUMMARY_SECONDS + 2, lag(3))
    wanted = "mail: in 62 s it has handled 1200, parked 1 and skipped 0 messages, 3 messages behind"
    assert lines == [f"{wanted} (head 53)"]
    activity.summarize(100.0 + 3 * SUMMARY_SECONDS, lag(0))
    assert len(lines) == 1
    counters.skipped = 2
    activity.summarize(100.0 + 5 * SUMMARY_SECONDS, lag(0))
    assert "it has handled 0, parked 0 and skipped 2 messages" in lines[1]


def test_catching_up_is_logged_again_only_after_a_minute_of_being_behind(
    lines: list[str],
) -> None:
    activity = ActivityLog("mail", Counters(), log, 0.0)
    activity.note_caught_up(7)
    activity.note_caught_up(9)
    activity.summarize(SUMMARY_SECONDS, lag(0))
    activity.note_caught_up(11)
    activity.summarize(2 * SUMMARY_SECONDS, lag(0))
    assert lines == ["mail: it has caught up, at position 7"]
    activity.summarize(3 * SUMMARY_SECONDS, lag(5000))
    activity.note_caught_up(5011)
    assert lines[1:] == ["mail: it has caught up, at position 5011"]


def test_an_end_counts_the_messages_of_the_run(lines: list[str]) -> None:
    counters = Counters()
    counters.handled = 3
    activity = ActivityLog("mail", counters, log, 0.0)
    activity.note_stop(None)
    counters.handled = 10
    activity.note_stop(44)
    assert lines == [
        "mail: it has stopped, before it had started; it has handled 0 messages",
        "mail: it has stopped, after position 44; it has handled 7 messages",
    ]
