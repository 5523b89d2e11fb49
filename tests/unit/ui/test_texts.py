"""Numbers, times and names on the pages of the UI, and results that requests share."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from messagedb._ui.rendering import texts
from messagedb._ui.shared_answers import SharedAnswers
from messagedb._ui.streams.live import build_event


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x00\x1b\x7f", "a␀␛␡"),
        ("\u202eabc\u2066", "\ufffdabc\ufffd"),
        ("ü😀", "ü😀"),
        ("\u061c\u200d\u2063\xad\u180e\U000e0041", "\ufffd" * 6),
        ("\udc80", "?"),
        ("x" * 300, "x" * 200 + "… (300 characters)"),
    ],
)
def test_names_are_made_visible(name: str, shown: str) -> None:
    assert texts.make_visible(name) == shown


def test_raw_json_shows_the_characters_that_change_the_direction() -> None:
    value = {"name": "\u202eexe.\u2066\u061c\x7f\U000e0041ü😀"}
    shown = texts.escape_unseen(json.dumps(value, ensure_ascii=False))
    assert shown == r'{"name": "\u202eexe.\u2066\u061c\u007f\udb40\udc41ü😀"}'
    assert json.loads(shown) == value


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "≈ 0"), (999, "≈ 999"), (123456, "≈ 123,000"), (1234567, "≈ 1.23 million"), (None, "–")],
)
def test_estimates_are_rounded(number: float | None, shown: str) -> None:
    assert texts.format_estimate(number) == shown


@pytest.mark.parametrize(
    ("bytes_", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (5 * 10**12, "5 TB")]
)
def test_sizes_have_units(bytes_: int, shown: str) -> None:
    assert texts.format_size(bytes_) == shown


@pytest.mark.parametrize(
    ("rate", "shown"), [(5.5, "5.5/s"), (0.5, "30/min"), (0.001, "3.6/h"), (0.0, "0/h")]
)
def test_rates_have_the_unit_that_reads_best(rate: float, shown: str) -> None:
    assert texts.format_rate(rate) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0 ms"),
        (0.25, "250 ms"),
        (59, "59 s"),
        (3599, "59 min"),
        (7200, "2 h"),
        (9e8, "28 years"),
    ],
)
def test_durations_have_one_unit(seconds: float, shown: str) -> None:
    assert texts.format_duration(seconds) == shown


def test_times_are_in_utc() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert texts.format_time(time) == "2026-01-02 03:04:05.678"
    assert texts.format_iso(time) == "2026-01-02T03:04:05.678901Z"
    assert texts.format_ago(time, time + timedelta(minutes=2)) == "2 min ago"
    assert (texts.format_time(None), texts.format_iso(None)) == ("–", "")


def test_code_is_between_backticks() -> None:
    assert texts.split_code("do `this` now") == [(False, "do "), (True, "this"), (False, " now")]


def test_an_event_has_one_field_a_line() -> None:
    assert (
        build_event(7, "<tr>\r\n\n<td>id: 8</td>") == "id: 7\ndata: <tr>\ndata: <td>id: 8</td>\n\n"
    )


async def test_simultaneous_requests_ask_together() -> None:
    asked: list[str] = []
    answers = SharedAnswers(lambda: 0.0)

    async def ask() -> int:
        asked.append("once")
        await asyncio.sleep(0)
        return len(asked)

    assert await asyncio.gather(*(answers.get("a", 1.0, ask) for _ in range(5))) == [1] * 5
    assert await answers.get("b", 1.0, ask) == 2


async def test_a_result_is_kept_for_some_seconds() -> None:
    now = [0.0]
    answers = SharedAnswers(lambda: now[0])
    numbers = iter(range(10))

    async def ask() -> int:
        return next(numbers)

    assert [await answers.get("a", 2.0, ask) for _ in range(2)] == [0, 0]
    now[0] = 2.0
    assert await answers.get("a", 2.0, ask) == 1


async def test_an_error_is_not_kept() -> None:
    answers = SharedAnswers(lambda: 0.0)

    async def fail() -> int:
        raise ValueError("once")

    async def ask() -> int:
        return 1

    with pytest.raises(ValueError, match="once"):
        await answers.get("a", 2.0, fail)
    assert await answers.get("a", 2.0, ask) == 1
