"""Whether the store still is the one that was read: looked at after a change of its history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._errors import LostHistoryError
from messagedb._subscriptions.read_trail import Mark, Trail, last_common, lost_history

from .marks import find_by_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage

    from ..operations.scans import AsyncScans
    from .feeds import AsyncFeed


class AsyncCheckedFeed:
    """A feed that gives no page of a store which has lost what was read from it before.

    Within one history of the server nothing can be lost, and nothing is asked. When a page comes
    with another history, it is read once more, together with the message that was the last one to
    be looked at: on one connection, so that both are of one server.

    Args:
        feed: the feed.
        client: whose store it is.
        trail: what was looked at.
        name: the consumer's, for texts.
    """

    def __init__(self, feed: AsyncFeed, client: AsyncScans, trail: Trail, name: str) -> None:
        self._feed = feed
        self._client = client
        self._trail = trail
        self._name = name

    @property
    def held_by(self) -> list[OpenWriteTransaction]:
        """The transactions that hold back what comes next, by the last read."""
        return self._feed.held_by

    @property
    def wants_soon(self) -> bool:
        """Whether the last read held something back, which may be free any moment."""
        return self._feed.wants_soon

    async def read(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Look at the page from a global position on.

        Raises:
            LostHistoryError: what was looked at before is not there any more.
        """
        trail = self._trail
        if trail.lost is not None:
            raise trail.lost
        scan = await self._feed.read(position, look_at)
        mark = trail.mark
        if mark is not None and scan.history != mark.history:
            scan = await self._feed.read(position, mark.position)
            if scan.found_id != mark.id:
                trail.lost = await lost(
                    self._client, self._name, mark, scan.found_id, trail.marks()
                )
                raise trail.lost
        trail.note(scan)
        return scan

    async def head(self) -> int | None:
        """Give the last position that it would look at now, 0 for none; None if nobody can tell."""
        return await self._feed.head()

    async def end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Give the position to go on from with what cannot be seen yet, and with nothing else."""
        return await self._feed.end(pause)

    async def lag(self, position: int) -> Lag:
        """Tell what follows a position that is done, whether or not the filters let it through."""
        return await self._feed.lag(position)


async def lost(
    client: AsyncScans, name: str, mark: Mark, found_id: str | None, remembered: Mapping[str, int]
) -> LostHistoryError:
    """Find out what of the store is as it was, for the error that tells of it.

    Args:
        client: whose store it is.
        name: the consumer's.
        mark: the message that is not what it was.
        found_id: the message that is there now.
        remembered: ids that were looked at, with their positions.
    """
    common = last_common(remembered, await find_by_id(client, remembered))
    return lost_history(name, mark, found_id, common, await client.get_store_head())
