"""The consumers of a category that is moved: they are stopped, and their positions translated."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import messagedb._schema.move_plan as move_plan
import messagedb._schema.move_positions as move_positions
from messagedb._concurrency.backend_async import sleep
from messagedb._errors import RetryableError
from messagedb._schema.move_plan import Mark, MoveRequest
from messagedb._schema.move_positions import StoredRecord, Translation
from messagedb._sql.consumers import CATEGORY_LEASES

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_SECONDS = 10.0
_PAUSE = 0.01


class AsyncConsumerPositions:
    """The stored positions of a category's consumers, in its streams and in the table.

    Args:
        conn: a connection to the proxying database.
        request: the move.
        source: the number of the node that has the category.
        target: the number of the other.
    """

    def __init__(
        self, conn: AsyncConnection[Any], request: MoveRequest, source: int, target: int
    ) -> None:
        self._conn = conn
        self._request = request
        self._source = source
        self._target = target

    async def list_names(self, mark: Mark) -> list[str]:
        """Return the names of the consumers that store positions, or have reported a run."""
        rows = await self._list_last(mark)
        names = {name for name, *_ in rows}
        names.update(each.name for each in await self._load_rows())
        cursor = await self._conn.execute(
            move_positions.LIST_REPORTED.encode(), [self._request.category]
        )
        names.update(row[0] for row in await cursor.fetchall())
        return sorted(names)

    async def check(self, mark: Mark) -> None:
        """Check that all positions can be translated.

        Raises:
            IncompatibleServerError: some cannot.
        """
        await self._find(await self._load(mark), mark)

    async def translate(self, mark: Mark) -> list[Translation]:
        """Return all positions as those of the target, which has all messages."""
        records = await self._load(mark)
        found = await self._find(records, mark)
        ids = sorted({id for id, _ in found.values()})
        rows = await self._fetch(
            move_plan.FIND_GLOBAL_POSITIONS, [self._target, self._request.category, ids]
        )
        mode = self._request.positions_without_id
        return move_positions.translate(records, found, dict(rows), mode)

    async def _load(self, mark: Mark) -> list[StoredRecord]:
        streams = move_positions.parse_records(await self._list_last(mark))
        return [*streams, *await self._load_rows()]

    async def _list_last(self, mark: Mark) -> list[tuple[Any, ...]]:
        names = move_positions.list_position_categories(mark.categories)
        return await self._fetch(move_positions.LIST_RECORDS, [self._source, names])

    async def _load_rows(self) -> list[StoredRecord]:
        category = self._request.category
        rows = await self._fetch(move_positions.LIST_ROWS, {"category": category})
        ids = [row[2] for row in rows if row[2] is not None]
        found = await self._fetch(move_plan.FIND_GLOBAL_POSITIONS, [self._source, category, ids])
        return move_positions.parse_rows(rows, dict(found))

    async def _find(self, records: list[StoredRecord], mark: Mark) -> dict[int, tuple[str, int]]:
        places = move_positions.list_places(records)
        rows = await self._fetch(
            move_positions.FIND_BEFORE, [self._source, mark.categories, places]
        )
        found = {given: (id, position) for given, id, position in rows}
        move_positions.check_records(
            records, found, self._request.positions_without_id, self._request.category
        )
        return found

    async def _fetch(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        return await (await self._conn.execute(query.encode(), values)).fetchall()


async def hold_consumers(conn: AsyncConnection[Any], request: MoveRequest, names: list[str]) -> int:
    """Take the leases of consumers, from those that have them, and keep them.

    They are held by this session, and the partitions by its transaction, until it ends.

    Args:
        conn: a connection to the proxying database for this alone.
        request: the move.
        names: the names of the consumers.

    Returns:
        The number of consumers, and of processes with partitions, that ran.

    Raises:
        RetryableError: a lease cannot be taken, as others take it over and over.
    """
    stopped = 0
    for name in names:
        keys = move_positions.get_lease_key(name)
        what = f"the lease of consumer {name!r}"
        stopped += await _take_lock(conn, keys, what) > 0
    # A consumer that has stored nothing yet is known by this lock only, and another one that begins
    # waits for it.
    keys = (CATEGORY_LEASES, request.key)
    stopped += await _take_lock(conn, keys, "the category's leases")
    values = {"category": request.category}
    deadline = monotonic() + _SECONDS
    while True:
        cursor = await conn.execute(move_positions.END_MEMBERS.encode(), values)
        stopped += sum(1 for row in await cursor.fetchall() if row[0])
        await conn.execute(move_positions.FREE_PARTITIONS.encode(), values)
        await conn.commit()
        cursor = await conn.execute(move_positions.HOLD_PARTITIONS.encode(), [request.category])
        # One that was claimed in between has to be taken, too.
        if all(row[0] is None for row in await cursor.fetchall()):
            return stopped
        await conn.rollback()
        _check_time(deadline, "its partitions")


async def check_no_owners(conn: AsyncConnection[Any], request: MoveRequest) -> None:
    """Check that no partition was claimed since the consumers were stopped, and keep it so.

    Partitions are not claimed until the transaction of the connection ends.

    Raises:
        RetryableError: one was, of a consumer that runs for the first time.
    """
    await conn.execute(move_positions.LOCK_PARTITIONS.encode())
    cursor = await conn.execute(move_positions.LIST_OWNED.encode(), [request.category])
    if await cursor.fetchall():
        raise move_plan.claimed_partitions_error(request.category)


async def _take_lock(conn: AsyncConnection[Any], keys: tuple[int, int], what: str) -> int:
    """Take a lock from the sessions that hold it, and return how many these were."""
    deadline = monotonic() + _SECONDS
    ended: set[int] = set()
    while True:
        cursor = await conn.execute(move_positions.TRY_LOCK.encode(), keys)
        if (await cursor.fetchall())[0][0]:
            await conn.commit()
            return len(ended)
        unsigned = [key & 0xFFFFFFFF for key in keys]
        cursor = await conn.execute(move_positions.END_HOLDERS.encode(), unsigned)
        ended.update(row[0] for row in await cursor.fetchall())
        await conn.commit()
        _check_time(deadline, what)
        await sleep(_PAUSE)


def _check_time(deadline: float, what: str) -> None:
    if monotonic() > deadline:
        raise _busy_error(what)


def _busy_error(what: str) -> RetryableError:
    return RetryableError(
        f"{what} could not be taken: consumers take it over and over. The category is where it "
        "was, and accepts writes. Stop the consumers, and repeat the move.",
        "55P03",
    )
