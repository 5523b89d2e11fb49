"""The errors of messagedb: one tree, and the state of the database after each of them.

::

    MessageDBError
    ├── ValidationError               a value was refused (is also a ValueError)
    ├── WrongExpectedVersionError     the stream is at another version; nothing was written
    ├── DuplicateMessageError         the id is in another stream; nothing was written
    ├── MessageDecodeError            one stored message cannot be decoded; it is unchanged
    ├── StoreUnavailableError         nothing was sent, or the server reported a rollback
    │   ├── PoolTimeoutError          no connection within the timeout; nothing was sent
    │   └── EmbeddedServerError       the embedded PostgreSQL could not be started or shared
    ├── OutcomeUnknownError           sent and not answered: may be stored now or later
    ├── RetryableError                deadlock, serialization failure: rolled back, run it again
    ├── TransactionAbortedError       the server had already rolled the transaction back
    ├── TransactionTimeoutError       the transaction's time limit passed; nothing is stored
    ├── HandlerError                  a message could not be handled; the consumer stopped before it
    │   └── ParkingLimitError         too many messages wait behind parked ones
    ├── ReadModelError                an inline read model cannot be updated: rolled back
    ├── PositionConflictError         another consumer runs under this identifier
    ├── LostHistoryError              the store was set back: messages read before are missing
    ├── IncompatibleServerError       the server, its database or libpq cannot be used
    └── ServerError                   all other errors, with ``.sqlstate``

An error that was caused by one of psycopg has it as its ``__cause__``. All of them can be pickled.
"""

from __future__ import annotations

from typing import ClassVar

from ._errors import (
    DuplicateMessageError,
    EmbeddedServerError,
    HandlerError,
    IncompatibleServerError,
    LostHistoryError,
    MessageDBError,
    MessageDecodeError,
    ParkingLimitError,
    PoolTimeoutError,
    PositionConflictError,
    ReadModelError,
    RetryableError,
    ServerError,
    StoreUnavailableError,
    TransactionAbortedError,
    TransactionTimeoutError,
    ValidationError,
    WrongExpectedVersionError,
)
from ._messages.message import NewMessage
from .expected_version import ExpectedVersion

__all__ = [
    "DuplicateMessageError",
    "EmbeddedServerError",
    "HandlerError",
    "IncompatibleServerError",
    "LostHistoryError",
    "MessageDBError",
    "MessageDecodeError",
    "OutcomeUnknownError",
    "ParkingLimitError",
    "PoolTimeoutError",
    "PositionConflictError",
    "ReadModelError",
    "RetryableError",
    "ServerError",
    "StoreUnavailableError",
    "TransactionAbortedError",
    "TransactionTimeoutError",
    "ValidationError",
    "WrongExpectedVersionError",
]


class OutcomeUnknownError(MessageDBError):
    """The call was sent and not answered: it is stored, may still be stored, or never will be.

    After a write, the one safe reaction is to write the same messages again: a write is idempotent
    by message id, so messages that are already stored are not stored twice. A query can prove that
    a message is stored, never that it will not be stored later.

    After a transaction whose COMMIT was not answered: it is stored if one of the messages that it
    wrote is there. A missing message proves nothing as long as the COMMIT may still be in transit,
    or wait for a synchronous standby. After a failover, the status of the transaction's id on the
    new server (``txid_status``) is that of another transaction.

    Attributes:
        messages: the messages of the unanswered write with their ids, to be passed to
            ``write_messages`` again; empty for a transaction.
        stream_name: the stream that they were written to; None for a transaction.
        expected_version: the version that the unanswered write expected; pass the same again. None
            for a transaction.
        transaction_id: PostgreSQL's id of a transaction; None for a write.
        written: stream names and message ids that a transaction wrote, at most the first thousand;
            empty for a write.
        reason: the reason why it was not answered, in one line.
    """

    http_status: ClassVar[int] = 504

    def __init__(
        self,
        stream_name: str | None,
        messages: tuple[NewMessage, ...],
        expected_version: ExpectedVersion | None,
        reason: str,
        transaction_id: int | None = None,
        written: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.stream_name = stream_name
        self.messages = messages
        self.expected_version = expected_version
        self.transaction_id = transaction_id
        self.written = written
        self.reason = reason
        if transaction_id is not None:
            super().__init__(
                f"the COMMIT of transaction {transaction_id} was sent and not answered ({reason}), "
                "and its outcome could not be determined in time. All of it may be stored, or "
                f"be stored later, or nothing. {_how_to_find_out(transaction_id, written)}"
            )
            return
        count = "1 message" if len(messages) == 1 else f"{len(messages)} messages"
        super().__init__(
            f"a write of {count} to stream {stream_name!r} was sent and not answered ({reason}). "
            "It may be stored, or be stored later, or never. Write error.messages again with the "
            "same expected_version: messages that are already stored are not stored twice."
        )


def _how_to_find_out(transaction_id: int, written: tuple[tuple[str, str], ...]) -> str:
    no_proof = (
        f"SELECT txid_status({transaction_id}) is reliable only on a server that has not crashed "
        "and was not failed over to since: on another one it may describe another transaction."
    )
    if not written:
        return f"When the store is available again, look for the changes it made. {no_proof}"
    stream_name, id = written[0]
    count = "1 message" if len(written) == 1 else f"{len(written)} messages"
    return (
        f"It wrote {count} (in error.written), the first with the id {id} to stream "
        f"{stream_name!r}. When the store is available again, look for that message: if it is "
        "there, all of the transaction is stored. If it is not, the COMMIT may still be in transit "
        "or wait for a standby; once that is impossible, run the transaction again, with the same "
        "message ids. "
        f"{no_proof}"
    )
