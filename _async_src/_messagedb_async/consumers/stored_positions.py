"""Reads of the stored positions of consumers that others wait for, and notifications about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._consumers.consumer_report import parse_report
from messagedb._consumers.position_waits import Place, build_place
from messagedb._errors import MessageDBError
from messagedb._operations.requests import ReadRequest, build_category_read, build_last_message_read
from messagedb._operations.rows import parse_messages
from messagedb._sql import consumers as consumers_sql
from messagedb._sql import partitions
from messagedb._sql.statements import Statement, array_literal

from ..operations.internals import get_session_config, read_in_history, read_rows

if TYPE_CHECKING:
    from collections.abc import Collection

    from messagedb._consumers.consumer_report import ConsumerReport
    from messagedb._consumers.position_waits import Share

    from ..client_core.core import AsyncClientCore


async def read_places(
    client: AsyncClientCore, names: Collection[str], *, has_table: bool
) -> dict[str, Place]:
    """Return the stored positions under some names, read on one connection.

    Args:
        client: the client to read with. Its hooks are not called.
        names: streams of positions, which are the keys of the rows, too.
        has_table: whether the table of positions can be read.

    Raises:
        MessageDBError: the store was unavailable or refused.
    """
    config = get_session_config(client)
    reads = [build_last_message_read(config.sql, name, None) for name in names]
    if has_table:
        values = (config.settings.schema, array_literal(names))
        reads.append(_build_read(consumers_sql.WAITED_POSITIONS, *values))
    results, _ = await read_in_history(client, *reads)
    rows: dict[str, tuple[int, int | None]] = {}
    if has_table:
        rows = {name: (position, size) for name, position, size in results.pop()}
    places: dict[str, Place] = {}
    for name, found in zip(names, results, strict=True):
        records = parse_messages(found, config.settings.decimals)
        places[name] = build_place(name, records[0] if records else None, rows.get(name))
    return places


async def find_tables(client: AsyncClientCore) -> tuple[bool, bool]:
    """Return whether the role may read the tables of positions, and of partitioned consumers."""
    reads = map(_build_read, (consumers_sql.HAS_POSITIONS, consumers_sql.HAS_PARTITION_SETS))
    (positions, sets), _ = await read_in_history(client, *reads)
    return bool(positions[0][0]), bool(sets[0][0])


async def read_sizes(
    client: AsyncClientCore, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return the numbers of partitions of consumers that have some, by category and identifier."""
    schema = get_session_config(client).settings.schema
    reads = [_build_read(partitions.HAS_SET, schema, *key) for key in keys]
    results, _ = await read_in_history(client, *reads)
    return {key: rows[0][0] for key, rows in zip(keys, results, strict=True) if rows}


async def find_shares_without_messages(
    client: AsyncClientCore, shares: Collection[Share], last: int
) -> list[str]:
    """Return the names of the members of a group that have no message up to a global position.

    None has, for certain, only when the category has a message at this position or after it: no
    message appears before that one any more. Which member reads the stream without an id is not
    known: each may, if it has a message.

    Raises:
        MessageDBError: the store was unavailable or refused.
    """
    sql, decimals = get_session_config(client).sql, get_session_config(client).settings.decimals
    category = next(iter(shares)).category
    # In this order: what is written meanwhile comes after the message that is found first.
    reads = [
        build_category_read(sql, category, last, 1, None, None, None, None),
        build_last_message_read(sql, category, None),
    ]
    for each in shares:
        group = (each.member, each.size)
        reads.append(build_category_read(sql, category, each.position, 1, None, *group, None))
    results, _ = await read_in_history(client, *reads)
    reached, without_id, *found = [
        [each.global_position for each in parse_messages(rows, decimals)] for rows in results
    ]
    if not reached:
        return []
    return [
        share.name
        for share, positions in zip(shares, found, strict=True)
        if not any(each <= last for each in positions)
        and not any(each >= share.position for each in without_id)
    ]


async def read_reports(
    client: AsyncClientCore, names: Collection[str]
) -> dict[str, ConsumerReport] | None:
    """Return the last reports of some consumers, by name; None if they cannot be read."""
    try:
        if not (await read_rows(client, _build_read(consumers_sql.HAS_STATUS)))[0][0]:
            return None
        values = (get_session_config(client).settings.schema, array_literal(names))
        rows = await read_rows(client, _build_read(consumers_sql.REPORTS_OF, *values))
    except MessageDBError:
        return None
    return {origin.name: report for origin, report in map(parse_report, rows)}


async def notify_quickly(client: AsyncClientCore, channel: str, payloads: Collection[str]) -> None:
    """Send notifications, which may be lost in a crash of the server.

    Raises:
        MessageDBError: the store was unavailable, or is read-only.
    """
    await read_rows(
        client, _build_read(consumers_sql.NOTIFY_QUICKLY, channel, array_literal(payloads))
    )


def _build_read(text: bytes, *values: Any) -> ReadRequest:
    return ReadRequest(Statement(text, values), Statement(text, values))
