"""The lease of a consumer: its holder runs, and loses it when it dies, disappears or hangs."""

from __future__ import annotations

from logging import INFO, WARNING
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

from messagedb._connection.error_mapping import get_first_line
from messagedb._consumers.position_records import lease_lost_error
from messagedb._consumers.position_stores import LeaseKeys, derive_category_key, derive_lease_keys
from messagedb._errors import MessageDBError
from messagedb._subscriptions.availability import is_store_unavailable
from messagedb._subscriptions.log_texts import format_error

from ..operations.internals import get_server, get_session_config
from ..subscriptions.availability import retry_while_unavailable
from .lease_session import get_lease_session
from .run_state import log

if TYPE_CHECKING:
    from ..client_core.core import AsyncClientCore
    from .run_state import AsyncRunState


class AsyncLease:
    """The lease of a consumer: an advisory lock of the session that holds its client's leases.

    Args:
        client: the client whose server has the lock.
        name: the consumer's.
        timeout: seconds without a sign of life after which the server releases it.
        category: the category that the consumer reads; None for that of the name.

    Attributes:
        timeout: the same.
        interval: seconds between two signs of life.
    """

    def __init__(
        self, client: AsyncClientCore, name: str, timeout: float, category: str | None = None
    ) -> None:
        self.timeout = timeout
        self.interval = timeout / 3
        self._client = client
        # One lock for the whole database, which may hold two stores.
        schema = get_session_config(client).settings.schema
        self._keys = LeaseKeys(*derive_lease_keys(f"{schema} {name}"))
        self._category_key = derive_category_key(category or name)
        self._session = get_lease_session(client, timeout)
        # Of the connection that holds it.
        self._number: int | None = None

    @property
    def is_held(self) -> bool:
        """True unless it is known to be lost."""
        return self._number is not None

    @property
    def obstacle(self) -> str:
        """The reason that it cannot be acquired, for people."""
        text = "another consumer with this identifier runs"
        if self._keys.category is None:
            return text
        return f"{text}, or its category is being moved to another node"

    async def acquire(self) -> bool:
        """Try to acquire it; return True if it is held.

        Through PL/Proxy it cannot be acquired while the category is moved to another node: global
        positions, one of which the consumer may only have in memory, are others there.

        Raises:
            StoreUnavailableError: the store is unavailable. It is not held.
        """
        try:
            if (await get_server(self._client)).is_proxied:
                self._keys = self._keys._replace(category=self._category_key)
            self._number = await self._session.acquire(self._client, self, self._keys)
        except BaseException:
            await self.release()
            raise
        return self._number is not None

    async def renew(self) -> None:
        """Show a sign of life.

        Raises:
            StoreUnavailableError: the connection is gone, and the lease with it.
        """
        assert self._number is not None
        try:
            await self._session.renew(self._client, self._number)
        except MessageDBError:
            self._number = None
            raise

    async def release(self) -> None:
        """Release it. Does nothing if it is not held."""
        number, self._number = self._number, None
        await self._session.release(self, self._keys, number)


async def acquire_lease(state: AsyncRunState, lease: AsyncLease) -> bool:
    """Wait until the lease is free, and acquire it; return False if the run is to stop."""
    signals, phase = state.signals, state.phase
    logged = False
    while not signals.is_stopping:
        is_held = await retry_while_unavailable(
            lease.acquire,
            pause=signals.pause,
            on_failure=state.availability.mark_unavailable,
            is_transient=is_store_unavailable,
        )
        if is_held is None:
            return False
        state.availability.mark_available()
        if is_held:
            phase.resume("starting")
            return True
        phase.wait(lease.obstacle)
        if not logged:
            logged = True
            log.info("%s: waiting, %s", state.name, lease.obstacle)
        await signals.pause(min(1.0, lease.interval))
    return False


async def renew_lease(state: AsyncRunState, lease: AsyncLease) -> None:
    """Renew it until the run has ended: nothing else, which might delay it."""
    try:
        while await state.signals.pause_until_ended(lease.interval):
            if not await _renew_or_acquire(state, lease):
                return
    except Exception as error:
        # Without renewals another one would take over from a running consumer.
        state.signals.fail(error)


async def _renew_or_acquire(state: AsyncRunState, lease: AsyncLease) -> bool:
    """Renew it; acquire it again if it was lost; return True if it is held."""
    try:
        await lease.renew()
    except MessageDBError as error:
        reason = (
            get_first_line(error.__cause__) if isinstance(error.__cause__, psycopg.Error) else ""
        )
        # An unavailable store is reported as such, once.
        level = INFO if is_store_unavailable(error) else WARNING
        log.log(
            level,
            "%s: the lease was lost, and is acquired again: %s",
            state.name,
            format_error(error),
        )
    else:
        return True
    state.signals.pause_messages("the lease was lost")
    return await _acquire_again(state, lease, reason)


async def _acquire_again(state: AsyncRunState, lease: AsyncLease, reason: str) -> bool:
    signals = state.signals
    give_up_at: float | None = None

    def wait_longer(error: Exception, seconds: float) -> None:
        nonlocal give_up_at
        give_up_at = None
        # So that the status says it: an unavailable store is not another consumer's lease.
        state.availability.mark_unavailable(error, seconds)

    while not signals.ended.is_set():
        is_held = await retry_while_unavailable(
            lease.acquire,
            pause=signals.pause_until_ended,
            on_failure=wait_longer,
            is_transient=is_store_unavailable,
        )
        if is_held is None:
            break
        if is_held:
            if not state.availability.mark_available():
                log.info("%s: the lease is held again", state.name)
            signals.resume_messages()
            return True
        # Our own lost session may still hold it, until the server ends that.
        give_up_at = give_up_at or monotonic() + lease.timeout
        if monotonic() >= give_up_at:
            signals.fail(lease_lost_error(state.name, reason))
            return False
        await signals.pause_until_ended(min(0.2, lease.interval))
    return False
