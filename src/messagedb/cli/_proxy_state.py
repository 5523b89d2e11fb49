"""The state of the nodes behind a proxying database, for the commands that diagnose it."""

from __future__ import annotations

from typing import Any

import psycopg

from messagedb._connection.error_mapping import get_first_line
from messagedb._diagnosis.proxy_findings import (
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
)
from messagedb._schema import proxy_plan
from messagedb._schema.proxy_plan import ProxyNode


def has_nodes(conn: psycopg.Connection[Any]) -> bool:
    """Return True if a database passes calls on to nodes.

    Args:
        conn: a connection to it.

    Raises:
        psycopg.Error: the connection is lost.
    """
    row = conn.execute("SELECT to_regclass('messagedb.proxy_map') IS NOT NULL").fetchone()
    return row == (True,)


def fetch_proxy_state(conn: psycopg.Connection[Any]) -> ProxyState | None:
    """Return the state of the nodes behind a database; None if it passes no calls on to nodes.

    Args:
        conn: a connection to it, in autocommit mode.

    Raises:
        psycopg.Error: the role may not read the map, or the connection is lost.
    """
    if not has_nodes(conn):
        return None

    def fetch(query: str) -> list[Row]:
        return conn.execute(query.encode()).fetchall()

    return build_proxy_state(
        fetch(proxy_plan.SELECT_MAP),
        fetch(SELECT_SLOTS),
        fetch(SELECT_STATES),
        fetch(SELECT_PLACES),
        fetch(SELECT_FUNCTIONS),
        [_fetch_node(conn, ProxyNode(*row)) for row in fetch(proxy_plan.SELECT_NODES)],
    )


def _fetch_node(conn: psycopg.Connection[Any], node: ProxyNode) -> NodeState:
    try:
        facts = conn.execute(SELECT_FACTS, [node.number]).fetchall()
        categories = conn.execute(LIST_CATEGORIES, [node.number]).fetchall()
    except psycopg.Error as error:
        if conn.closed:
            raise
        return NodeState(node, None, [], get_first_line(error).strip())
    return build_node_state(node, facts, categories)
