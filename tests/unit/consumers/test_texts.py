"""Error texts and reasons, whatever they contain."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import Park
from messagedb._consumers.failure_texts import format_reason
from messagedb._subscriptions.log_texts import escape_line, format_error, format_value


class Hostile(ValueError):
    """An error without an available text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Words(str):
    """A string with overridden methods."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> str:
        raise RuntimeError("no part")

    def strip(self, chars: str | None = None, /) -> str:
        raise RuntimeError("no strip")


class Worded(ValueError):
    """An error whose text is such a one."""

    def __str__(self) -> str:
        return Words("odd\x00")


def test_a_reason_is_one_line() -> None:
    assert format_reason(ValueError("\n first\nsecond")) == "ValueError: first"
    assert format_reason(ValueError()) == format_reason(ValueError("\n")) == "ValueError"
    assert format_reason(Park("why")) == "why"
    assert format_reason(Park()) == "Park"
    assert format_reason(Park("why\nnot")) == "why\\nnot"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a\x00b", "a\\x00b"),
        ("a\ud800b", "a\\ud800b"),
        ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
        ("tab\tÄ😀", "tab\tÄ😀"),
    ],
)
def test_characters_that_cannot_be_stored_are_escaped(given: str, expected: str) -> None:
    assert escape_line(given) == expected
    assert format_reason(ValueError(given)).rstrip() == f"ValueError: {expected}"
    assert format_reason(Park(given)) == format_error(ValueError(given)) == expected


@pytest.mark.parametrize("long", ["x" * 30_000_000, "\x00" * 5000, "😀" * 5000])
def test_a_long_text_is_shortened_to_a_few_kilobytes(long: str) -> None:
    for text in (
        escape_line(long),
        format_reason(ValueError(long)),
        format_error(ValueError(long)),
        format_value(long),
    ):
        assert 2000 <= len(text) <= 2100
        assert len(text.encode()) < 9000
        assert "shortened" in text


def test_an_error_without_a_text_is_named() -> None:
    assert format_reason(Hostile()) == "Hostile (its text is not available: RuntimeError)"
    assert format_error(Hostile()) == "<Hostile whose text is not available: RuntimeError>"
    assert format_value(Hostile()) == "<Hostile whose text is not available: RuntimeError>"
    assert format_reason(Worded()) == "Worded: odd\\x00"
