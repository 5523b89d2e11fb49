"""Checks that an identifier is not used with partitions and without them at the same time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from messagedb._consumers.consumer_info import parse_lease_holders
from messagedb._consumers.partition_locks import derive_members_key, find_sizes
from messagedb._consumers.partition_records import (
    check_position_store,
    is_also_static_error,
    is_partitioned_error,
    is_running_static_error,
    was_partitioned_error,
)
from messagedb._consumers.position_records import is_retired
from messagedb._consumers.position_stores import StreamPositionStore, derive_lease_keys
from messagedb._errors import IncompatibleServerError
from messagedb._operations.requests import ReadRequest
from messagedb._sql import consumers as consumers_sql
from messagedb._sql import partitions as sql
from messagedb._sql.statements import Statement, quoted

from ..operations.internals import get_server, get_session_config, read_rows
from .partition_lock_membership import AsyncPartitionLockMembership
from .partition_membership import AsyncPartitionMembership

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore

_MEMBER = re.compile(r"\+[0-9]+\+([0-9]+)")

_has_members_table: WeakKeyDictionary[AsyncClientCore, bool] = WeakKeyDictionary()


AsyncMembership = AsyncPartitionMembership | AsyncPartitionLockMembership


async def find_membership(
    client: AsyncClientCore,
    settings: ConsumerSettings,
    membership: AsyncPartitionMembership,
    size: int,
) -> tuple[int, AsyncMembership]:
    """Return the number of partitions, and the membership by rows, or by locks without the tables.

    Only in a database that has none of the tables: all processes use the same then. Positions are
    in streams then.

    Args:
        client: the client of the store.
        settings: the consumer's.
        membership: the process's by rows.
        size: the number to store if there is none.

    Raises:
        PositionConflictError: as ``find_or_create_set`` raises it.
        IncompatibleServerError: as ``find_or_create_set`` raises it.
        StoreUnavailableError: the store is unavailable.
    """
    uses_streams = isinstance(settings.position_store, StreamPositionStore)
    if not uses_streams or await membership.has_tables():
        return await find_or_create_set(client, settings, membership, size), membership
    await membership.leave()
    await check_not_static(client, settings, None, size, has_tables=False)
    return size, AsyncPartitionLockMembership(client, settings, membership.timeout, size)


async def find_or_create_set(
    client: AsyncClientCore,
    settings: ConsumerSettings,
    membership: AsyncPartitionMembership,
    size: int,
) -> int:
    """Return the stored number of partitions; store it if it is the first one.

    Args:
        client: the client of the store.
        settings: the consumer's.
        membership: the process's.
        size: the number to store if there is none.

    Raises:
        PositionConflictError: the identifier is used without partitions, or they keep their
            positions in another store. Nothing was changed.
        IncompatibleServerError: the tables are missing, or the role may not use them. Nothing was
            changed.
        StoreUnavailableError: the store is unavailable.
    """
    await membership.check_tables()
    stored = await membership.find_set()
    await check_not_static(client, settings, None if stored is None else stored[0], size)
    kind = "stream" if isinstance(settings.position_store, StreamPositionStore) else "table"
    if stored is None:
        await membership.create_set(size, kind)
        # Another process may have been the first.
        stored = await membership.find_set() or (size, kind)
    check_position_store(settings.position_name, kind, stored[1])
    return stored[0]


async def check_not_static(
    client: AsyncClientCore,
    settings: ConsumerSettings,
    stored_size: int | None,
    size: int,
    *,
    has_tables: bool = True,
) -> None:
    """Check that no consumer without partitions, and no group of another size, has the identifier.

    Args:
        client: the client of the store.
        settings: those of a partitioned consumer.
        stored_size: the stored number of partitions; None if there are none yet. Positions of
            others are looked for only then.
        size: the number of partitions in the settings.
        has_tables: False if partitions are locks here, as those of a static group are.

    Raises:
        PositionConflictError: one has, or runs now. Nothing was changed.
    """
    count = size if stored_size is None else stored_size
    names = [settings.position_name]
    if has_tables:
        names += [settings.build_position_name(member, count) for member in range(count)]
    schema = get_session_config(client).settings.schema
    holders = parse_lease_holders(await _read(client, consumers_sql.LEASE_HOLDERS))
    running = [each for each in names if derive_lease_keys(f"{schema} {each}") in holders]
    if running:
        raise is_running_static_error(settings.position_name, running)
    if stored_size is None:
        found = await _find_positions(client, settings.position_name, size)
        if found:
            raise is_also_static_error(settings.position_name, found, size)


async def check_not_partitioned(client: AsyncClientCore, settings: ConsumerSettings) -> None:
    """Check that no process runs partitions with the identifier of a consumer without them.

    Raises:
        PositionConflictError: one does. Nothing was changed.
    """
    members = await find_live_members(client, settings)
    if members:
        raise is_partitioned_error(settings.position_name, members)


async def check_has_no_partitions(client: AsyncClientCore, settings: ConsumerSettings) -> None:
    """Check that a consumer without a stored position would not repeat what partitions handled.

    A member of a group of their size has the position of a partition, and goes on after it.

    Raises:
        PositionConflictError: the identifier has partitions, of another number than the members
            of the group. Nothing was changed.
    """
    category, identifier = settings.category, settings.identifier
    if category is None or identifier is None or not await _may_see_members(client):
        return
    schema = get_session_config(client).settings.schema
    rows = await _read(client, sql.HAS_SET, schema, category, identifier)
    if rows and rows[0][0] != settings.group_size:
        raise was_partitioned_error(settings.position_name, rows[0][0])


async def find_live_members(client: AsyncClientCore, settings: ConsumerSettings) -> list[str]:
    """Return the names of the processes that run partitions with the identifier of a consumer.

    For a role that may not see their rows, only those whose partitions are locks.
    """
    if settings.category is None or settings.identifier is None:
        return []
    schema = get_session_config(client).settings.schema
    if not await _may_see_members(client):
        holders = await _read(client, consumers_sql.LEASE_HOLDERS)
        sizes = find_sizes(derive_members_key(schema, settings), holders)
        return [f"server process {pid}" for pids in sizes.values() for pid in pids]
    try:
        rows = await _read(client, sql.LIVE_MEMBERS, schema, settings.category, settings.identifier)
    except IncompatibleServerError:
        # The privilege may have been revoked since the client has asked for it.
        _has_members_table[client] = False
        if await _may_see_members(client):
            raise
        return []
    return [name for (name,) in rows]


async def _may_see_members(client: AsyncClientCore) -> bool:
    """Return True if the role may read the members; the server is asked until it may."""
    if not _has_members_table.get(client):
        ((may_see,),) = await _read(client, sql.HAS_MEMBERS)
        _has_members_table[client] = may_see
    return _has_members_table[client]


async def _find_positions(client: AsyncClientCore, name: str, size: int) -> list[str]:
    """Return the names of positions of other consumers with the identifier."""
    schema = get_session_config(client).settings.schema
    rows: list[tuple[Any, ...]] = []
    if (await _read(client, consumers_sql.HAS_POSITIONS))[0][0]:
        rows = await _read(client, sql.STATIC_ROWS, schema, name, f"{name}+")
    found = [each for (each,) in rows if _is_other(each, name, size)]
    if not (await get_server(client)).table_readable:
        streams = [name]
    else:
        text = sql.STATIC_STREAMS.replace("{schema}", quoted(schema)).encode()
        rows = await _read(client, text, name.partition("-")[0])
        streams = [each for (each,) in rows if _is_other(each, name, size)]
    for stream in streams:
        last = await client.get_last_stream_message(stream)
        if last is not None and not is_retired(last):
            found.append(stream)
    return found


def _is_other(found: str, name: str, size: int) -> bool:
    """Return True if these positions are not of a partition."""
    if found == name:
        return True
    member = _MEMBER.fullmatch(found.removeprefix(name)) if found.startswith(name) else None
    return member is not None and int(member[1]) != size


async def _read(client: AsyncClientCore, text: bytes, *params: Any) -> list[tuple[Any, ...]]:
    statement = Statement(text, params)
    return await read_rows(client, ReadRequest(statement, statement))
