"""The lists of categories and streams: their requests to the server, and their results."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .._argument_checks import check_integer, check_string
from .._sql.listings import CATEGORIES_ON_NODES, STREAMS_ON_NODE
from .._sql.statements import Statement
from . import validation
from .requests import ReadRequest
from .scan_requests import to_utc

if TYPE_CHECKING:
    from .._sql.listings import ListingStatements

__all__ = ["CategoryInfo", "StreamInfo"]

MAX_LISTED: Final = 100_000
"""The largest number of names in one list."""

# Each of them sorts after all other characters in some collations: the first two in those of glibc,
# the next one in those of ICU, the last one where names are compared byte by byte.
_LAST_CHARACTERS: Final = ("\u9fa5", "\u9fff", "\uffff", "\U0010ffff")
_REPEATED: Final = 4  # so that a name that begins with one of them is in its range, too


class CategoryInfo(msgspec.Struct, frozen=True):
    """A category, and its last message.

    Example::

        for each in client.list_categories():
            print(each.name, each.last_global_position, each.last_time)

    Attributes:
        name: the category.
        last_global_position: the global position of its last message.
        last_time: the time of that message, aware and in UTC; None if Python cannot represent it.
    """

    name: str
    last_global_position: int
    last_time: datetime | None


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream, and its last message.

    Example::

        for each in client.list_streams("account"):
            print(each.name, each.version, each.last_time)

    Attributes:
        name: the stream.
        version: the position of its last message in the stream: one less than its number of
            messages, unless some were deleted.
        last_global_position: the global position of that message.
        last_time: the time of that message, aware and in UTC; None if Python cannot represent it.
    """

    name: str
    version: int
    last_global_position: int
    last_time: datetime | None


def build_category_list(
    sql: ListingStatements, after: str | None, limit: int, has_nodes: bool = False
) -> ReadRequest:
    """Return the read of the categories after one."""
    check_integer("limit", limit, least=1, most=MAX_LISTED)
    if after is not None:
        check_string("after", after)
    if has_nodes:
        is_after = "false" if after is None else "true"
        return _build_query(CATEGORIES_ON_NODES, limit, after or "", is_after)
    if after is None:
        return _build_query(sql.categories, "", limit)
    return _build_query(sql.categories_after, after, limit)


def build_stream_list(
    sql: ListingStatements,
    category: str,
    prefix: str | None,
    after: str | None,
    limit: int,
    has_nodes: bool = False,
) -> ReadRequest:
    """Return the read of the streams of a category after one."""
    validation.check_category(category)
    check_integer("limit", limit, least=1, most=MAX_LISTED)
    for label, value in (("prefix", prefix), ("after", after)):
        if value is not None:
            check_string(label, value)
    start = f"{category}-{prefix or ''}"
    ends = [start + character * _REPEATED for character in _LAST_CHARACTERS]
    # A stream without an id has no prefix of one.
    without_id = category if not prefix else None
    text = STREAMS_ON_NODE if has_nodes else sql.streams
    return _build_query(text, start, after or "", limit, without_id, *ends)


def parse_categories(rows: list[tuple[Any, ...]]) -> list[CategoryInfo]:
    """Return the categories of the rows."""
    return [CategoryInfo(name, position, to_utc(time)) for name, position, time in rows]


def parse_streams(rows: list[tuple[Any, ...]]) -> list[StreamInfo]:
    """Return the streams of the rows."""
    return [
        StreamInfo(name, version, position, to_utc(time)) for name, version, position, time in rows
    ]


def _build_query(text: bytes, *params: Any) -> ReadRequest:
    query = Statement(text, params)
    return ReadRequest(query, query, is_query_preferred=True)
