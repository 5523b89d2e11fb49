"""The words that the Tab key completes, as each shell has them."""

from __future__ import annotations

import pytest

from messagedb.cli._complete import choose, join_words


@pytest.mark.parametrize(
    ("words", "current", "joined", "place"),
    [
        (["messagedb", "read", "acc"], 2, ["messagedb", "read", "acc"], 2),
        (["messagedb", "read", "a", ":", "b"], 4, ["messagedb", "read", "a:b"], 2),
        (["messagedb", "read", "a", ":"], 3, ["messagedb", "read", "a:"], 2),
        (["messagedb", "read", "a", ":", ""], 4, ["messagedb", "read", "a:"], 2),
        (["messagedb", "--url", "=", "x", "read", ""], 5, ["messagedb", "--url=x", "read", ""], 3),
        (["messagedb", "read", "a", ":", "b", "-f"], 5, ["messagedb", "read", "a:b", "-f"], 3),
        (["messagedb", "read"], 2, ["messagedb", "read"], 2),
    ],
)
def test_bash_divides_words_at_a_colon(
    words: list[str], current: int, joined: list[str], place: int
) -> None:
    assert join_words(words, current) == (joined, place)


def test_names_that_begin_so_are_offered_in_order() -> None:
    found = ["other", "account:position", "account", "account:command", "account"]
    assert choose(found, "account:") == ["account:command", "account:position"]


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a'b",
        'a"b',
        "$(reboot)",
        "`reboot`",
        "a;b",
        "a*",
        "a?",
        "a\nb",
        "a\\b",
        "--yes",
        "~x",
    ],
)
def test_a_name_that_a_shell_would_run_is_not_offered(name: str) -> None:
    assert choose([name, "é日-1"], "") == ["é日-1"]


def test_at_most_fifty_names_are_offered() -> None:
    assert len(choose((f"account-{n}" for n in range(1000)), "account")) == 50
