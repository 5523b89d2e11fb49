"""One look at the heads for all consumers of a client that wait for messages."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from messagedb._consumers.idle_consumers import PAUSE_SECONDS, Heads, IdleConsumers
from messagedb._errors import MessageDBError
from messagedb._operations.scan_requests import build_heads
from messagedb._sql.scans import scan_statements
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error

from ..operations.internals import get_server, get_session_config, read_in_history
from .run_state import log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._consumers.idle_consumers import IdleConsumer

    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncSignals


class AsyncSharedLook:
    """The looks of one client's consumers: one of those that wait looks for all, by one statement.

    No task is needed for it. If the one that looks ends or has messages, another one takes its
    turn; and one that gets no look for some seconds reads by itself.

    Attributes:
        runs: the runs whose consumers wait at times. A single one reads by itself, with one round
            trip less for its messages.
    """

    def __init__(self) -> None:
        self.runs: set[object] = set()
        self._idle = IdleConsumers()
        self._paused_until = 0.0

    async def is_possible(self, client: AsyncClientCore) -> bool:
        """Return True unless the role may not read the table, or the last look was refused."""
        if monotonic() < self._paused_until:
            return False
        return (await get_server(client)).table_readable

    async def wait(
        self, client: AsyncClientCore, signals: AsyncSignals, idle: IdleConsumer
    ) -> None:
        """Wait until a consumer is to read: something wakes it, or it is time to read by itself.

        Args:
            client: the client of the store.
            signals: those of the consumer's run.
            idle: the consumer.

        Raises:
            MessageDBError: the store was unavailable when it looked.
        """
        self._idle.add(idle)
        try:
            while not await signals.wake.wait(max(self._idle.find_turn(idle) - monotonic(), 0.0)):
                now = monotonic()
                if now >= idle.reads_at:
                    return
                if self._idle.is_turn(idle, now):
                    await self._look(client, now)
        finally:
            self._idle.remove(idle)

    async def _look(self, client: AsyncClientCore, now: float) -> None:
        """Look for all consumers that are due, and wake those that are to read.

        It does not wait for a slot of the pool: it would come after the reads of all consumers that
        it could save.
        """
        due = self._idle.select_due(now)
        names = {idle.category for idle in due if idle.category is not None}
        try:
            heads = await _read_heads(client, names)
        except MessageDBError as error:
            for idle in due:
                idle.wake()
            if is_transient_error(error):
                raise
            self._pause(format_error(error))
            return
        if get_session_config(client).histories.get_text(heads.history) is None:
            # Each would compare its last message after each look, as of another server.
            self._pause("the role may not read the history of the server")
        for idle in due:
            idle.note_look(heads, now)

    def _pause(self, reason: str) -> None:
        """Let each consumer read by itself for some time."""
        self._paused_until = monotonic() + PAUSE_SECONDS
        log.info(
            "the consumers of a client cannot look for messages together, and each polls by itself"
            " for %d s: %s",
            PAUSE_SECONDS,
            reason,
        )


def get_shared_look(client: AsyncClientCore) -> AsyncSharedLook:
    """Return the looks that the consumers of a client share."""
    return _looks.setdefault(client, AsyncSharedLook())


_looks: WeakKeyDictionary[AsyncClientCore, AsyncSharedLook] = WeakKeyDictionary()


async def _read_heads(client: AsyncClientCore, names: Iterable[str]) -> Heads:
    sql = scan_statements(get_session_config(client).settings.schema)
    (rows,), history = await read_in_history(client, build_heads(sql, names))
    store: int = rows.pop()[1] or 0
    return Heads(dict(rows), store, history)
