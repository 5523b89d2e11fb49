"""Change of a consumer group's size, so that no message is skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._connection.server_info import check_not_proxied
from messagedb._consumers.group_membership import GroupResize
from messagedb._consumers.position_records import (
    RESIZED_TO,
    consumer_running_error,
    group_resized_error,
    is_retired,
    parse_position,
    parse_retired_position,
    position_conflict_error,
)
from messagedb._consumers.position_stores import (
    RECORDED,
    StreamPositionStore,
    TablePositionStore,
    build_consumer_name,
    check_identifier,
    position_stream_name,
)
from messagedb._errors import PositionConflictError, ValidationError, WrongExpectedVersionError
from messagedb._messages.ids import uuid7
from messagedb._messages.message import NewMessage
from messagedb._operations import validation
from messagedb._sql import consumers as sql
from messagedb._transactions.options import build_options
from messagedb.expected_version import NO_STREAM

from ..client_core.core import open_transaction
from ..operations.internals import get_server, get_session_config
from .lease import AsyncLease
from .position_stores import execute_in

if TYPE_CHECKING:
    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction

# Enough for moving the positions.
_LEASE_SECONDS = 60.0

_MAX_COUNTED = 1_000_000

RESIZE_OF_STREAMS = (
    "the change of the size of a group, or of the number of partitions, if positions are in streams"
    " and not in the table"
)


async def resize_group(
    client: AsyncClientCore,
    category: str,
    *,
    identifier: str,
    old_size: int | None,
    new_size: int,
    position_store: StreamPositionStore | TablePositionStore | None,
    dry_run: bool,
) -> GroupResize:
    """Change the size of a consumer group: see ``AsyncClient.resize_consumer_group()``."""
    store = StreamPositionStore() if position_store is None else position_store
    validation.check_category(category)
    check_identifier(identifier, True)
    if old_size is not None:
        validation.check_group_size("old_size", old_size)
    validation.check_group_size("new_size", new_size)
    if old_size == new_size:
        raise ValidationError("old_size and new_size are the same. Nothing was sent.")
    if (store.stream_name if isinstance(store, StreamPositionStore) else store.name) is not None:
        raise ValidationError(
            "the positions of members with custom names cannot be moved automatically: use"
            " reset_position() of each. Nothing was sent."
        )

    def names(size: int | None) -> list[str]:
        return [
            position_stream_name(category, build_consumer_name(identifier, member, size))
            for member in range(size or 1)
        ]

    members_class = (
        AsyncStreamMembers if isinstance(store, StreamPositionStore) else AsyncTableMembers
    )
    is_table = members_class is AsyncTableMembers
    if not is_table:
        check_not_proxied(await get_server(client), RESIZE_OF_STREAMS)
    old, new = names(old_size), names(new_size)
    # Before the leases: when it was already done, the new members may hold theirs.
    options = build_options(read_only=True, is_local=is_table)
    async with open_transaction(client, options) as transaction:
        earlier_positions = await _find_earlier_resize(transaction, members_class(client), old, new)
    if earlier_positions is not None:
        return await _build_result(client, category, earlier_positions, is_done=True)
    leases = [AsyncLease(client, name, _LEASE_SECONDS) for name in (*old, *new)]
    try:
        for lease, name in zip(leases, (*old, *new), strict=True):
            if not dry_run and not await lease.acquire():
                raise consumer_running_error(name)
        return await _resize(client, category, members_class(client), old, new, dry_run)
    finally:
        for lease in leases:
            await lease.release()


async def _resize(
    client: AsyncClientCore,
    category: str,
    members: AsyncStreamMembers | AsyncTableMembers,
    old: list[str],
    new: list[str],
    dry_run: bool,
) -> GroupResize:
    is_table = isinstance(members, AsyncTableMembers)
    # A position in the table is only stored after the one that was read.
    categories = [] if is_table else [old[0].partition("-")[0]]
    options = build_options(categories=categories, is_local=is_table)
    async with open_transaction(client, options) as transaction:
        earlier_positions = await _find_earlier_resize(transaction, members, old, new)
        if earlier_positions is not None:
            return await _build_result(client, category, earlier_positions, is_done=True)
        old_positions = [await members.read(transaction, name) for name in old]
        if all(position is None for position in old_positions):
            raise PositionConflictError(
                f"none of {', '.join(map(repr, old))} has a position: no consumer of this category,"
                " identifier and old_size has run. Nothing was changed. A consumer without a"
                " group is not a group of one: its old_size is None."
            )
        positions = [position or 0 for position in old_positions]
        for name in new:
            existing = await members.read_unused(transaction, name)
            if existing is not None:
                raise PositionConflictError(
                    f"{name!r} already has a position, {existing}: members of this size have run,"
                    " and the group was not resized to it here. Nothing was changed. Use the"
                    " current size as old_size, or another identifier."
                )
        if not dry_run:
            for name in old:
                await members.retire(transaction, name, len(new))
            for name in new:
                await members.create(transaction, name, min(positions))
    return await _build_result(client, category, positions, is_done=not dry_run)


async def _find_earlier_resize(
    transaction: AsyncTransaction,
    members: AsyncStreamMembers | AsyncTableMembers,
    old: list[str],
    new: list[str],
) -> list[int] | None:
    """Return the positions of the old members, if exactly this was done before; None otherwise."""
    positions: list[int] = []
    for name in old:
        retired = await members.read_retired(transaction, name)
        if retired is None or retired[1] != len(new):
            return None
        positions.append(retired[0])
    for name in new:
        if await members.read_unused(transaction, name) is None:
            return None
    return positions


async def _build_result(
    client: AsyncClientCore, category: str, positions: list[int], *, is_done: bool
) -> GroupResize:
    start, furthest = min(positions), max(positions)
    repeated = 0
    if furthest > start:
        # In this order: messages that are written in between increase it.
        behind = await client.get_lag([category], furthest + 1, limit=_MAX_COUNTED)
        lag = await client.get_lag([category], start + 1, limit=_MAX_COUNTED)
        # If not all could be counted: as if all positions were the category's.
        repeated = lag.messages - behind.messages if lag.is_exact else furthest - start
    return GroupResize(tuple(each + 1 for each in positions), start + 1, repeated, is_done)


class AsyncStreamMembers:
    """The positions of members in streams."""

    def __init__(self, client: AsyncClientCore) -> None:
        self._versions: dict[str, int] = {}

    async def read(self, transaction: AsyncTransaction, name: str) -> int | None:
        last = await transaction.get_last_stream_message(name)
        self._versions[name] = NO_STREAM if last is None else last.position
        return None if last is None else parse_position(last, name)

    async def read_unused(self, transaction: AsyncTransaction, name: str) -> int | None:
        """Return the position of a new member: None if members of this size were retired before."""
        last = await transaction.get_last_stream_message(name)
        self._versions[name] = NO_STREAM if last is None else last.position
        return None if last is None or is_retired(last) else parse_position(last, name)

    async def read_retired(
        self, transaction: AsyncTransaction, name: str
    ) -> tuple[int, int] | None:
        """Return the last position of a retired member, and the size that came after it."""
        last = await transaction.get_last_stream_message(name)
        return None if last is None else parse_retired_position(last)

    async def retire(self, transaction: AsyncTransaction, name: str, new_size: int) -> None:
        last = await transaction.get_last_stream_message(name)
        position = None if last is None else parse_position(last, name)
        await self._write(transaction, name, {"position": position, RESIZED_TO: new_size})

    async def create(self, transaction: AsyncTransaction, name: str, position: int) -> None:
        await self._write(transaction, name, {"position": position})

    async def _write(self, transaction: AsyncTransaction, name: str, data: dict[str, Any]) -> None:
        try:
            await transaction.write_message(
                name, NewMessage(RECORDED, data), expected_version=self._versions[name]
            )
        except WrongExpectedVersionError as error:
            raise position_conflict_error(name, None, None) from error


class AsyncTableMembers:
    """The positions of members in the table."""

    def __init__(self, client: AsyncClientCore) -> None:
        self._schema = get_session_config(client).settings.schema
        self._saves: dict[str, str | None] = {}
        self._retired: set[str] = set()

    async def read(self, transaction: AsyncTransaction, name: str) -> int | None:
        rows = await execute_in(transaction, sql.READ_POSITION, (self._schema, name))
        self._saves[name] = rows[0][1] if rows else None
        if rows and rows[0][2] is not None:
            raise group_resized_error(name, rows[0][2])
        return rows[0][0] if rows else None

    async def read_unused(self, transaction: AsyncTransaction, name: str) -> int | None:
        """Return the position of a new member: None if members of this size were retired before."""
        rows = await execute_in(transaction, sql.READ_POSITION, (self._schema, name))
        self._saves[name] = rows[0][1] if rows else None
        if rows and rows[0][2] is not None:
            self._retired.add(name)
            return None
        return rows[0][0] if rows else None

    async def read_retired(
        self, transaction: AsyncTransaction, name: str
    ) -> tuple[int, int] | None:
        """Return the last position of a retired member, and the size that came after it."""
        rows = await execute_in(transaction, sql.READ_POSITION, (self._schema, name))
        return (rows[0][0], rows[0][2]) if rows and rows[0][2] is not None else None

    async def retire(self, transaction: AsyncTransaction, name: str, new_size: int) -> None:
        if self._saves[name] is None:
            await self.create(transaction, name, 0)
        await self._write(transaction, sql.MARK_RESIZED, name, new_size)

    async def create(self, transaction: AsyncTransaction, name: str, position: int) -> None:
        text = sql.UNMARK_RESIZED if name in self._retired else sql.FIRST_POSITION
        await self._write(transaction, text, name, position)

    async def _write(
        self, transaction: AsyncTransaction, text: bytes, name: str, value: int
    ) -> None:
        id, replaced_save = str(uuid7()), self._saves[name]
        saves = "{}" if replaced_save is None else f"{{{replaced_save}}}"
        values: tuple[Any, ...] = (self._schema, name, value, id, saves)
        if text is sql.FIRST_POSITION:
            values += (None, None, None)
        if not await execute_in(transaction, text, values):
            raise position_conflict_error(name, None, None)
        self._saves[name] = id
