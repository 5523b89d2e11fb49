"""The state of several nodes behind a proxying database: rows about them, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from .._connection.conninfo import describe_target
from .._schema.proxy_map import SLOTS, get_slot
from .._schema.proxy_plan import ProxyNode, list_proxy_functions
from .findings import Finding

SELECT_PLACES: Final = """
SELECT option_name, option_value
FROM pg_foreign_server AS s, pg_options_to_table(s.srvoptions)
WHERE s.srvname = 'messagedb' AND option_name ~ '^p[0-9]+$'
"""
SELECT_SLOTS: Final = "SELECT slot, node FROM messagedb.proxy_slots"
SELECT_STATES: Final = "SELECT category, node, state, target FROM messagedb.proxy_categories"
SELECT_FUNCTIONS: Final = """
SELECT proname::varchar FROM pg_proc WHERE pronamespace = 'messagedb'::regnamespace
"""
SELECT_FACTS: Final = "SELECT * FROM messagedb.proxy_node_facts(%s)"
LIST_CATEGORIES: Final = "SELECT messagedb.proxy_node_categories(%s)"

Row: TypeAlias = tuple[Any, ...]

_OWN_VERSION: Final = 3
_SHOWN: Final = 10


class NodeFacts(msgspec.Struct, frozen=True):
    """The facts about a node that can be reached, in the order of the query's columns."""

    database: str
    server: str
    message_store: str
    own_version: int | None
    proxy: UUID | None
    number: int | None
    map_version: int | None
    messages: int
    is_estimate: bool


class NodeState(msgspec.Struct, frozen=True):
    """A node, and the answer that came through PL/Proxy.

    Attributes:
        facts: None if it cannot be reached.
        categories: those that have messages there, without their types.
        error: why it cannot be reached; '' if it can.
    """

    node: ProxyNode
    facts: NodeFacts | None
    categories: Sequence[str]
    error: str


class CategoryState(msgspec.Struct, frozen=True):
    """A category that the map has as an exception."""

    category: str
    node: int
    state: str
    target: int | None


class ProxyState(msgspec.Struct, frozen=True, kw_only=True):
    """The map of a proxying database, and the state of its nodes.

    Attributes:
        slots: the node of each slot, by the slot's number.
        places: the addresses that PL/Proxy uses, by their names: ``p0``.
        missing_functions: the names of its own functions that are not there.
    """

    proxy: UUID
    version: int
    slots: Mapping[int, int]
    exceptions: Sequence[CategoryState]
    places: Mapping[str, str]
    nodes: Sequence[NodeState]
    missing_functions: Sequence[str]


def build_proxy_state(
    found: Iterable[Row],
    slots: Iterable[Row],
    states: Iterable[Row],
    places: Iterable[Row],
    functions: Iterable[Row],
    nodes: Sequence[NodeState],
) -> ProxyState:
    """Return the state from the rows of ``SELECT_MAP`` and of the queries above."""
    missing = list_proxy_functions().difference(name for (name,) in functions)
    ((proxy, version),) = found
    return ProxyState(
        proxy=proxy,
        version=version,
        slots=dict(slots),
        exceptions=[CategoryState(*row) for row in states],
        places=dict(places),
        nodes=nodes,
        missing_functions=sorted(missing),
    )


def build_node_state(node: ProxyNode, facts: Iterable[Row], categories: Iterable[Row]) -> NodeState:
    """Return the state of a node that responds, from the rows about it."""
    (row,) = facts
    return NodeState(node, NodeFacts(*row), [name for (name,) in categories], "")


def build_status_rows(state: ProxyState) -> Iterator[dict[str, Any]]:
    """Yield a row for each node."""
    slots = Counter(state.slots.values())
    exceptions = Counter(each.node for each in state.exceptions)
    names = {each.node.number: each.node.name for each in state.nodes}
    for each in state.nodes:
        facts, number = each.facts, each.node.number
        yield {
            "node": each.node.name,
            "number": number,
            "address": describe_target(each.node.address),
            "reachable": facts is not None,
            "slots": slots[number],
            "exceptions": exceptions[number],
            "categories": None if facts is None else len(each.categories),
            "messages": None if facts is None else facts.messages,
            "estimated": None if facts is None else facts.is_estimate,
            "postgresql": None if facts is None else facts.server,
            "message_store": None if facts is None else facts.message_store,
            "map_version": None if facts is None else facts.map_version,
            "moving": ", ".join(_describe_moves(state, number, names)) or None,
            "error": each.error or None,
        }


def _describe_moves(state: ProxyState, number: int, names: Mapping[int, str]) -> Iterator[str]:
    """Yield each category that is being moved away from a node, or has just come to it."""
    for each in sorted(state.exceptions, key=lambda one: one.category):
        if each.state != "placed" and each.node == number and each.target is not None:
            target = "" if each.target == number else f" to {names.get(each.target)}"
            yield f"{each.category}{target} ({each.state})"


def diagnose_proxy(state: ProxyState) -> list[Finding]:
    """Derive the findings from the state, the map first."""
    found = [
        _check_functions(state),
        _check_slots(state),
        _check_places(state),
        _check_moves(state),
    ]
    for each in state.nodes:
        found += _check_node(state, each)
    return found


def _check_functions(state: ProxyState) -> Finding:
    if not state.missing_functions:
        return Finding("ok", "functions", "those of this version")
    return Finding(
        "problem",
        "functions",
        f"older than this version of messagedb: {_name(state.missing_functions)} missing",
        "run messagedb proxy init again, with the same nodes",
    )


def _check_slots(state: ProxyState) -> Finding:
    numbers = {each.node.number for each in state.nodes}
    missing = [slot for slot in range(SLOTS) if state.slots.get(slot) not in numbers]
    if not missing:
        text = f"version {state.version}, {SLOTS} slots on {len(numbers)} nodes"
        return Finding("ok", "map", text)
    return Finding(
        "problem",
        "map",
        f"{len(missing)} of {SLOTS} slots have no node: their categories cannot be read or written",
        "restore the tables messagedb.proxy_* from a backup",
    )


def _check_places(state: ProxyState) -> Finding:
    wanted = {f"p{each.node.number}": each.node.address for each in state.nodes}
    if wanted == state.places:
        return Finding("ok", "addresses", "PL/Proxy has those of the map")
    differing = sorted(
        name for name in {*wanted, *state.places} if wanted.get(name) != state.places.get(name)
    )
    return Finding(
        "problem",
        "addresses",
        f"the foreign server 'messagedb' and the map differ in {', '.join(differing)}",
        "make both the same: ALTER SERVER messagedb OPTIONS (SET …), or UPDATE "
        "messagedb.proxy_nodes",
    )


def _check_moves(state: ProxyState) -> Finding:
    moving = [each.category for each in state.exceptions if each.state != "placed"]
    if not moving:
        return Finding("ok", "moves", "none is unfinished")
    return Finding(
        "warning",
        "moves",
        f"unfinished: {_name(moving)}",
        f"go on with it: messagedb proxy move {moving[0]} --to NODE, or withdraw it: --abort",
    )


def _check_node(state: ProxyState, each: NodeState) -> Iterator[Finding]:
    topic = f"node {each.node.name}"
    facts = each.facts
    if facts is None:
        text = f"cannot be reached: {each.error}; unavailable: {_describe_share(state, each)}"
        yield Finding("problem", topic, text, "start it, or check its address")
        return
    yield Finding("ok", topic, f"PostgreSQL {facts.server}, {describe_target(each.node.address)}")
    if (facts.own_version or 0) < _OWN_VERSION:
        yield Finding(
            "problem",
            topic,
            f"its schema messagedb has version {facts.own_version}: batches need {_OWN_VERSION}",
            "run messagedb upgrade on the node",
        )
    yield from _check_member(state, topic, each.node, facts)
    yield from _check_categories(state, topic, each)


def _describe_share(state: ProxyState, each: NodeState) -> str:
    """Return which categories a node has by the map."""
    number = each.node.number
    share = sum(node == number for node in state.slots.values())
    text = f"the categories of {share} of {SLOTS} slots"
    exceptions = [one.category for one in state.exceptions if one.node == number]
    elsewhere = [
        one.category
        for one in state.exceptions
        if one.node != number and state.slots.get(get_slot(one.category)) == number
    ]
    if exceptions:
        text += f", and {_name(exceptions)}"
    if elsewhere:
        text += f", but not {_name(elsewhere)}"
    return text


def _check_member(
    state: ProxyState, topic: str, node: ProxyNode, facts: NodeFacts
) -> Iterator[Finding]:
    if (facts.proxy, facts.number) != (state.proxy, node.number):
        found = (
            "it belongs to no proxying database"
            if facts.proxy is None
            else f"it is node {facts.number} of another proxying database ({facts.proxy})"
            if facts.proxy != state.proxy
            else f"it knows itself as node {facts.number}"
        )
        fix = "run messagedb proxy init, or add-node, again; use one proxying database only"
        yield Finding("problem", topic, found, fix)
        return
    known = facts.map_version or 0
    if known > state.version:
        yield Finding(
            "problem",
            topic,
            f"it knows version {known} of the map, and this database has {state.version}: it was "
            "restored from an old backup, or is a copy",
            "do not write through it; restore a newer backup, or enter the changes since then",
        )
    elif known < state.version:
        yield Finding(
            "warning",
            topic,
            f"it knows version {known} of the map, and this database has {state.version}",
            "SELECT messagedb.proxy_note_version(version) FROM messagedb.proxy_map",
        )


def _check_categories(state: ProxyState, topic: str, each: NodeState) -> Iterator[Finding]:
    exceptions = {one.category: one for one in state.exceptions}
    strays: list[str] = []
    for category in each.categories:
        one = exceptions.get(category)
        owners = (
            {state.slots.get(get_slot(category))}
            if one is None
            else {one.node}
            if one.state == "placed"
            else {one.node, one.target}
        )
        if each.node.number not in owners:
            strays.append(category)
    if strays:
        yield Finding(
            "problem",
            topic,
            f"it has messages of categories that the map has elsewhere: {_name(strays)}",
            "they cannot be read through this database: find out who wrote them there; delete them "
            "if they are copies, else enter the category in messagedb.proxy_categories",
        )


def _name(categories: Sequence[str]) -> str:
    names = ", ".join(sorted(categories)[:_SHOWN])
    more = len(categories) - _SHOWN
    return names if more <= 0 else f"{names} and {more} more"
