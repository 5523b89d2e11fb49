"""The partitioned consumers of a store, and the partitions of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from messagedb._consumers.partition_info import add_lags, add_places, parse_set
from messagedb._consumers.partition_records import no_tables_error
from messagedb._consumers.partition_resize import is_not_partitioned_error
from messagedb._consumers.position_stores import check_identifier, position_stream_name
from messagedb._operations import validation
from messagedb._operations.requests import ReadRequest
from messagedb._sql import consumers as consumers_sql
from messagedb._sql import partitions as sql
from messagedb._sql.scans import scan_statements
from messagedb._sql.statements import Statement

from ..operations.internals import get_server, get_session_config, read_rows
from .consumer_info import find_names_on
from .stored_positions import read_places, read_reports

if TYPE_CHECKING:
    from messagedb._consumers.partition_info import PartitionSetInfo

    from ..client_core.core import AsyncClientCore

_COUNTED_LAG: Final = 10_000
# By the function of Message DB: the partitions, and the messages of each, that are read at most.
_MOST_READ: Final = 64
_MOST_MESSAGES: Final = 1_000


async def list_partition_sets(
    client: AsyncClientCore, category: str | None, nodes: tuple[int, ...] | None = None
) -> list[PartitionSetInfo]:
    """List the partitioned consumers: see ``AsyncClient.list_partition_sets()``.

    Args:
        client: the client.
        category: only consumers of this category; None for all.
        nodes: only consumers of categories on the nodes with these numbers; None for all.
    """
    if category is not None:
        validation.check_category(category)
    if not await _may_read(client):
        return []
    return await _read_sets(client, category, None, nodes)


async def list_partitions(
    client: AsyncClientCore, category: str, identifier: str
) -> PartitionSetInfo:
    """Return the partitions of a consumer: see ``AsyncClient.list_partitions()``."""
    validation.check_category(category)
    check_identifier(identifier, True)
    if not await _may_read(client):
        raise no_tables_error()
    found = await _read_sets(client, category, identifier)
    if not found:
        raise is_not_partitioned_error(position_stream_name(category, identifier))
    return found[0]


async def _may_read(client: AsyncClientCore) -> bool:
    return bool((await _read(client, sql.MAY_READ))[0][0])


async def _read_sets(
    client: AsyncClientCore,
    category: str | None,
    identifier: str | None,
    nodes: tuple[int, ...] | None = None,
) -> list[PartitionSetInfo]:
    schema = get_session_config(client).settings.schema
    rows = await _read(client, sql.READ_SETS, schema, category, identifier)
    sets = list(map(parse_set, rows))
    if nodes is not None:
        reachable = await find_names_on(client, nodes, [each.category for each in sets])
        sets = [each for each in sets if each.category in reachable]
    if not sets:
        return []
    has_table = bool((await _read(client, consumers_sql.HAS_POSITIONS))[0][0])
    has_messages = (await get_server(client)).table_readable
    found: list[PartitionSetInfo] = []
    for each in sets:
        names = [partition.name for partition in each.partitions]
        places = await read_places(client, names, has_table=has_table)
        reports = await read_reports(client, names) or {}
        placed = add_places(each, places, reports)
        found.append(await _count_lags(client, placed, has_messages=has_messages))
    return found


async def _count_lags(
    client: AsyncClientCore, found: PartitionSetInfo, *, has_messages: bool
) -> PartitionSetInfo:
    """Return a partitioned consumer with the lags of its partitions, counted by one query.

    Args:
        client: the client.
        found: the consumer.
        has_messages: whether the role may read the table of messages. Otherwise each partition is
            read by the function, if they are not too many.
    """
    # One whose position is not known has none, and is not behind the others.
    last = [(each.next_position or validation.LAST_POSITION) - 1 for each in found.partitions]
    positions = f"{{{','.join(map(str, last))}}}"
    texts = scan_statements(get_session_config(client).settings.schema)
    if not has_messages:
        if found.size > _MOST_READ:
            return found
        text = texts.partition_lag_by_function
        rows = await _read(client, text, found.category, positions, found.size, _MOST_MESSAGES)
        return add_lags(found, rows, _MOST_MESSAGES)
    text = texts.partition_lag
    least = min(last, default=0)
    rows = await _read(client, text, found.category, least, positions, found.size, _COUNTED_LAG)
    return add_lags(found, rows, _COUNTED_LAG)


async def _read(client: AsyncClientCore, text: bytes, *params: Any) -> list[tuple[Any, ...]]:
    statement = Statement(text, params)
    return await read_rows(client, ReadRequest(statement, statement))
