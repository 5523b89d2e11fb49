"""What a COMMIT has come to: what proves it, and what a server still has to answer. No waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .._connection.history import UNKNOWN_HISTORY, ServerHistory
from .options import COMMITTED, IN_PROGRESS, ROLLED_BACK, UNKNOWN

if TYPE_CHECKING:
    pass


class CommitProof(msgspec.Struct, frozen=True):
    """What a transaction can be known by when the answer to its COMMIT is lost.

    Attributes:
        transaction_id: the server's id of it.
        history: that of the server in which the id counts.
        backend_pid: the server process that was to commit; 0 where a pooler hides it.
        message_id: the id of a message that it has written; None where none is known.
        xmin: the transaction that this message's row belongs to: the transaction itself, or one of
            its savepoints.
    """

    transaction_id: int
    history: ServerHistory = UNKNOWN_HISTORY
    backend_pid: int = 0
    message_id: str | None = None
    xmin: int | None = None


def fate(
    proof: CommitProof,
    history: ServerHistory,
    status: str | None,
    is_waiting: bool,
    xmin: int | None,
) -> str:
    """Decide how a transaction ended.

    Args:
        proof: what it is known by.
        history: that of the server which was asked.
        status: this server's word on the transaction id; None where it knows nothing of it.
        is_waiting: whether the server process that was to commit waits for a standby.
        xmin: the transaction that wrote the message of the proof, as its row says; None where the
            message is not there.

    Returns:
        One of the words of ``_transactions``. In another history the same id is another
        transaction's, so that only the row proves anything: it is visible, and of this very
        transaction. That the row is missing proves nothing.
    """
    if xmin is not None and xmin == proof.xmin:
        return COMMITTED
    if not history.is_same_as(proof.history):
        # After a crash a server gives ids again of which nothing had come to the disk: what is
        # rolled back under the id is so in any case.
        has_crashed = history.is_on_timeline_of(proof.history)
        return ROLLED_BACK if status == "aborted" and has_crashed else UNKNOWN
    if status == "committed":
        return COMMITTED
    if status == "aborted":
        return ROLLED_BACK
    return IN_PROGRESS if status == IN_PROGRESS and not is_waiting else UNKNOWN
