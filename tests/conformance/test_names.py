"""The name functions and the hash: the server's, ours and the genuine, and Python's agree."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messagedb import streams
from tests.conformance.calls import TABLES, Pair

PARSED: list[tuple[str | None, str | None, str | None, str | None, bool]] = [
    ("someStream", "someStream", None, None, True),
    ("someStream-123", "someStream", "123", "123", False),
    ("some-stream-123", "some", "stream-123", "stream-123", False),
    ("someStream-", "someStream", "", "", False),
    ("-123", "", "123", "123", False),
    ("-", "", "", "", False),
    ("", "", None, None, True),
    (None, None, None, None, True),
    ("account:command-123", "account:command", "123", "123", False),
    ("account:command+position-xyz", "account:command+position", "xyz", "xyz", False),
    ("someCategory-a+b+c", "someCategory", "a+b+c", "a", False),
    ("someCategory-+b", "someCategory", "+b", "", False),
    ("someCategory-a+", "someCategory", "a+", "a", False),
    ("someCategory-a-b+c", "someCategory", "a-b+c", "a-b", False),
    ("a:b-c:d+e", "a:b", "c:d+e", "c:d", False),
    ("a\n-b\n+c", "a\n", "b\n+c", "b\n", False),
]
HASHES: list[tuple[str | None, int | None]] = [
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
    ("konto-é", -8401555201355923965),
    (None, None),
]
# The members for group sizes 1 to 8; the names of the last row are in no group at all.
MEMBERS: list[tuple[str, list[int] | None]] = [
    *((name, [0, 0, 0, 2, 1, 0, 2, 6]) for name in ("cg-1", "cg-1+x", "cg-1+y")),
    ("cg-2", [0, 1, 1, 1, 2, 1, 3, 5]),
    ("cg-3", [0, 0, 2, 2, 4, 2, 6, 2]),
    ("cg-4", [0, 1, 0, 3, 4, 3, 0, 3]),
    ("cg-5", [0, 1, 0, 3, 2, 3, 0, 3]),
    *((name, [0, 0, 2, 0, 4, 2, 2, 0]) for name in ("cg-abc", "cg-abc+1")),
    ("cg-1-2", [0, 1, 0, 1, 2, 3, 2, 5]),
    ("cg-", [0, 0, 2, 0, 3, 2, 2, 4]),
    ("cg", None),
]

NAMES = (
    "select message_store.category(s), message_store.id(s), message_store.cardinal_id(s),"
    " message_store.is_category(s), message_store.hash_64(s)"
    " from unnest(%s::varchar[]) with ordinality as v(s, n) order by n"
)
WRITE = "select write_message(%s, %s, 'T', '{}'::jsonb)"
MEMBER = "select stream_name from get_category_messages(%s, 1, -1, null, %s, %s)"

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NAME = TEXT | st.text("ab-+:é日", max_size=12)


@pytest.mark.parametrize(("name", "category", "id", "cardinal_id", "is_category"), PARSED)
def test_the_parts_of_a_name(
    long_pair: Pair,
    name: str | None,
    category: str | None,
    id: str | None,
    cardinal_id: str | None,
    is_category: bool,
) -> None:
    rows = long_pair.same(NAMES, [[name]]).rows
    assert rows[0][:4] == (category, id, cardinal_id, is_category)
    if name is not None:
        assert streams.category(name) == category
        assert streams.id(name) == id
        assert streams.cardinal_id(name) == cardinal_id
        assert streams.is_category(name) is is_category


@pytest.mark.parametrize(("value", "expected"), HASHES)
def test_the_hash(long_pair: Pair, value: str | None, expected: int | None) -> None:
    assert long_pair.same(NAMES, [[value]]).rows[0][4] == expected
    if value is not None:
        assert streams.hash_64(value) == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(NAME, min_size=1, max_size=40))
def test_every_text_has_the_same_parts_and_hash(long_pair: Pair, names: list[str]) -> None:
    here = [
        (
            streams.category(name),
            streams.id(name),
            streams.cardinal_id(name),
            streams.is_category(name),
            streams.hash_64(name),
        )
        for name in names
    ]
    assert long_pair.same(NAMES, [names]).rows == here


def _write(pair: Pair, names: list[str]) -> None:
    pair.both(TABLES)
    for conn in pair:
        with conn.transaction(), conn.cursor() as cursor:
            cursor.executemany(WRITE, [(str(uuid.uuid4()), name) for name in names])


def test_the_members_of_the_vectors(pair: Pair) -> None:
    _write(pair, [name for name, _ in MEMBERS])
    for size in range(1, 9):
        read = {
            name: member
            for member in range(size)
            for (name,) in pair.same(MEMBER, ["cg", member, size]).rows
        }
        assert read == {name: members[size - 1] for name, members in MEMBERS if members}
        assert all(streams.group_member(name, size) == read.get(name) for name, _ in MEMBERS)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    category=TEXT.map(lambda text: text.replace("-", "")),
    ids=st.lists(NAME, max_size=8, unique=True),
    size=st.integers(1, 8),
)
def test_the_members_that_read_a_stream(
    pair: Pair, category: str, ids: list[str], size: int
) -> None:
    names = [category, *(f"{category}-{id}" for id in ids)]
    _write(pair, names)
    for member in range(size):
        expected = [name for name in names if streams.group_member(name, size) == member]
        assert pair.same(MEMBER, [category, member, size]).rows == [(name,) for name in expected]
