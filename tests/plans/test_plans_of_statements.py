"""The plan of each of our statements: its index, no sort of a category, and no JIT compilation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from messagedb._connection import position_sequence
from messagedb._schema import revisions
from messagedb._sql import consumers, nodes
from messagedb._sql.groups import group_statements
from messagedb._sql.listings import listing_statements
from messagedb._sql.scans import scan_statements
from messagedb._sql.statements import NO_SORT, statements, transaction_fate, with_condition
from messagedb._sql.traces import trace_statements
from tests.plans.conftest import Store
from tests.plans.statements import (
    GROUPS,
    LISTINGS,
    OTHERS,
    POSITION_STATEMENTS,
    SCANS,
    STATEMENTS,
    STREAM,
    TRACES,
    Planned,
)

JIT_ABOVE_COST = 100_000
SQL, SCAN_SQL = statements("message_store"), scan_statements("message_store")


def get_text(name: str) -> bytes:
    """Return a statement of the client, with a condition that is always true."""
    if name in GROUPS:
        return bytes(getattr(group_statements("message_store"), name))
    if name in LISTINGS:
        return bytes(getattr(listing_statements("message_store"), name))
    if name in TRACES:
        return bytes(getattr(trace_statements("message_store", True), name))
    if name in SCANS:
        return with_condition(getattr(SCAN_SQL, name), None)
    return with_condition(getattr(SQL, name), None)


def build_others() -> Iterator[tuple[Planned, bytes]]:
    """Yield the statements that are built elsewhere, as they are built there."""
    texts = {
        "build_query": position_sequence.build_query(
            "message_store", "message_store.messages_global_position_seq"
        ),
        "describe_fix": position_sequence.describe_fix("message_store"),
        "build_has_messages": revisions.build_has_messages("message_store"),
        "transaction_fate": transaction_fate(
            SQL, table_readable=True, history_readable=True
        ).decode(),
        "MESSAGE_PLACES": nodes.MESSAGE_PLACES.decode(),
        "_compare": "SELECT id::text FROM message_store.messages WHERE global_position = $1",
        "_read_head": "SELECT coalesce(max(global_position), 0) FROM message_store.messages",
    }
    for (_, name), planned in OTHERS.items():
        yield planned, texts[name].encode()


def get_children(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes whose rows a node reads."""
    children: list[dict[str, Any]] = node.get("Plans", [])
    return children


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan, and all nodes below it."""
    yield node
    for child in get_children(node):
        yield from walk(child)


def reads_messages_without_limit(node: dict[str, Any]) -> bool:
    """Return True if messages come to a node that nothing below it has limited."""
    if node["Node Type"] in ("Limit", "Aggregate", "CTE Scan"):
        return False
    if node.get("Relation Name") == "messages":
        return True
    return any(map(reads_messages_without_limit, get_children(node)))


def find_problems(plan: dict[str, Any], planned: Planned, size: int) -> list[str]:
    """Return what is wrong with a plan for a store of a size."""
    problems: list[str] = []
    allowed = set(planned.indexes)
    for node in walk(plan):
        index = node.get("Index Name")
        if index is not None and index.startswith("messages_") and index not in allowed:
            problems.append(f"uses {index}")
        is_scan = node["Node Type"] in ("Seq Scan", "Parallel Seq Scan")
        if is_scan and node.get("Relation Name") == "messages" and size > 10 and planned.indexes:
            problems.append("scans the table")
        # To sort a stream may be cheaper than to read it in order.
        is_sort = "Sort" in node["Node Type"] and STREAM not in planned.indexes and size > 10
        if is_sort and any(map(reads_messages_without_limit, get_children(node))):
            problems.append("sorts all of its messages")
    return problems


def explain(
    store: Store, text: bytes, params: tuple[Any, ...], *, settings: bool
) -> dict[str, Any]:
    """Return the plan of a statement, with or without the settings of a page."""
    conn = store.conn
    with conn.transaction():
        if settings:
            conn.execute(NO_SORT)
        cursor = psycopg.RawCursor(conn).execute(b"explain (format json) " + text, params)
        row = cursor.fetchone()
    assert row is not None
    # A server that can compile says here that it would.
    assert "JIT" not in row[0][0]
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def test_a_server_that_can_compile_says_so_in_a_plan(store: Store) -> None:
    row = store.conn.execute("select pg_jit_available()").fetchone()
    with store.conn.transaction():
        store.conn.execute("set local jit_above_cost = 0")
        plan = store.conn.execute("explain (format json) select 1 from pg_class").fetchone()
    assert row is not None
    assert plan is not None
    assert ("JIT" in plan[0][0]) == row[0]


def check(store: Store, text: bytes, planned: Planned, *, settings: bool) -> None:
    """Check the plan of a statement."""
    plan = explain(store, text, planned.params, settings=settings)
    problems = find_problems(plan, planned, store.size)
    if not settings and plan["Total Cost"] >= JIT_ABOVE_COST:
        problems.append(f"costs {plan['Total Cost']:.0f}, so that it is compiled")
    assert problems == [], plan


ALL = {**STATEMENTS, **SCANS, **LISTINGS, **TRACES, **GROUPS}


@pytest.mark.parametrize("name", ALL)
def test_a_statement_of_the_client_uses_its_index(store: Store, name: str) -> None:
    planned = ALL[name]
    check(store, get_text(name), planned, settings=planned.has_settings)


@pytest.mark.parametrize("name", ALL)
def test_a_statement_in_a_transaction_of_the_caller_is_not_compiled(
    store: Store, name: str
) -> None:
    # There we change no setting. Without good statistics the planner may sort.
    plan = explain(store, get_text(name), ALL[name].params, settings=False)
    assert plan["Total Cost"] < JIT_ABOVE_COST
    if store.statistics == "good":
        assert find_problems(plan, ALL[name], store.size) == [], plan


@pytest.mark.parametrize("name", [name for name, each in ALL.items() if each.has_settings])
def test_a_kept_plan_uses_the_index_for_any_parameters(store: Store, name: str) -> None:
    planned, conn = ALL[name], store.conn
    arguments = sql.SQL(", ").join(map(sql.Literal, planned.params))
    call = sql.SQL("({})").format(arguments) if planned.params else sql.SQL("")
    with conn.transaction():
        conn.execute(NO_SORT)
        conn.execute("set local plan_cache_mode = force_generic_plan")
        conn.execute(b"prepare kept as " + get_text(name))
        row = conn.execute(sql.SQL("explain (format json) execute kept {}").format(call)).fetchone()
        conn.execute("deallocate kept")
    assert row is not None
    assert find_problems(row[0][0]["Plan"], planned, store.size) == []


def test_statements_that_are_built_elsewhere_use_their_indexes(store: Store) -> None:
    for planned, text in build_others():
        check(store, text, planned, settings=False)


@pytest.mark.parametrize("name", POSITION_STATEMENTS)
def test_a_statement_on_positions_uses_its_index(store: Store, name: str) -> None:
    text = getattr(consumers, name)
    with store.conn.transaction():
        store.conn.execute("set local enable_seqscan = off")  # the table has no row
        cursor = psycopg.RawCursor(store.conn).execute(
            b"explain (format json) " + text, POSITION_STATEMENTS[name]
        )
        row = cursor.fetchone()
    assert row is not None
    used = {node.get("Index Name") for node in walk(row[0][0]["Plan"])}
    used |= {
        index
        for node in walk(row[0][0]["Plan"])
        for index in node.get("Conflict Arbiter Indexes", [])
    }
    assert used - {None} == {"positions_pkey"}
