"""Several nodes: the database that passes the calls on to them, and a further node."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import AsyncConnection

import messagedb._schema.install_plan as plan
import messagedb._schema.proxy_plan as proxy_plan
from messagedb._connection.error_mapping import is_connection_lost
from messagedb._schema.proxy_map import (
    find_exceptions,
    give_slots,
    place_categories,
    share_slots,
)
from messagedb._schema.proxy_plan import ProxyFacts, ProxyNode

from .install import begin, connect, execute_all, inspect_database, install_async
from .upgrade import upgrade_async


async def install_proxy_async(
    conninfo: str = "",
    *,
    nodes: Mapping[str, str],
    user: str = "message_store",
    password: str | None = None,
) -> bool:
    """Make a database pass the calls of Message DB on to several nodes, by PL/Proxy.

    Each node is prepared first: Message DB and the schema ``messagedb`` are installed there if they
    are missing, and upgraded. A node may have messages already: each category stays where it is.
    Then one transaction in the proxying database creates the extension ``plproxy``, the foreign
    server with the addresses, the functions of Message DB, the schema ``messagedb``, and the map:
    1,024 slots, of which each node gets the same share. A category, with all of its types, is on
    the node of the slot that its hash says, or where the map has it as an exception.

    It is safe to call this again with the same nodes: it goes on after a failure, and brings the
    functions to the version of this library.

    Example::

        nodes = {"one": "host=10.0.0.1 dbname=shop", "two": "host=10.0.0.2 dbname=shop"}
        await schema.install_proxy_async("host=10.0.0.9 dbname=shop", nodes=nodes)

    Args:
        conninfo: a connection string of the database that passes the calls on, or '' for libpq's
            environment; of a superuser, who alone may create the extension. The database has to be
            empty.
        nodes: the connection string of each node by its name, in the form that the proxying server
            reaches it by, of a role that may install Message DB there. User and password are used
            for this installation only.
        user: the role that the proxying server connects to the nodes as.
        password: the password of that role; None if it needs none or the server has a password
            file. It is stored in the user mapping, which only superusers can read.

    Returns:
        True if the map was created, False if it existed.

    Raises:
        ValidationError: a connection string or a name is invalid. Nothing was sent.
        StoreUnavailableError: a server cannot be reached, or refused the login. Call this again
            when it can: what was done before, such as the preparation of nodes, stays.
        IncompatibleServerError: a database or a role cannot be used (no PL/Proxy, a database that
            has messages or other nodes, a node of another proxying database, a category on two
            nodes); the text names the fix. The proxying database was not changed.
        RetryableError: another installation did not end within 60 seconds. The proxying database
            was not changed.
        ServerError: a server refused a statement; the text is the server's. The proxying database
            was not changed.
    """
    conninfo = plan.check_conninfo(conninfo)
    given = proxy_plan.check_nodes(nodes)
    proxy_plan.check_login(user, password)
    wanted = [
        ProxyNode(number, name, proxy_plan.build_address(address))
        for number, (name, address) in enumerate(given.items())
    ]
    conn = await connect(conninfo)
    try:
        await _plan(conn, wanted, user, password)
        await _check_distinct(conn, given)
        for address in given.values():
            await _prepare(address)
        places = place_categories(
            {number: await _list(address) for number, address in enumerate(given.values())}
        )
        async with conn.transaction():
            await begin(conn)
            texts, is_new = await _plan(conn, wanted, user, password)
            if is_new:
                await _check_free(given)
            await execute_all(conn, texts)
            if is_new:
                await _create_map(conn, wanted, places)
            await _try_nodes(conn, wanted)
        await _note_members(conn, wanted, given)
        return is_new
    except psycopg.Error as error:
        raise proxy_plan.proxy_error(error, is_connection_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def add_proxy_node_async(conninfo: str = "", *, name: str, node: str) -> bool:
    """Add a node to those that a proxying database passes calls on to.

    The node is prepared as by `install_proxy_async`. Then one transaction in the proxying database
    gives it an equal share of the slots. Every category that has messages stays where it is; new
    ones come to it as its share says. Writes through this proxying database wait while all nodes
    list their categories, which takes about a millisecond for each category.

    It is safe to call this again with the same node: it goes on after a failure.

    Example::

        await schema.add_proxy_node_async(
            "host=10.0.0.9 dbname=shop", name="three", node="host=10.0.0.3 dbname=shop"
        )

    Args:
        conninfo: a connection string of the proxying database, of the role that made it or a
            superuser; or '' for libpq's environment.
        name: the name of the new node.
        node: its connection string, as for `install_proxy_async`.

    Returns:
        True if it was added, False if the map had it.

    Raises:
        ValidationError: a connection string or the name is invalid. Nothing was sent.
        StoreUnavailableError: a server cannot be reached, or refused the login: all nodes have to
            be reachable. The map was not changed.
        IncompatibleServerError: the database does not pass calls on, or the node cannot be used (it
            belongs to another proxying database, it has a category that another node has too); the
            text names the fix. The map was not changed.
        RetryableError: writes in flight, or another installation, did not end within 60 seconds.
            The map was not changed.
        ServerError: a server refused a statement; the text is the server's. The map was not
            changed.
    """
    conninfo = plan.check_conninfo(conninfo)
    ((name, address),) = proxy_plan.check_nodes({name: node}).items()
    conn = await connect(conninfo)
    try:
        found = await fetch_nodes(conn)
        target = proxy_plan.build_address(address)
        known = [each for each in found if each.name == name or each.address == target]
        if known:
            proxy_plan.check_same_nodes(known, [ProxyNode(known[0].number, name, target)])
            return False
        await _check_distinct(conn, {name: address})
        await _prepare(address)
        async with conn.transaction():
            await begin(conn)
            await execute_all(conn, [proxy_plan.MAP_LOCK])
            found = await fetch_nodes(conn)
            added = ProxyNode(len(found), name, target)
            await _claim(conn, added, address)
            await _extend_map(conn, found, added, await _list(address))
        await execute_all(conn, [proxy_plan.NOTE_VERSION])
        return True
    except psycopg.Error as error:
        raise proxy_plan.proxy_error(error, is_connection_lost(error, conn.closed)) from error
    finally:
        await conn.close()


async def _plan(
    conn: AsyncConnection[Any], nodes: list[ProxyNode], user: str, password: str | None
) -> tuple[list[str], bool]:
    """Return the missing statements, and whether there is no map yet."""
    facts = await inspect_database(conn, proxy_plan.SCHEMA)
    proxy = await _inspect(conn)
    texts = proxy_plan.plan_proxy(facts, proxy, nodes, user, password)
    if proxy.has_map:
        proxy_plan.check_same_nodes(await fetch_nodes(conn), nodes)
    return texts, not proxy.has_map


async def _inspect(conn: AsyncConnection[Any]) -> ProxyFacts:
    cursor = await conn.execute(proxy_plan.INSPECT_PROXY.encode())
    return ProxyFacts(*(await cursor.fetchall())[0])


async def fetch_nodes(conn: AsyncConnection[Any]) -> list[ProxyNode]:
    """Return the nodes of the map, in the order of their numbers.

    Raises:
        IncompatibleServerError: there is no map.
    """
    if not (await _inspect(conn)).has_map:
        raise proxy_plan.no_map_error(await inspect_database(conn, proxy_plan.SCHEMA))
    cursor = await conn.execute(proxy_plan.SELECT_NODES.encode())
    return [ProxyNode(*row) for row in await cursor.fetchall()]


async def _check_distinct(conn: AsyncConnection[Any], nodes: Mapping[str, str]) -> None:
    """Refuse a node that is this database or another node, whatever name its address has.

    Each session holds a lock that is seen in its database only.
    """
    owners: dict[int, str] = {}
    others: list[AsyncConnection[Any]] = []
    await _hold_key(conn, owners, "")
    try:
        for name, address in nodes.items():
            other = await connect(address)
            others.append(other)
            locks = await _fetch_all(other, proxy_plan.SELECT_LOCKS)
            proxy_plan.check_distinct(name, [row[0] for row in locks], owners)
            await _hold_key(other, owners, name)
    finally:
        for other in others:
            await other.close()


async def _hold_key(conn: AsyncConnection[Any], owners: dict[int, str], name: str) -> None:
    key = secrets.randbits(62)
    await conn.execute(proxy_plan.LOCK_SELF.encode(), [key])
    owners[key] = name


async def _prepare(address: str) -> None:
    """Install Message DB and the schema ``messagedb`` on a node, or upgrade them."""
    if not await install_async(address):
        await upgrade_async(address)


async def _list(address: str) -> list[str]:
    """Return the categories that have messages on a node, without their types."""
    conn = await connect(address)
    try:
        cursor = await conn.execute(proxy_plan.LIST_CATEGORIES.encode())
        return [row[0] for row in await cursor.fetchall()]
    finally:
        await conn.close()


async def _check_free(nodes: Mapping[str, str]) -> None:
    """Refuse nodes of another proxying database, before there is a map here."""
    for name, address in nodes.items():
        conn = await connect(address)
        try:
            rows = await (await conn.execute(proxy_plan.SELECT_MEMBER.encode())).fetchall()
        finally:
            await conn.close()
        if rows:
            proxy_plan.check_member(rows[0], None, name, address)


async def _create_map(
    conn: AsyncConnection[Any], nodes: list[ProxyNode], places: Mapping[str, int]
) -> None:
    await conn.execute(proxy_plan.INSERT_MAP.encode())
    for each in nodes:
        await _insert_node(conn, each)
    await _place(conn, share_slots(len(nodes)), places, {})


async def _try_nodes(conn: AsyncConnection[Any], nodes: Iterable[ProxyNode]) -> None:
    """Call each node through PL/Proxy: its server may not reach it, or not log in there."""
    for each in nodes:
        await conn.execute(proxy_plan.TRY_NODE.encode(), [each.number])


async def _insert_node(conn: AsyncConnection[Any], node: ProxyNode) -> None:
    await conn.execute(proxy_plan.INSERT_NODE.encode(), [node.number, node.name, node.address])


async def _place(
    conn: AsyncConnection[Any],
    slots: list[int],
    places: Mapping[str, int],
    known: Mapping[str, int],
) -> None:
    """Store the node of each slot, and let the categories that have messages stay."""
    await conn.execute(proxy_plan.INSERT_SLOTS.encode(), [slots])
    exceptions = find_exceptions(places, slots, known)
    await conn.execute(
        proxy_plan.INSERT_CATEGORIES.encode(), [list(exceptions), list(exceptions.values())]
    )


async def _note_members(
    conn: AsyncConnection[Any], nodes: Iterable[ProxyNode], addresses: Mapping[str, str]
) -> None:
    for each in nodes:
        await _claim(conn, each, addresses[each.name])


async def _claim(conn: AsyncConnection[Any], node: ProxyNode, address: str) -> None:
    """Record on a node that it belongs to this proxying database.

    Raises:
        IncompatibleServerError: it belongs to another one.
    """
    cursor = await conn.execute(proxy_plan.SELECT_MAP.encode())
    proxy, version = (await cursor.fetchall())[0]
    other = await connect(address)
    try:
        values = [proxy, node.number, node.name, version]
        await other.execute(proxy_plan.INSERT_MEMBER.encode(), values)
        cursor = await other.execute(proxy_plan.SELECT_MEMBER.encode())
        proxy_plan.check_member((await cursor.fetchall())[0], proxy, node.name, address)
        await other.execute(proxy_plan.UPDATE_MEMBER.encode(), [node.number, proxy, node.name])
    finally:
        await other.close()


async def _extend_map(
    conn: AsyncConnection[Any], found: list[ProxyNode], added: ProxyNode, categories: list[str]
) -> None:
    """Add a node to the map, under its lock."""
    held: dict[int, list[str]] = {added.number: categories}
    for each in found:
        cursor = await conn.execute(b"SELECT messagedb.proxy_node_categories(%s)", [each.number])
        held[each.number] = [row[0] for row in await cursor.fetchall()]
    slots = [row[0] for row in await _fetch_all(conn, proxy_plan.SELECT_SLOTS)]
    known = dict(await _fetch_all(conn, proxy_plan.SELECT_CATEGORIES))
    await execute_all(conn, [proxy_plan.build_add_place(added), proxy_plan.RAISE_VERSION])
    await _insert_node(conn, added)
    await _try_nodes(conn, [added])
    await _place(conn, give_slots(slots, added.number), place_categories(held), known)


async def _fetch_all(conn: AsyncConnection[Any], query: str) -> list[Any]:
    return await (await conn.execute(query.encode())).fetchall()
