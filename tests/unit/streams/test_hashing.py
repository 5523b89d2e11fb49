"""hash_64 and the members of consumer groups: tables of what the server answers, and properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb.streams import cardinal_id, group_member, hash_64


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("", -3162216497309240828),
        ("a", 919145239626757800),
        ("someStream", 2053039834977696644),
        ("1", -4266524885998034046),
        ("123", 2318431741638412123),
        ("abc", -8070080442485551184),
        ("account", -2132379389342958165),
        ("account:command", 4331363904667975395),
        ("someCategory", 2088807128541146304),
        ("someStream-123", -6897031765186548867),
        ("testStream", -8088774503009197942),
        ("00000000-0000-4000-8000-000000000001", 5016017787118691403),
        ("00000000-0000-4000-8000-000000000002", -7398545041996669218),
        ("00000000-0000-4000-8000-000000000003", 7559979562328973446),
        ("é", 7412306613632936882),
        ("日本", 5602146873243957380),
    ],
)
def test_hash_64_is_the_servers(value: str, number: int) -> None:
    assert hash_64(value) == number


@pytest.mark.parametrize(
    ("names", "members"),
    [
        (("cg-1", "cg-1+x", "cg-1+y", "other-1", "cg:command-1"), (0, 0, 0, 2, 1, 0, 2, 6)),
        (("cg-2",), (0, 1, 1, 1, 2, 1, 3, 5)),
        (("cg-3",), (0, 0, 2, 2, 4, 2, 6, 2)),
        (("cg-4",), (0, 1, 0, 3, 4, 3, 0, 3)),
        (("cg-5",), (0, 1, 0, 3, 2, 3, 0, 3)),
        (("cg-abc", "cg-abc+1"), (0, 0, 2, 0, 4, 2, 2, 0)),
        (("cg-1-2",), (0, 1, 0, 1, 2, 3, 2, 5)),
        (("cg-", "cg-+1"), (0, 0, 2, 0, 3, 2, 2, 4)),
        (("cg", ""), (None,) * 8),
    ],
)
def test_members_are_the_servers(names: tuple[str, ...], members: tuple[int | None, ...]) -> None:
    for name in names:
        assert tuple(group_member(name, size) for size in range(1, 9)) == members


@given(st.text(), st.integers(1, 32767))
def test_a_member_is_one_of_the_group(name: str, size: int) -> None:
    member = group_member(name, size)
    if cardinal_id(name) is None:
        assert member is None
    else:
        assert member is not None
        assert 0 <= member < size


@given(st.text(st.characters(codec="utf-8")))
def test_a_hash_is_a_signed_64_bit_integer(value: str) -> None:
    assert -(2**63) <= hash_64(value) < 2**63


@pytest.mark.parametrize("size", [0, -1, 32768, 1.0, True, None, "3"])
def test_a_size_is_a_positive_smallint(size: Any) -> None:
    with pytest.raises(ValueError, match="integer from 1 to 32767"):
        group_member("cg-1", size)


def test_a_lone_surrogate_has_no_hash() -> None:
    with pytest.raises(ValueError, match="lone surrogate"):
        hash_64("\ud800")
    with pytest.raises(ValueError, match="lone surrogate"):
        group_member("cg-\udfff", 3)
