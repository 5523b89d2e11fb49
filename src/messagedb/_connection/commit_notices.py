"""The notices and answers of a server about a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

_WAITS_FOR_STANDBY: Final = "SyncRepWaitForLSN"
"""The server's function that warns of a commit whose wait for a synchronous standby was ended. The
warning is translated, the function's name is not."""


class CommitNotices:
    """The information about commits in a connection's notices.

    Attributes:
        is_unreplicated: True if the last commit is on the primary only, as far as is known.
    """

    __slots__ = ("is_unreplicated",)

    def __init__(self) -> None:
        self.is_unreplicated = False

    def take(self, notice: psycopg.errors.Diagnostic) -> None:
        """Evaluate a notice of the server."""
        if notice.source_function == _WAITS_FOR_STANDBY:
            self.is_unreplicated = True


def has_answered(pgconn: PGconn) -> bool:
    """Read the server's answer without waiting; return True if it is complete or lost.

    Args:
        pgconn: a connection whose caller gave up waiting for the answer. It must not be in use.
    """
    try:
        pgconn.flush()
        pgconn.consume_input()
        in_pipeline = pgconn.pipeline_status != PipelineStatus.OFF
        nothings = 0
        while not pgconn.is_busy() and nothings < 2:
            result = pgconn.get_result()
            if result is None:
                if not in_pipeline:
                    return pgconn.transaction_status != TransactionStatus.ACTIVE
                nothings += 1
                continue
            nothings = 0
            if result.status == ExecStatus.PIPELINE_SYNC:
                return True
            if result.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
                return True
        if nothings == 2:
            # No command of an aborted pipeline is left to be answered.
            return True
    except psycopg.Error:
        return True
    return pgconn.status != ConnStatus.OK
