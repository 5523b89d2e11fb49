"""The names around a component's category, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import streams
from messagedb.streams import Category, snapshot_stream_name

ACCOUNT = Category("account")
ID = st.text(st.characters(codec="utf-8", exclude_characters="\0+"), min_size=1)


class SomeEntity:
    pass


def test_the_names() -> None:
    assert ACCOUNT.name == str(ACCOUNT) == "account"
    assert ACCOUNT.stream_name("123") == "account-123"
    assert ACCOUNT.stream_name("123", "456") == "account-123+456"
    assert ACCOUNT.stream_name("123", type="a", types=["b"]) == "account:a+b-123"
    assert ACCOUNT.command_category == "account:command"
    assert ACCOUNT.command_stream_name("123", "456") == "account:command-123+456"
    assert ACCOUNT.position_stream_name() == "account:position"
    assert ACCOUNT.position_stream_name("x") == "account:position-x"
    assert ACCOUNT.snapshot_stream_name("1") == "account:snapshot-1"
    assert ACCOUNT.snapshot_stream_name("1", SomeEntity) == "someEntity:snapshot-1"
    assert ACCOUNT.snapshot_stream_name("1", specifier="V2") == "accountV2:snapshot-1"
    assert Category("account:special").snapshot_stream_name("1") == "account:snapshot-1"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "account-1",
        "-",
        ":command",
        "account:",
        "a:b:c",
        "a:b+",
        "a:+b",
        "a\0",
        "\ud800",
        None,
        5,
    ],
)
def test_invalid_categories_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match=r"categor|a type"):
        Category(name)


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ((None,), "must not be None"),
        (("",), "must not be empty"),
        ((5,), "must be a str"),
        (("1", None), "must be a str"),
        (("1+2", "3"), "must not contain '\\+'"),
        (("1\0",), "NUL"),
    ],
)
def test_invalid_ids_are_refused(ids: tuple[Any, ...], text: str) -> None:
    for compose in (ACCOUNT.stream_name, ACCOUNT.command_stream_name):
        with pytest.raises(ValueError, match=text):
            compose(*ids)


@pytest.mark.parametrize(
    ("entity", "id", "specifier"),
    [
        ("", "1", None),
        ("some-Entity", "1", None),
        ("some:Entity", "1", None),
        ("some/Entity", "1", None),
        ("Entity", None, None),
        ("Entity", "", None),
        ("Entity", "1", ""),
        ("Entity", "1", "a:b"),
        (None, "1", None),
    ],
)
def test_an_invalid_snapshot_stream_is_refused(entity: Any, id: Any, specifier: str | None) -> None:
    with pytest.raises(ValueError, match=r"stream name|further types"):
        snapshot_stream_name(entity, id, specifier)


@pytest.mark.parametrize(
    ("stream", "id", "ids"),
    [
        ("account-123", "123", ["123"]),
        ("account:command-123", "123", ["123"]),
        ("account-1+2", "1+2", ["1", "2"]),
        ("account-a-b", "a-b", ["a-b"]),
    ],
)
def test_ids_out_of_names(stream: str, id: str, ids: list[str]) -> None:
    assert stream in ACCOUNT
    assert ACCOUNT.parse_id(stream) == id
    assert ACCOUNT.parse_ids(stream) == ids


@pytest.mark.parametrize(
    "stream",
    [
        "transfer-1",
        "account",
        "account-",
        "account:command",
        "account:position-x",
        "accounts-1",
        "",
    ],
)
def test_streams_that_are_not_of_the_category(stream: str) -> None:
    assert stream not in ACCOUNT
    for ask in (ACCOUNT.parse_id, ACCOUNT.parse_ids):
        with pytest.raises(ValueError, match="'account-<id>' or 'account:command-<id>'"):
            ask(stream)
    assert None not in ACCOUNT


def test_equal_by_name() -> None:
    assert {ACCOUNT: 1}[Category("account")] == 1
    assert Category("transfer") != ACCOUNT
    assert ACCOUNT != "account"
    assert repr(ACCOUNT) == "Category('account')"


@given(st.lists(ID, min_size=1, max_size=4))
def test_the_ids_of_a_composed_name_come_back(ids: list[str]) -> None:
    for name in (ACCOUNT.stream_name(*ids), ACCOUNT.command_stream_name(*ids)):
        assert name in ACCOUNT
        assert ACCOUNT.parse_ids(name) == ids
        assert ACCOUNT.parse_id(name) == streams.id(name)
