"""The consumers of a store, with their positions and their lag."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from messagedb._consumers.consumer_info import (
    ConsumerInfo,
    add_measurements,
    add_reports,
    consumer_from_record,
    consumer_from_row,
    is_replaced,
    parse_lease_holders,
)
from messagedb._consumers.consumer_report import parse_report
from messagedb._operations import validation
from messagedb._operations.direction import check_table_readable
from messagedb._operations.node_queries import build_names_on
from messagedb._sql import consumers as sql
from messagedb._sql.consumers import ConsumerQueries, build_consumer_queries
from messagedb._sql.statements import array_literal
from messagedb._transactions.options import build_options

from ..client_core.core import open_transaction
from ..operations.internals import get_server, get_session_config, read_rows
from .position_stores import execute_in

if TYPE_CHECKING:
    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ = build_options(read_only=True, is_local=True)


async def find_position_categories(
    client: AsyncClientCore, nodes: tuple[int, ...] | None = None
) -> list[str]:
    """Return the categories in which consumers have stored positions.

    It costs a look-up in the index for each category of the store.

    Args:
        client: the client.
        nodes: the numbers of the nodes to ask; None for the whole store.

    Raises:
        IncompatibleServerError: the role may not read the table of messages.
    """
    queries = await _choose_queries(client, nodes)
    async with open_transaction(client, _READ) as transaction:
        return await _find_position_categories(transaction, queries)


async def list_consumers(
    client: AsyncClientCore,
    category: str | None,
    position_categories: list[str] | None = None,
    *,
    lag_limit: int = 100_000,
    nodes: tuple[int, ...] | None = None,
) -> list[ConsumerInfo]:
    """List the consumers of a store: see ``AsyncClient.list_consumers()``.

    Args:
        client: the client.
        category: only consumers of this category; None for all.
        position_categories: the categories of the position streams; None to find them.
        lag_limit: the largest lag that is counted: each message of it is looked at.
        nodes: only consumers of categories on the nodes with these numbers; None for the whole
            store.
    """
    if category is not None:
        validation.check_category(category)
    queries = await _choose_queries(client, nodes)
    async with open_transaction(client, _READ) as transaction:
        if position_categories is None:
            position_categories = await _find_position_categories(transaction, queries)
        stored = await _list_stored(transaction, queries, position_categories)
    selected = [each for each in stored if category is None or each.category == category]
    if nodes is not None:
        names = await find_names_on(client, nodes, [each.parked_stream for each in selected])
        selected = [each for each in selected if each.parked_stream in names]
    return [await _measure(client, each, queries, lag_limit) for each in selected]


async def find_names_on(
    client: AsyncClientCore, nodes: tuple[int, ...], names: list[str]
) -> set[str]:
    """Return those of some streams or categories that are on the nodes with these numbers."""
    return {name for (name,) in await read_rows(client, build_names_on(nodes, names))}


async def _choose_queries(
    client: AsyncClientCore, nodes: tuple[int, ...] | None
) -> ConsumerQueries:
    """Return the queries for a client's server.

    Raises:
        IncompatibleServerError: the role may not read the table of messages, or it is in another
            database (PL/Proxy, without the functions of ``messagedb``). Nothing was sent.
    """
    facts = await get_server(client)
    if not facts.has_nodes:
        check_table_readable(facts, "the list of consumers")
    schema = get_session_config(client).settings.schema
    return build_consumer_queries(schema, facts.has_nodes, nodes)


async def _find_position_categories(
    transaction: AsyncTransaction, queries: ConsumerQueries
) -> list[str]:
    rows = await execute_in(transaction, queries.position_categories, ())
    return [name for (name,) in rows]


async def _list_stored(
    transaction: AsyncTransaction, queries: ConsumerQueries, position_categories: list[str]
) -> list[ConsumerInfo]:
    # The queries see different moments. A lease that is held before or after them counts: a
    # consumer that starts or ends meanwhile did not die.
    pids = await _find_lease_holders(transaction)
    names, schema = array_literal(position_categories), queries.schema
    records = await execute_in(transaction, queries.last_records, (names,))
    positions: list[tuple[Any, ...]] = []
    if (await execute_in(transaction, sql.HAS_POSITIONS, ()))[0][0]:
        positions = await execute_in(transaction, sql.ALL_POSITIONS, (schema,))
    reports: list[tuple[Any, ...]] = []
    if (await execute_in(transaction, sql.HAS_STATUS, ()))[0][0]:
        reports = await execute_in(transaction, sql.ALL_REPORTS, (schema,))
        pids |= await _find_lease_holders(transaction)
    consumers = [consumer_from_record(row, pids, schema) for row in records]
    for name, position, saved_at, resized_to in positions:
        time = _EPOCH + timedelta(microseconds=saved_at)
        consumers.append(consumer_from_row(name, position, time, resized_to, pids, schema))
    reported = add_reports(consumers, map(parse_report, reports), pids, schema)
    return [each for each in reported if not is_replaced(each)]


async def _find_lease_holders(transaction: AsyncTransaction) -> dict[tuple[int, int], int]:
    return parse_lease_holders(await execute_in(transaction, sql.LEASE_HOLDERS, ()))


async def _measure(
    client: AsyncClientCore, consumer: ConsumerInfo, queries: ConsumerQueries, lag_limit: int
) -> ConsumerInfo:
    categories = None if consumer.category is None else (consumer.category,)
    next_position = min(consumer.next_position or 1, validation.LAST_POSITION)
    lag = None
    # The members of its group's new size handle what it has not. A consumer of the whole store
    # cannot run through PL/Proxy, and its streams may be there.
    if consumer.resized_to is None and (
        categories is not None or (await get_server(client)).table_readable
    ):
        lag = await client.get_lag(categories, next_position, limit=lag_limit)
    async with open_transaction(client, _READ) as transaction:
        rows: list[tuple[Any, ...]] = await execute_in(
            transaction, queries.count_parked, (consumer.parked_stream,)
        )
        has_parked_failure = False
        failure = None if consumer.report is None else consumer.report.last_failure
        if failure is not None and rows[0][0]:
            found = await execute_in(
                transaction, queries.is_parked, (consumer.parked_stream, failure.global_position)
            )
            has_parked_failure = bool(found[0][0])
    parked, held_streams, held = rows[0]
    counts = (parked, held_streams, held)
    return add_measurements(consumer, lag, counts, has_parked_failure=has_parked_failure)
