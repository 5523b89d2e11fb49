"""Statistics of a client's pool of connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PoolStats"]


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """A client's pool at one moment, and totals since it was opened; nothing is sent to the server.

    The names are psycopg_pool's, except for ``commits_waiting`` and the last three. While the
    client is not open, all of them are 0, except for ``pool_min`` and ``pool_max``.

    Example::

        stats = client.pool_stats()
        print(stats.pool_size, stats.pool_available, stats.requests_waiting)

    Attributes:
        pool_min: the number of connections that are kept open.
        pool_max: the maximum number of open connections.
        pool_size: the connections that are open, or being opened.
        pool_available: those of them that are idle.
        commits_waiting: those of them whose COMMIT got no response within ``command_timeout``, for
            example because it waits for a synchronous standby. They serve no operation until the
            server responds.
        requests_waiting: the operations that wait for a connection at this moment.
        requests_num: the connections that were requested.
        requests_queued: those requests that had to wait.
        requests_wait_ms: the total time that they waited, in milliseconds.
        requests_errors: those requests that got no connection: ``PoolTimeoutError``, or the
            caller was cancelled while it waited.
        returns_bad: the connections that were returned broken, and replaced.
        connections_num: the attempts to open a connection.
        connections_ms: the total time that they took, in milliseconds.
        connections_errors: those attempts that failed.
        groups_num: the groups of writes that shared a transaction; 0 without ``group_commit``.
        group_writes_num: the writes in those groups that were stored.
        group_messages_num: the messages of those writes.
    """

    pool_min: int
    pool_max: int
    pool_size: int = 0
    pool_available: int = 0
    commits_waiting: int = 0
    requests_waiting: int = 0
    requests_num: int = 0
    requests_queued: int = 0
    requests_wait_ms: int = 0
    requests_errors: int = 0
    returns_bad: int = 0
    connections_num: int = 0
    connections_ms: int = 0
    connections_errors: int = 0
    groups_num: int = 0
    group_writes_num: int = 0
    group_messages_num: int = 0


def build_pool_stats(measured: Mapping[str, int], commits_waiting: int) -> PoolStats:
    """Build the statistics from those of psycopg's pool, which omits counters that are still 0."""
    known = {name: measured[name] for name in PoolStats.__struct_fields__ if name in measured}
    return PoolStats(**known, commits_waiting=commits_waiting)
