"""Whether the store still is the one that was read: looked at after a change of its history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._consumers.position_records import StoredPosition
from messagedb._subscriptions.read_trail import Mark, Trail, last_common, lost_history
from messagedb.errors import LostHistoryError

from .marks import find_by_id, history_of, last_positions, look_at, look_back

if TYPE_CHECKING:
    from collections.abc import Mapping

    from messagedb._callables import AsyncWork
    from messagedb._operations.scan_results import Lag, Scan, Writer

    from ..client.client import AsyncClient
    from ..operations.scans import AsyncScans
    from ..transactions.transaction import AsyncTransaction
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
    def held_by(self) -> list[Writer]:
        """The transactions that hold back what comes next, by the last read."""
        return self._feed.held_by

    @property
    def wants_soon(self) -> bool:
        """Whether the last read held something back, which may be free any moment."""
        return self._feed.wants_soon

    async def read(self, position: int, look_at: int | None = None) -> Scan:
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

    async def end(self, pause: AsyncWork[float, bool]) -> int | None:
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
    return lost_history(name, mark, found_id, common, await client.store_head())


async def check_stored(
    client: AsyncClient, name: str, category: str | None, stored: StoredPosition | None
) -> Mark | None:
    """See that a stored position is one of this store, and give the mark to go on from.

    It must not be beyond all positions that were ever given out. Of one that was stored in the
    history that the server has now nothing more is asked: messages that are not there any more were
    erased. Nor is it of one without an id, as the Eventide toolkit stores it.

    Raises:
        LostHistoryError: it is not.
    """
    if stored is None or stored.position == 0:
        return None
    profile = client._profile  # pyright: ignore[reportPrivateUsage]
    mark = await look_back(client, stored.mark_position, category)
    history = mark.history if mark is not None else profile.histories.latest
    is_same = stored.history is not None and stored.history == profile.histories.text_of(history)
    head, given = await last_positions(client)
    last = head if given is None and not is_same and stored.message_id is None else given
    if last is not None and stored.position > last:
        raise LostHistoryError(name, stored.position, None, None, None, head)
    if is_same or stored.message_id is None:
        return mark
    found = mark.id if mark is not None and mark.position == stored.mark_position else None
    if found != stored.message_id:
        was = Mark(stored.mark_position, stored.message_id, 0)
        raise await lost(client, name, was, found, {})
    return mark


async def check_message(
    transaction: AsyncTransaction, name: str, mark: Mark, category: str | None, trail: Trail
) -> None:
    """See that a message is in the store that a transaction is about to change because of it.

    Nothing is asked where the transaction runs in the history that the message was read in.

    Raises:
        LostHistoryError: it is not.
    """
    if history_of(transaction) == mark.history:
        return
    found = await look_at(transaction, mark.position, category)
    if found != mark.id:
        trail.lost = lost_history(name, mark, found, None, None)
        raise trail.lost
