"""Notifications of new messages: LISTEN on a separate connection, which is reopened when lost."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._connection.error_mapping import NOTHING_CHANGED, map_error
from messagedb._connection.settings import RESPONSE_GRACE_SECONDS
from messagedb._errors import IncompatibleServerError, MessageDBError
from messagedb._schema.notify_trigger import get_channel, get_wait_channel
from messagedb._sql import consumers as sql
from messagedb._sql.statements import Statement, quoted
from messagedb._subscriptions.availability import is_store_unavailable
from messagedb._subscriptions.backoff import RECONNECT_BACKOFF
from messagedb._subscriptions.log_texts import format_error

from ..connection.connection import AsyncStoreConnection, AsyncStoreCursor, execute
from ..operations.internals import get_session_config
from ..subscriptions.availability import retry_while_unavailable
from .run_state import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import AsyncConnection

    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncSignals

# Duration of one wait for notifications: after it the listener checks whether the run is over.
_POLL_SECONDS = 0.5
# How often it sends a query, to detect that the connection is broken.
_PING_SECONDS = 10.0


class AsyncListener:
    """Wakes a run when messages are written that it may want.

    The consumer polls as well, and less often while this listens: a notification that is lost
    delays a message, and loses none.

    Args:
        name: the consumer's, for logs.
        signals: the run's.
        client: the client whose server it listens to.
        accepts_category: returns True for the run's categories.
        wake: wakes what reads the messages; None for the run of the signals.
        note_wait: called with announcements of those who wait for a consumer; None to get none.

    Attributes:
        is_listening: True while notifications come.
    """

    def __init__(
        self,
        name: str,
        signals: AsyncSignals,
        client: AsyncClientCore,
        accepts_category: Callable[[str], bool],
        wake: Callable[[], object] | None = None,
        note_wait: Callable[[str], None] | None = None,
    ) -> None:
        self.is_listening = False
        self._name = name
        self._signals = signals
        self._client = client
        self._accepts_category = accepts_category
        self._wake = wake or signals.wake.set
        self._note_wait = note_wait
        self._wait_channel = get_wait_channel(get_session_config(client).settings.schema)

    async def connect(self) -> AsyncConnection[Any]:
        """Open a connection that listens. It is the caller's: pass it to ``run``, which closes it.

        Raises:
            IncompatibleServerError: the server sends no notifications. Nothing was changed.
            StoreUnavailableError: the store is unavailable.
        """
        settings = get_session_config(self._client)
        conn = await self._client.connect()
        try:
            if not settings.session_settings:
                raise IncompatibleServerError(
                    "notify=True needs LISTEN, which a pooler in transaction mode does not"
                    " support. Nothing was changed. Omit it, or connect without the pooler."
                )
            if not conn.autocommit:
                await conn.set_autocommit(True)
            self._set_deadline(conn)
            schema = settings.settings.schema
            rows = await execute(AsyncStoreCursor(conn), Statement(sql.HAS_NOTIFY, (schema,)))
            if not rows[0][0]:
                raise IncompatibleServerError(
                    f"notify=True needs the trigger on {schema}.messages that"
                    " messagedb.schema.install_notify() adds, and it is missing. Nothing was"
                    " changed. Add it as the table's owner, or omit notify: the consumer polls"
                    " then."
                )
            channels = [get_channel(schema)]
            if self._note_wait is not None:
                channels.append(self._wait_channel)
            for channel in channels:
                listen = f"LISTEN {quoted(channel)}"
                await AsyncStoreCursor(conn).execute(listen.encode(), prepare=False)
        except psycopg.Error as error:
            await conn.close()
            raise map_error(error, NOTHING_CHANGED) from error
        except BaseException:
            await conn.close()
            raise
        return conn

    async def run(self, conn: AsyncConnection[Any]) -> None:
        """Listen until the run has ended, on other connections when this one is lost."""
        signals, current = self._signals, conn
        try:
            while not signals.ended.is_set():
                await self._listen_once(current)
                if not await signals.pause_until_ended(RECONNECT_BACKOFF.get_backoff(1)):
                    return
                new_conn = await retry_while_unavailable(
                    self.connect,
                    pause=signals.pause_until_ended,
                    on_failure=self._note_failure,
                    is_transient=lambda error: isinstance(error, MessageDBError),
                )
                if new_conn is None:
                    return
                current = new_conn
                log.info("%s: notifications come again", self._name)
        finally:
            with suppress(psycopg.Error, OSError):
                await current.close()

    async def _listen_once(self, conn: AsyncConnection[Any]) -> None:
        """Listen until the run has ended or the connection is lost, and close it."""
        try:
            self.is_listening = True
            # For messages that were written before it listened.
            self._wake()
            await self._listen(conn)
        except Exception as error:
            log.warning("%s: no notifications come, it polls: %s", self._name, format_error(error))
        finally:
            self.is_listening = False
            with suppress(psycopg.Error, OSError):
                await conn.close()

    def _note_failure(self, error: Exception, seconds: float) -> None:
        if not is_store_unavailable(error):
            log.warning("%s: it cannot listen, and polls: %s", self._name, format_error(error))

    async def _listen(self, conn: AsyncConnection[Any]) -> None:
        """Wake the run at each notification of its categories, until the run has ended.

        Raises:
            psycopg.Error: the connection is lost.
        """
        signals = self._signals
        last_ping = monotonic()
        while not signals.ended.is_set():
            if isinstance(conn, AsyncStoreConnection):
                conn.deadline = float("inf")
            async for notification in conn.notifies(timeout=_POLL_SECONDS, stop_after=1):
                payload = notification.payload
                if self._note_wait is not None and notification.channel == self._wait_channel:
                    self._note_wait(payload)
                elif not payload or self._accepts_category(payload):
                    self._wake()
            if monotonic() - last_ping > _PING_SECONDS:
                # Silence proves nothing: a broken connection is silent, too.
                self._set_deadline(conn)
                await execute(AsyncStoreCursor(conn), Statement(sql.KEEP_LEASE, ()))
                last_ping = monotonic()

    def _set_deadline(self, conn: AsyncConnection[Any]) -> None:
        if isinstance(conn, AsyncStoreConnection):
            session_config = get_session_config(self._client)
            conn.deadline = (
                monotonic() + session_config.settings.command_timeout + RESPONSE_GRACE_SECONDS
            )
