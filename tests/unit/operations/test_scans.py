"""Statements of scans and the interpretation of their rows, without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from messagedb._operations import scan_requests
from messagedb._operations.scan_results import Lag, OpenWriteTransaction
from messagedb._sql.scans import scan_statements
from messagedb._sql.statements import statements
from messagedb.errors import IncompatibleServerError, ValidationError

SQL = scan_statements("message_store")
READS = statements("message_store")
MESSAGE = ("id", "a-1", "A", 0, 7, None, None, 0)


def category(**options: Any) -> scan_requests.CategoryScan:
    given: dict[str, Any] = {
        "category": "a",
        "position": 5,
        "size": 2,
        "correlation": None,
        "group_member": None,
        "group_size": None,
        "streams_without_id": False,
        "types": None,
        "condition": None,
    }
    return scan_requests.build_category_scan(SQL, READS, **(given | options))


def test_without_filters_a_scan_is_the_plain_page() -> None:
    scan = category()
    assert scan.read.query.text == READS.category_query.replace(b"\0", b"true")
    found = scan.parse([MESSAGE], decimals=False)
    assert (found.position, found.count, found.is_full) == (7, 1, False)
    nothing = scan.parse([], decimals=False)
    assert (nothing.position, nothing.count, nothing.messages) == (4, 0, [])


@pytest.mark.parametrize(
    "filters",
    [
        {"correlation": "b"},
        {"group_member": 0, "group_size": 1},
        {"types": []},
        {"types": ["A"]},
        {"condition": "true"},
    ],
)
def test_with_filters_the_last_row_tells_what_was_looked_at(filters: dict[str, Any]) -> None:
    scan = category(**filters)
    assert scan.read.has_user_sql == ("condition" in filters)
    assert not scan.read.has_condition
    for statement in (scan.read.call, scan.read.query):
        assert b"\0" not in statement.text
        assert len(statement.params) == 8
    summary = (None, None, None, 2, 9, None, None, None)
    found = scan.parse([MESSAGE, summary], decimals=False)
    assert (len(found.messages), found.position, found.count, found.is_full) == (1, 9, 2, True)
    nothing = scan.parse([(None, None, None, 0, None, None, None, None)], decimals=False)
    assert (nothing.position, nothing.count, nothing.is_full) == (4, 0, False)


def test_texts_become_an_array_that_postgresql_reads() -> None:
    types = ["A", 'say "hi"', "back\\slash", "a,b", "{}", "NULL", "", "é", "A"]
    wanted = r'{"A","say \"hi\"","back\\slash","a,b","{}","NULL","","é"}'
    assert category(types=iter(types)).read.query.params[-1] == wanted


@pytest.mark.parametrize("types", ["A", b"A", 5, [5], [None], ["a\0"]])
def test_message_types_that_are_none(types: Any) -> None:
    with pytest.raises(ValidationError, match="type"):
        category(types=types)


def test_a_page_has_a_size() -> None:
    assert scan_requests.get_scan_size(None, 50) == 50
    assert scan_requests.get_scan_size(None, -1) == 1000
    assert scan_requests.get_scan_size(1, 50) == 1
    for size in (0, -1, True, "5", 2**63):
        with pytest.raises(ValidationError, match="batch_size"):
            scan_requests.get_scan_size(size, 50)


def test_the_rows_of_a_page_of_the_store() -> None:
    scan = scan_requests.build_store_scan(SQL, -3, 2, ["a"], None, None)
    assert scan.position == 1
    rows = [
        MESSAGE,
        (None, None, None, 1, 6, None, None, None),
        (None, None, None, 8, 8, None, None, None),
        (None, None, None, 2, 9, None, None, None),
        (None, None, None, 0, 30, None, None, None),
    ]
    found = scan.parse(rows, decimals=False)
    assert found.gaps == [(1, 6), (8, 8)]
    assert (found.position, found.count, found.is_full, found.head) == (9, 2, True, 30)
    empty = [(None, None, None, 0, None, *[None] * 3), (None, None, None, 0, None, *[None] * 3)]
    nothing = scan.parse(empty, decimals=False)
    assert (nothing.position, nothing.count, nothing.gaps, nothing.head) == (0, 0, [], 0)
    standby = [(None, None, None, 0, None, *[None] * 3), (None, None, None, 1, 9, *[None] * 3)]
    with pytest.raises(IncompatibleServerError, match="standby"):
        scan.parse(standby, decimals=False)


def test_writers_are_named_once_each() -> None:
    row = (False, 1, "3/7", 50, "app", "me", 1_000_000, "active", None)
    since = datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)
    wanted = OpenWriteTransaction("3/7", 50, "app", "me", since, "active")
    assert scan_requests.parse_writers([row, row]) == [wanted]
    assert scan_requests.parse_writers([(False, None, *[None] * 7)]) == []
    with pytest.raises(IncompatibleServerError, match="CACHE"):
        scan_requests.parse_writers([(False, 20, *[None] * 7)])


def test_a_lag_tells_whether_it_is_exact() -> None:
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    look = scan_requests.build_lag(SQL, ["a"], 0, 5000)
    assert look.parse([(9, 3, 0, 0)], True) == Lag(9, 3, True, moment, moment)
    assert look.parse([(9, 5000, 0, 0)], True).is_exact is False
    assert look.parse([(None, 0, None, 0)], True) == Lag(0, 0, True, None, moment)
    assert look.parse([(None, 1000, 0, 0)], False) == Lag(None, 1000, False, moment, moment)
    # Python has no equivalent of PostgreSQL's infinite time.
    assert look.parse([(9, 3, 2**63 - 1, 0)], True).oldest is None
    for limit in (0, True, 2.0):
        with pytest.raises(ValidationError, match="limit"):
            scan_requests.build_lag(SQL, None, 0, limit)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="categories"):
        scan_requests.build_lag(SQL, "account", 0, 1)
