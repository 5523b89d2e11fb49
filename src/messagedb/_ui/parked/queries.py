"""The queries of parked messages. Each reads one stream whole: that of the parked messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import sql

from ..._consumers.parked_messages import ParkedMessage
from ..nodes import NodeReader, Reader, move_to
from ..rendering.texts import SAFE_ERROR
from ..site import fetch
from .selection import LAST, Selection

MOST_GROUPS: Final = 50
"""The number of groups that are shown."""

MOST_SELECTED: Final = 100_000
"""The number of messages that one job takes."""

_OPEN: Final = """
SELECT p.position, p.id, p.data, p.time, p.data->>'type' AS type,
       coalesce(f.reason, p.data->>'reason') AS reason,
       coalesce(f.attempts, p.data->>'attempts') AS attempts,
       coalesce(substring(coalesce(f.reason, p.data->>'reason') FROM %(error_pattern)s), '')
           AS error,
       p.data->>'streamName' AS of_stream,
       coalesce(p.data->>'holdsStream' = 'true', false) AS holds,
       coalesce(
           p.data->>'messageId' ~* '^[0-9a-f]{{8}}(-?[0-9a-f]{{4}}){{3}}-?[0-9a-f]{{12}}$'
           AND p.data->>'streamName' <> '' AND p.data->>'type' IS NOT NULL
           AND p.data->>'position' ~ '^[0-9]{{1,18}}$'
           AND p.data->>'globalPosition' ~ '^[0-9]{{1,18}}$'
           AND p.data->>'attempts' ~ '^[0-9]{{1,18}}$', false) AS is_readable
FROM {table} p
LEFT JOIN (
    SELECT DISTINCT ON (r.data->>'parkedId') r.data->>'parkedId' AS id,
           r.data->>'reason' AS reason,
           substring(r.data->>'attempts' FROM '^[0-9]{{1,18}}$') AS attempts
    FROM {table} r WHERE r.stream_name = %(stream)s AND r.type = 'ReplayFailed'
    ORDER BY r.data->>'parkedId', r.position DESC) f ON f.id = p.id::text
WHERE p.stream_name = %(stream)s AND p.type = 'Parked'
  AND NOT EXISTS (
      SELECT FROM {table} r
      WHERE r.stream_name = %(stream)s AND r.type IN ('Replayed', 'Discarded')
        AND r.data->>'parkedId' = p.id::text)
"""

_SELECTED: Final = """
SELECT position, id, data, time, type, reason, error, attempts, holds FROM ({open}) o
WHERE is_readable AND position > %(after)s AND position <= %(up_to)s
  AND (%(type)s = '' OR type = %(type)s) AND (%(error)s = '' OR error = %(error)s)
  AND (%(id)s::uuid IS NULL OR id = %(id)s) AND (%(of)s = '' OR of_stream = %(of)s)
"""

_HELD: Final = """
SELECT of_stream, min((data->>'position')::bigint), count(*) FROM ({open}) o
WHERE is_readable AND holds AND of_stream = ANY (%(names)s) GROUP BY 1
"""

_UNREADABLE: Final = "SELECT position FROM ({open}) o WHERE NOT is_readable ORDER BY position"

_MOST_POSITIONS: Final = 5

_ANY_ERROR: Final = "[A-Za-z_][A-Za-z0-9_]*"


class Record(msgspec.Struct, frozen=True):
    """A parked message, with the place of its record.

    Attributes:
        record: the position of the record in the stream of parked messages.
        parked: the message.
        error: the class of its error; "" if the handler gave a reason.
    """

    record: int
    parked: ParkedMessage
    error: str


class Group(msgspec.Struct, frozen=True):
    """Parked messages of one type with one class of error."""

    type: str
    error: str
    count: int
    example: str
    oldest: datetime
    newest: datetime


class Extent(msgspec.Struct, frozen=True):
    """How many messages a selection has, how many hold their stream, and from where to where."""

    count: int
    held_count: int
    first: int | None
    last: int | None
    oldest: datetime | None
    last_record: int | None


class Unreadable(msgspec.Struct, frozen=True):
    """Records that another program or a damage has made, which name no message."""

    count: int
    positions: list[int]


async def fetch_records(
    tx: Reader,
    table: sql.Identifier,
    selection: Selection,
    *,
    after: int = -1,
    limit: int = MOST_SELECTED,
) -> list[Record]:
    """Return the parked messages of a selection, in the order of parking.

    Args:
        tx: the transaction.
        table: of messages.
        selection: the messages.
        after: the position of the last record of the page before.
        limit: the largest number of them.
    """
    query = sql.SQL("{selected} ORDER BY position LIMIT {limit}").format(
        selected=_select(table), limit=sql.Literal(limit)
    )
    rows = await _fetch(tx, query, selection, after)
    records = [_parse(row) for row in rows]
    names = sorted({each.parked.stream_name for each in records if each.parked.holds_stream})
    if not names:
        return records
    opened = sql.SQL(_OPEN).format(table=table)
    held = await _fetch(tx, sql.SQL(_HELD).format(open=opened), selection, names=names)
    places = {name: (first, count) for name, first, count in held}
    return [_place(each, places) for each in records]


async def fetch_groups(tx: Reader, table: sql.Identifier, selection: Selection) -> list[Group]:
    """Return the groups of a selection, the largest first."""
    query = sql.SQL(
        "SELECT type, error, count(*), left(min(reason), 300), min(time), max(time)"
        " FROM ({selected}) s GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {limit}"
    ).format(selected=_select(table), limit=sql.Literal(MOST_GROUPS))
    rows = await _fetch(tx, query, selection)
    return [
        Group(type, error, count, example or "", _as_utc(oldest), _as_utc(newest))
        for type, error, count, example, oldest, newest in rows
    ]


async def fetch_extent(tx: Reader, table: sql.Identifier, selection: Selection) -> Extent:
    """Return the number of messages of a selection, and their first and last positions."""
    query = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE holds), min((data->>'globalPosition')::bigint),"
        " max((data->>'globalPosition')::bigint), min(time), max(position) FROM ({selected}) s"
    ).format(selected=_select(table))
    ((count, held, first, last, oldest, last_record),) = await _fetch(tx, query, selection)
    return Extent(
        count, held, first, last, None if oldest is None else _as_utc(oldest), last_record
    )


async def fetch_unreadable(tx: Reader, table: sql.Identifier, selection: Selection) -> Unreadable:
    """Return how many records of a stream are not of parked messages, and where the first are."""
    opened = sql.SQL(_OPEN).format(table=table)
    rows = await _fetch(tx, sql.SQL(_UNREADABLE).format(open=opened), selection)
    return Unreadable(len(rows), [position for (position,) in rows[:_MOST_POSITIONS]])


async def fetch_oldest(
    tx: Reader, table: sql.Identifier, streams: Sequence[str]
) -> dict[str, datetime]:
    """Return the time of the oldest parked message of each stream that has one."""
    found: dict[str, datetime] = {}
    for stream in streams:
        extent = await fetch_extent(move_to(tx, stream), table, Selection(stream=stream))
        if extent.oldest is not None:
            found[stream] = extent.oldest
    return found


async def _fetch(
    tx: Reader,
    query: sql.Composable,
    selection: Selection,
    after: int = -1,
    *,
    names: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    # The server knows nothing about the ids in the data, and would look for each of them.
    parameters = {**_build_parameters(selection, after), "names": list(names)}
    if isinstance(tx, NodeReader):
        return await tx.fetch(query, parameters, nested_loops=False)
    await tx.connection.execute("SET LOCAL enable_nestloop = off")
    return await fetch(tx, query, parameters)


def _select(table: sql.Identifier) -> sql.Composed:
    return sql.SQL(_SELECTED).format(open=sql.SQL(_OPEN).format(table=table))


def _build_parameters(selection: Selection, after: int) -> dict[str, Any]:
    return {
        "stream": selection.stream,
        "of": selection.of,
        "type": selection.type,
        "error": selection.error,
        "up_to": LAST if selection.up_to is None else selection.up_to,
        "id": selection.id,
        "after": after,
        "error_pattern": f"^({SAFE_ERROR if selection.is_redacted else _ANY_ERROR})(?:: |$)",
    }


def _parse(row: tuple[Any, ...]) -> Record:
    position, id, data, time, type, reason, error, attempts, holds = row
    parked = ParkedMessage(
        UUID(str(id)),
        UUID(str(data["messageId"])),
        str(data["streamName"]),
        int(data["position"]),
        int(data["globalPosition"]),
        str(type),
        str(reason or ""),
        int(attempts),
        _as_utc(time),
        bool(holds),
    )
    return Record(position, parked, error)


def _place(record: Record, places: Mapping[str, tuple[int, int]]) -> Record:
    """Return a record with the place of its message in its held stream."""
    parked = record.parked
    if not parked.holds_stream or parked.stream_name not in places:
        return record
    first, count = places[parked.stream_name]
    place = {"behind_count": count - 1} if parked.position == first else {"waits_for": first}
    parked = msgspec.structs.replace(parked, **place)
    return msgspec.structs.replace(record, parked=parked)


def _as_utc(time: datetime | str) -> datetime:
    """Return a time of the server; a node gives it as text."""
    when = datetime.fromisoformat(time) if isinstance(time, str) else time
    return when.replace(tzinfo=UTC)
