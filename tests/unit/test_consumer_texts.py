"""Error texts and reasons, whatever they contain."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import Park
from messagedb._consumers.failure_texts import reason_of
from messagedb._subscriptions.log_texts import fit, shown, text_of


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
    assert reason_of(ValueError("\n first\nsecond")) == "ValueError: first"
    assert reason_of(ValueError()) == reason_of(ValueError("\n")) == "ValueError"
    assert reason_of(Park("why")) == "why"
    assert reason_of(Park()) == "Park"
    assert reason_of(Park("why\nnot")) == "why\\nnot"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a\x00b", "a\\x00b"),
        ("a\ud800b", "a\\ud800b"),
        ("\x1b[31mred\x9b", "\\x1b[31mred\\x9b"),
        ("tab\tÄ😀", "tab\tÄ😀"),
    ],
)
def test_what_cannot_be_stored_is_escaped(given: str, expected: str) -> None:
    assert fit(given) == expected
    assert reason_of(ValueError(given)).rstrip() == f"ValueError: {expected}"
    assert reason_of(Park(given)) == text_of(ValueError(given)) == expected


@pytest.mark.parametrize("long", ["x" * 30_000_000, "\x00" * 5000, "😀" * 5000])
def test_a_long_text_is_shortened_to_a_few_kilobytes(long: str) -> None:
    for text in (fit(long), reason_of(ValueError(long)), text_of(ValueError(long)), shown(long)):
        assert 2000 <= len(text) <= 2100
        assert len(text.encode()) < 9000
        assert "shortened" in text


def test_an_error_without_a_text_is_named() -> None:
    assert reason_of(Hostile()) == "Hostile (its text is not available: RuntimeError)"
    assert text_of(Hostile()) == "<Hostile whose text is not available: RuntimeError>"
    assert shown(Hostile()) == "<Hostile whose text is not available: RuntimeError>"
    assert reason_of(Worded()) == "Worded: odd\\x00"
