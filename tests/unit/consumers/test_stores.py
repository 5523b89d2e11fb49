"""Names of streams and rows that consumers keep their positions in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import ValidationError
from messagedb._consumers.position_stores import (
    build_consumer_name,
    check_identifier,
    derive_lease_keys,
    position_stream_name,
)
from messagedb.streams.reserved import is_bookkeeping, parked_stream_name


@pytest.mark.parametrize(
    ("category", "identifier", "stream"),
    [
        # As Eventide names them.
        ("C", None, "C:position"),
        ("C", "someIdentifier", "C:position-someIdentifier"),
        ("C:someType", None, "C:someType+position"),
        ("C:position", None, "C:position"),
        ("account", None, "account:position"),
        ("account:command", None, "account:command+position"),
        ("account:command", "someId", "account:command+position-someId"),
        ("account:command+position", "someId", "account:command+position-someId"),
        ("C:a:b", None, "C:a+position"),
        ("C", "some-Identifier", "C:position-some-Identifier"),
        ("C:", None, "C:position"),
    ],
)
def test_position_streams(category: str, identifier: str | None, stream: str) -> None:
    """Unlike stetsmando's client, which names it ``account+position-id``."""
    assert position_stream_name(category, identifier) == stream
    assert is_bookkeeping(stream)


@pytest.mark.parametrize(
    ("category", "identifier", "stream"),
    [
        ("account", None, "account:parked"),
        ("account", "x", "account:parked-x"),
        ("account:command", "x", "account:command+parked-x"),
    ],
)
def test_streams_of_parked_messages(category: str, identifier: str | None, stream: str) -> None:
    assert parked_stream_name(category, identifier) == stream
    assert not is_bookkeeping(stream)


@pytest.mark.parametrize(
    ("stream", "is_one"),
    [
        ("account:position-x", True),
        ("account:command+position", True),
        ("account:position+command-1", True),
        ("account-position", False),
        ("account", False),
        ("position-1", False),
        ("position", False),
        ("account:positions-1", False),
        ("account-1:position", False),
        ("account:command-position", False),
    ],
)
def test_which_streams_hold_positions(stream: str, is_one: bool) -> None:
    assert is_bookkeeping(stream) is is_one


def test_members_of_a_group_have_names_of_their_own() -> None:
    assert build_consumer_name(None, None, None) is None
    assert build_consumer_name("a", None, None) == "a"
    names = {build_consumer_name("a", member, size) for size in (2, 3) for member in range(size)}
    assert len(names) == 5
    assert build_consumer_name("a", 0, 2) == "a+0+2"


def test_identifiers() -> None:
    check_identifier(None, is_member=False)
    check_identifier("some id", is_member=True)
    with pytest.raises(ValidationError, match="a member of a consumer group needs an identifier"):
        check_identifier(None, is_member=True)
    wrong: Any
    for wrong in ("", 5, b"a", "\0", "x" * 4000):
        with pytest.raises(ValidationError):
            check_identifier(wrong, is_member=False)


@given(st.text(), st.text())
def test_the_keys_of_a_lease_are_two_integers_of_32_bits(name: str, other: str) -> None:
    keys = derive_lease_keys(name)
    assert keys == derive_lease_keys(name)
    assert all(-(2**31) <= key < 2**31 for key in keys)
    assert (keys == derive_lease_keys(other)) is (name == other)
