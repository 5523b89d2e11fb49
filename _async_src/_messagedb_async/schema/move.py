"""The move of a category to another node."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

import messagedb._schema.install_plan as plan
import messagedb._schema.move_plan as move_plan
import messagedb._schema.move_positions as move_positions
import messagedb._schema.proxy_plan as proxy_plan
from messagedb._concurrency.backend_async import sleep
from messagedb._connection.error_mapping import is_connection_lost
from messagedb._errors import MessageDBError
from messagedb._schema.move_plan import CategoryMove, MoveRequest, Place, PositionsWithoutId
from messagedb._schema.move_positions import Translation

from .install import connect
from .move_consumers import AsyncConsumerPositions, check_no_owners, hold_consumers
from .move_copy import AsyncCategoryCopier
from .proxy import fetch_nodes

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_PAUSE = 0.2


async def move_proxy_category_async(
    conninfo: str = "",
    *,
    category: str,
    target: str,
    positions_without_id: PositionsWithoutId = "refuse",
    lease_timeout: float = 10.0,
    progress: Callable[[str], object] | None = None,
) -> CategoryMove | None:
    """Move a category, with all of its types, to another node of a proxying database.

    Its messages are copied while writes go on. Then its consumers are stopped: their leases are
    taken, and they end with `PositionConflictError` within their lease timeout. Then writes of the
    category wait, the rest is copied, the copies are compared, and the map is changed; the stored
    positions of the consumers are those of the same messages on the new node. Ids, places in
    streams, types, data, metadata and times stay the same; global positions are new. The original
    stays on the old node, unused and hidden.

    If it fails, or its process is killed, nothing is lost, and the same call goes on. If that
    happened while writes waited, they are refused (`StoreUnavailableError`) until then, or until
    `abort_proxy_move_async` is called.

    Example::

        move = await schema.move_proxy_category_async(
            "host=10.0.0.9 dbname=shop", category="order", target="three"
        )

    Args:
        conninfo: a connection string of the proxying database, of the role that made it or a
            superuser; or '' for libpq's environment.
        category: the category, without types.
        target: the name of the node to move it to.
        positions_without_id: what is done if the position of a consumer has no id of a message, as
            the Eventide toolkit stores it: ``"refuse"`` the move; ``"source"``: it is a position
            of the node that has the category now; ``"beginning"``: its consumer begins again.
        lease_timeout: the longest lease timeout of the category's consumers, in seconds. If one
            ran, the move waits a third longer, so that it has ended before writes wait.
        progress: called with the name of each step, before it.

    Returns:
        What was done; None if the category is on that node already.

    Raises:
        ValidationError: an argument is invalid, or there is no such node. Nothing was changed.
        StoreUnavailableError: the proxying database or one of the two nodes cannot be reached.
            What was copied stays, hidden.
        IncompatibleServerError: the target has messages of the category, a position cannot be
            translated, another move of it has begun, or the database does not pass calls on. The
            category is where it was.
        RetryableError: another process moves it, or writes in flight did not end within 10
            seconds. The category is where it was.
        ServerError: a server refused a statement; the text is the server's.
    """
    conninfo = plan.check_conninfo(conninfo)
    request = move_plan.check_request(category, target, positions_without_id, lease_timeout)
    conn = await connect(conninfo)
    try:
        place, names = await _begin(conn, request.category)
        node = move_plan.find_target(
            [proxy_plan.ProxyNode(number, name, "") for number, name in names.items()], target
        )
        move_plan.check_place(place, request, names)
        if not place.is_moving and place.node == node.number:
            return None
        move = AsyncCategoryMover(conn, request, place, node.number, progress or _ignore)
        if place.state == move_plan.SETTLING:
            return await move.settle(names)
        async with await connect(conninfo) as holder:
            await holder.set_autocommit(False)
            return await move.execute(holder, names)
    except psycopg.Error as error:
        lost = is_connection_lost(error, conn.closed)
        raise move_plan.move_error(error, lost, request.category) from error
    finally:
        await conn.close()


async def abort_proxy_move_async(conninfo: str = "", *, category: str) -> None:
    """Withdraw a move that has not ended: the category stays on its node, and accepts writes.

    What was copied stays on the other node, hidden; a later move to it goes on from there.

    Example::

        await schema.abort_proxy_move_async("host=10.0.0.9 dbname=shop", category="order")

    Args:
        conninfo: as for `move_proxy_category_async`.
        category: the category, without types.

    Raises:
        ValidationError: the category is invalid. Nothing was sent.
        StoreUnavailableError: the proxying database or one of the two nodes cannot be reached.
            Call it again.
        IncompatibleServerError: the category is not being moved, or is on its new node already.
            Nothing was changed.
        RetryableError: another process moves it. Nothing was changed.
        ServerError: a server refused a statement; the text is the server's.
    """
    conninfo = plan.check_conninfo(conninfo)
    category = move_plan.check_category(category)
    conn = await connect(conninfo)
    try:
        place, _ = await _begin(conn, category)
        if place.target is None or place.state not in (move_plan.COPYING, move_plan.CLOSED):
            is_settling = place.state == move_plan.SETTLING
            raise move_plan.not_moving_error(category, is_settling)
        for node, state in ((place.node, None), (place.target, "retired")):
            values = [node, category, state]
            await conn.execute(move_plan.SET_NODE_CATEGORY.encode(), values)
        await _end(conn, category)
    except psycopg.Error as error:
        lost = is_connection_lost(error, conn.closed)
        raise move_plan.move_error(error, lost, category) from error
    finally:
        await conn.close()


def _ignore(step: str) -> None:
    """Take no notice of a step."""


async def _begin(conn: AsyncConnection[Any], category: str) -> tuple[Place, dict[int, str]]:
    """Lock out other moves of the category, and return its place and the names of the nodes."""
    nodes = await fetch_nodes(conn)
    await conn.execute(move_plan.SET_UP.encode())
    await conn.commit()
    await conn.set_autocommit(True)
    cursor = await conn.execute(move_plan.TRY_MOVE.encode(), [move_plan.get_lock_key(category)])
    if not (await cursor.fetchall())[0][0]:
        raise move_plan.running_move_error(category)
    names = {each.number: each.name for each in nodes}
    return await _fetch_place(conn, category), names


async def _fetch_place(conn: AsyncConnection[Any], category: str) -> Place:
    cursor = await conn.execute(move_plan.SELECT_PLACE.encode(), {"category": category})
    return Place(*(await cursor.fetchall())[0])


async def _end(conn: AsyncConnection[Any], category: str) -> None:
    async with conn.transaction():
        await conn.execute(move_plan.PLACE.encode(), [category])
        await conn.execute(move_plan.FORGET_MOVE.encode(), [category])


class AsyncCategoryMover:
    """One move: its steps, each of which can be repeated.

    Args:
        conn: a connection to the proxying database, in autocommit mode, whose session locks out
            other moves of the category.
        request: the move.
        place: where the category is.
        target: the number of the node to move it to.
        progress: called with the name of each step.
    """

    def __init__(
        self,
        conn: AsyncConnection[Any],
        request: MoveRequest,
        place: Place,
        target: int,
        progress: Callable[[str], object],
    ) -> None:
        self._conn = conn
        self._request = request
        self._place = place
        self._target = target
        self._progress = progress
        self._begun = monotonic()
        self._closed_at: float | None = None
        self._stopped = 0
        source = place.node
        self._copier = AsyncCategoryCopier(conn, request, source, target)
        self._positions = AsyncConsumerPositions(conn, request, source, target)

    async def execute(self, holder: AsyncConnection[Any], names: dict[int, str]) -> CategoryMove:
        """Copy, close, switch and settle; *holder* is a connection for the leases."""
        source = self._place.node
        await self._prepare()
        self._progress("copying")
        await self._copier.find_start()
        await self._copier.copy_all()
        await self._copier.compare()
        await self._stop_consumers(holder)
        self._progress("waiting for writes")
        # Writes wait as soon as the lock is asked for, behind those in flight.
        self._closed_at = monotonic()
        await self._execute(move_plan.LOCK_WRITES, [self._request.key])
        try:
            translations = await self._close()
            self._progress("switching")
            await self._switch(translations)
        except (MessageDBError, psycopg.Error):
            # If the outcome of the switch is not known, this does nothing: the connection is gone.
            with suppress(psycopg.Error):
                await self._reopen()
            raise
        self._progress("switched")
        self._place = Place(self._target, move_plan.SETTLING, self._target)
        return await self._settle(names, source, len(translations))

    async def settle(self, names: dict[int, str]) -> CategoryMove:
        """End a move whose category is on the new node already."""
        self._closed_at = monotonic()
        await self._execute(move_plan.LOCK_WRITES, [self._request.key])
        ((source, _, records),) = await self._fetch(move_plan.SELECT_MOVE, [self._request.category])
        return await self._settle(names, source, len(json.loads(records or "[]")))

    async def _prepare(self) -> None:
        """Record the move, on the target, too, whose copy is hidden from then."""
        category, source = self._request.category, self._place.node
        self._progress("preparing")
        if self._place.is_moving:
            # An earlier process was killed while writes waited: they need not until it is time.
            await self._reopen()
        move_plan.check_free(await self._copier.mark(self._target), self._request)
        await self._positions.check(await self._copier.mark(source))
        if self._place.is_moving:
            await self._set_on_node(self._target, "incoming")
            return
        values = {"category": category, "source": source, "target": self._target}
        async with self._conn.transaction():
            await self._execute(move_plan.SHARE_MAP, [])
            await self._execute(move_plan.BEGIN_MOVE, values)
            await self._execute(move_plan.RECORD_MOVE, values)
        self._progress("recorded")
        await self._set_on_node(self._target, "incoming")

    async def _stop_consumers(self, holder: AsyncConnection[Any]) -> None:
        """Take the leases, and copy on until those that had them have ended."""
        self._progress("stopping consumers")
        names = await self._positions.list_names(await self._copier.mark(self._place.node))
        self._stopped = await hold_consumers(holder, self._request, names)
        self._progress("stopped consumers")
        if self._stopped:
            end = monotonic() + self._request.lease_timeout * 4 / 3 + 1
            while monotonic() < end:
                await self._copier.copy_pass()
                await sleep(_PAUSE)
        await self._copier.copy_all()

    async def _close(self) -> list[Translation]:
        """Refuse writes, copy the rest, compare, and translate the positions."""
        category, source = self._request.category, self._place.node
        await self._execute(move_plan.SET_STATE, [move_plan.CLOSED, category])
        self._progress("closed the map")
        await self._set_on_node(source, "closed")
        self._progress("closed the node")
        await self._copier.copy_pass()
        await self._copier.compare()
        self._progress("copied")
        return await self._positions.translate(await self._copier.mark(source))

    async def _reopen(self) -> None:
        """Accept writes again, on the node that has the category."""
        await self._set_on_node(self._place.node, None)
        values = [move_plan.COPYING, self._request.category]
        await self._execute(move_plan.SET_STATE, values)

    async def _switch(self, translations: list[Translation]) -> None:
        """Change the map, and the positions in the table, in one transaction."""
        category = self._request.category
        records = [each.to_json() for each in translations if each.record.version is not None]
        async with self._conn.transaction():
            await check_no_owners(self._conn, self._request)
            for each in translations:
                if each.record.version is None:
                    values = [each.position, each.message_id, each.message_position]
                    where = [each.record.name, each.record.position]
                    if not await self._fetch(move_positions.UPDATE_ROW, [*values, *where]):
                        raise move_plan.changed_position_error(each.record.name)
            await self._execute(move_plan.KEEP_RECORDS, [json.dumps(records), category])
            await self._execute(move_plan.SWITCH, [category])
            await self._execute(proxy_plan.RAISE_VERSION, [])

    async def _settle(self, names: dict[int, str], source: int, positions: int) -> CategoryMove:
        """Store the positions on the new node, and let writes go on there."""
        category = self._request.category
        ((_, _, text),) = await self._fetch(move_plan.SELECT_MOVE, [category])
        for record in json.loads(text or "[]"):
            await self._write_record(record)
        self._progress("stored positions")
        await self._set_on_node(source, "retired")
        self._progress("retired the original")
        await self._set_on_node(self._target, None)
        self._progress("opened the copy")
        await _end(self._conn, category)
        await self._execute(move_plan.UNLOCK_WRITES, [self._request.key])
        ended = monotonic()
        self._progress("ended")
        await self._execute(proxy_plan.NOTE_VERSION, [])
        closed_at = ended if self._closed_at is None else self._closed_at
        return CategoryMove(
            category=category,
            source=names[source],
            target=names[self._target],
            copied=self._copier.copied,
            positions=positions,
            stopped=self._stopped,
            copy_seconds=closed_at - self._begun,
            closed_seconds=ended - closed_at,
        )

    async def _write_record(self, record: dict[str, Any]) -> None:
        id = move_positions.derive_record_id(self._request.category, record, self._target)
        values = [self._target, self._request.category, [id]]
        if await self._fetch(move_plan.FIND_GLOBAL_POSITIONS, values):
            return
        values = [self._target, id, record["s"], json.dumps(record["d"]), record["v"]]
        await self._execute(move_positions.WRITE_RECORD, values)

    async def _set_on_node(self, node: int, state: str | None) -> None:
        values = [node, self._request.category, state]
        await self._execute(move_plan.SET_NODE_CATEGORY, values)

    async def _execute(self, query: str, values: Any) -> None:
        await self._conn.execute(query.encode(), values or None)

    async def _fetch(self, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
        return await (await self._conn.execute(query.encode(), values)).fetchall()
