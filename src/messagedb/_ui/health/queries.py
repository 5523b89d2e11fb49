"""The facts about a store's health."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors as server_errors

from _messagedb_async.operations.internals import get_session_config

from ..._connection import position_sequence
from ..._connection.error_mapping import get_first_line
from ..._diagnosis.facts import DIAGNOSTIC_QUERY, StoreFacts, build_facts, may_read_sequence
from ..._diagnosis.findings import Finding, diagnose
from ..._diagnosis.proxy_findings import (
    LIST_CATEGORIES,
    SELECT_FACTS,
    SELECT_FUNCTIONS,
    SELECT_PLACES,
    SELECT_SLOTS,
    SELECT_STATES,
    NodeState,
    ProxyState,
    Row,
    build_node_state,
    build_proxy_state,
    diagnose_proxy,
)
from ..._schema.proxy_plan import SELECT_MAP, SELECT_NODES, ProxyNode
from ..site import Site


async def find_store_health(site: Site) -> list[Finding]:
    """Return the findings about the store; of several nodes, about the map and each of them, too.

    Raises:
        QueryCanceled: it took longer than the time limit.
        MessageDBError: the store is unavailable.
    """
    if not await site.look_for_nodes():
        async with site.read() as tx:
            return diagnose(await _fetch_facts(tx.connection, site.schema))
    seconds = site.settings.time_limit
    outages = {each.node: each.reason for each in await site.nodes.find_outages()}
    try:
        async with asyncio.timeout(seconds), await site.client.connect() as connection:
            await connection.set_autocommit(True)
            facts = await _fetch_facts(connection, get_session_config(site.client).settings.schema)
            return [*diagnose(facts), *diagnose_proxy(await _fetch_nodes(connection, outages))]
    except TimeoutError:
        raise server_errors.QueryCanceled("the nodes took longer than the time limit") from None


async def _fetch_facts(connection: Any, schema: str) -> StoreFacts:
    cursor = await connection.execute(DIAGNOSTIC_QUERY.encode(), [schema])
    names = [column.name for column in cursor.description or ()]
    (row,) = await cursor.fetchall()
    answers: dict[str, Any] = dict(zip(names, row, strict=True))
    # The transaction that reads is one of this UI: the role could write in another.
    (read_only,) = await _fetch_row(
        connection, "SELECT current_setting('default_transaction_read_only') = 'on'"
    )
    answers["read_only"] = read_only
    positions = None
    if may_read_sequence(answers):
        query = position_sequence.build_query(schema, str(answers["sequence"]))
        positions = await _fetch_row(connection, query)
    pid = connection.info.backend_pid
    return build_facts(answers, positions, schema=schema, refusal="", libpq_pid=pid)


async def _fetch_nodes(connection: Any, outages: Mapping[str, str]) -> ProxyState:
    nodes = [ProxyNode(*row) for row in await _fetch_all(connection, SELECT_NODES)]
    return build_proxy_state(
        await _fetch_all(connection, SELECT_MAP),
        await _fetch_all(connection, SELECT_SLOTS),
        await _fetch_all(connection, SELECT_STATES),
        await _fetch_all(connection, SELECT_PLACES),
        await _fetch_all(connection, SELECT_FUNCTIONS),
        [
            NodeState(node, None, [], outages[node.name])
            if node.name in outages
            else await _fetch_node(connection, node)
            for node in nodes
        ],
    )


async def _fetch_node(connection: Any, node: ProxyNode) -> NodeState:
    try:
        facts = await _fetch_all(connection, SELECT_FACTS, [node.number])
        categories = await _fetch_all(connection, LIST_CATEGORIES, [node.number])
    except psycopg.Error as error:
        if connection.closed:
            raise
        return NodeState(node, None, [], get_first_line(error).strip())
    return build_node_state(node, facts, categories)


async def _fetch_all(connection: Any, query: str, parameters: list[int] | None = None) -> list[Row]:
    rows: list[Row] = await (await connection.execute(query, parameters)).fetchall()
    return rows


async def _fetch_row(connection: Any, query: str) -> Row:
    (row,) = await _fetch_all(connection, query)
    return row
