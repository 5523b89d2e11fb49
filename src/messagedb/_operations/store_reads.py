"""Reads of the whole store: backwards, and from a time on. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .._errors import ValidationError
from .._sql.statements import Statement, with_condition
from . import validation
from .requests import ReadRequest
from .rows import parse_messages as messages_of
from .scan_requests import build_array, build_category_array
from .scan_results import ScannedPage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._sql.scans import ScanStatements
    from .scan_requests import Rows

_PROBE_SIZE: Final = 64
"""The number of messages that one probe for a time looks at."""


class BackwardsScan(msgspec.Struct, frozen=True):
    """A scan of the whole store backwards."""

    read: ReadRequest
    position: int
    size: int

    def parse(self, rows: Rows, decimals: bool) -> ScannedPage:
        """Return the page that the rows contain. Its position is the lowest that was scanned."""
        count, lowest = rows.pop()[3:5]
        position = self.position + 1 if lowest is None else lowest
        ids = [row[0] for row in rows]
        return ScannedPage(
            messages_of(rows, decimals), position, count, count >= self.size, ids=ids
        )


def build_backwards_scan(
    sql: ScanStatements,
    position: int,
    size: int,
    lowest: int,
    categories: Iterable[str] | None,
    types: Iterable[str] | None,
    condition: str | None,
) -> BackwardsScan:
    """Return a scan of one page of the store from a position down to the lowest one."""
    validation.check_position(position)
    validation.check_condition(condition)
    names = build_category_array(categories)
    types = build_array("types", types, validation.check_type)
    text = with_condition(sql.store_scan_backwards, condition)
    query = Statement(text, (position, size, names, types, lowest))
    read = ReadRequest(query, query, is_query_preferred=True, has_user_sql=condition is not None)
    return BackwardsScan(read, position, size)


def check_since(since: Any) -> None:
    """Refuse a time without a time zone.

    Raises:
        ValidationError: it is not an aware time. Nothing was sent.
    """
    if not isinstance(since, datetime) or since.utcoffset() is None:
        raise ValidationError(
            "since must be a datetime with a time zone, such as "
            f"datetime(2026, 1, 1, tzinfo=UTC), not {since!r:.60}. Nothing was sent."
        )


class TimeSearch:
    """The search for the first global position whose message is not earlier than a time.

    Times are not indexed, but they nearly grow with the positions, so the interval of positions is
    halved with each probe. A message has the time at which its transaction began: so the time of
    one message says little, and a probe looks at several. If one of them is late enough, the
    position that is looked for is not behind it: a position is assigned after the transaction
    began. If none is, it is taken to be behind them.

    Args:
        since: the time.
        first: the first global position of the store.
        last: the last one.

    Attributes:
        found: the first position that is known to be late enough; ``last + 1`` if there is none.
    """

    def __init__(self, since: datetime, first: int, last: int) -> None:
        self.found = last + 1
        self._since = since.astimezone(UTC).replace(tzinfo=None).isoformat()
        self._low = first
        self._high = last + 1

    def next_probe(self, sql: ScanStatements) -> ReadRequest | None:
        """Return the next read; None if the search is over."""
        if self._low >= self._high:
            return None
        query = Statement(sql.time_probe, (self._middle, self._since, _PROBE_SIZE))
        return ReadRequest(query, query, is_query_preferred=True)

    def note_result(self, rows: Rows) -> None:
        """Note the row of the read: the first position that is late enough, and the last of all."""
        found, last = rows[0]
        if found is not None:
            self.found = min(self.found, found)
            self._high = self._middle
        elif last is not None:
            self._low = last + 1
        else:
            self._high = self._middle

    @property
    def _middle(self) -> int:
        return (self._low + self._high) // 2


def build_store_bounds(sql: ScanStatements) -> ReadRequest:
    """Return the read of the first and the last global position; NULL if the store is empty."""
    query = Statement(sql.store_bounds, ())
    return ReadRequest(query, query, is_query_preferred=True)
