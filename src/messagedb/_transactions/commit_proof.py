"""Outcome of a COMMIT whose response was lost, decided from what servers report. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .._connection.history import UNKNOWN_HISTORY, ServerHistory
from .options import COMMITTED, IN_PROGRESS, ROLLED_BACK, UNKNOWN

if TYPE_CHECKING:
    pass


class CommitProof(msgspec.Struct, frozen=True):
    """The facts that identify a transaction when the response to its COMMIT is lost.

    Attributes:
        transaction_id: the server's id of the transaction.
        history: the history of the server in which the id is valid.
        backend_pid: the server process that was to commit; 0 if a pooler hides it.
        message_id: the id of a message that it has written; None if none is known.
        xmin: the transaction id in this message's row: of the transaction itself, or of one of its
            savepoints.
    """

    transaction_id: int
    history: ServerHistory = UNKNOWN_HISTORY
    backend_pid: int = 0
    message_id: str | None = None
    xmin: int | None = None


def determine_status(
    proof: CommitProof,
    history: ServerHistory,
    status: str | None,
    is_waiting: bool,
    xmin: int | None,
) -> str:
    """Decide how a transaction ended.

    Args:
        proof: the facts that identify it.
        history: the history of the server that was queried.
        status: the server's status of the transaction id; None if it does not know the id.
        is_waiting: True if the server process that was to commit waits for a standby.
        xmin: the transaction id in the row of the proof's message; None if there is no such
            message.

    Returns:
        One of the constants of ``_transactions``. In another history the same id belongs to another
        transaction. There only the row proves anything: if it is visible and has the same
        transaction id. A missing row proves nothing.
    """
    if xmin is not None and xmin == proof.xmin:
        return COMMITTED
    if not history.is_same_as(proof.history):
        # After a crash a server reuses an id only if nothing of the earlier transaction was
        # stored. So "aborted" can be trusted even then.
        has_crashed = history.is_on_timeline_of(proof.history)
        return ROLLED_BACK if status == "aborted" and has_crashed else UNKNOWN
    if status == "committed":
        return COMMITTED
    if status == "aborted":
        return ROLLED_BACK
    return IN_PROGRESS if status == IN_PROGRESS and not is_waiting else UNKNOWN
