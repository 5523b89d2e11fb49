"""The lease of a replay: one replay of held streams at a time, or one discard."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from messagedb._concurrency.backend_async import Event, Task, stop_or_leave
from messagedb._errors import MessageDBError, StoreUnavailableError

from .lease import AsyncLease
from .run_state import log

if TYPE_CHECKING:
    from ..client_core.core import AsyncClientCore

_LEASE_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.2


@asynccontextmanager
async def hold_replay_lease(client: AsyncClientCore, name: str) -> AsyncGenerator[AsyncLease]:
    """Hold the lease of a stream of parked messages for the block; wait until it is free.

    Without transactions, two replays of a stream would otherwise call handlers at the same time, or
    one of them the handler of a message whose predecessor the other is still handling.
    """
    lease = AsyncLease(client, name, _LEASE_SECONDS)
    end = Event()
    has_waited = False
    while not await lease.acquire():
        if not has_waited:
            has_waited = True
            log.info("%s: waiting, its messages are replayed or discarded by another one", name)
        await end.wait(_RETRY_SECONDS)

    async def renew() -> None:
        try:
            while not await end.wait(lease.interval):
                await lease.renew()
        except MessageDBError:
            # check_replay_lease() reports it.
            return

    task = Task(renew)
    try:
        yield lease
    finally:
        end.set()
        await stop_or_leave([task])
        await lease.release()


def check_replay_lease(lease: AsyncLease | None, name: str) -> None:
    """Check that the lease of a replay was not lost.

    Raises:
        StoreUnavailableError: it was. Messages that were handled are off the list.
    """
    if lease is not None and not lease.is_held:
        raise StoreUnavailableError(
            f"the connection that held the lease of the replay of {name!r} was lost, so another"
            " replay may begin. Messages that were handled are off the list; the others are still"
            " parked. Replay them again."
        )
