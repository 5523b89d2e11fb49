"""The errors of messagedb: one tree, and what each of them leaves true in the database.

::

    MessageDBError
    ├── ValidationError               a value was refused (also a ValueError)
    ├── WrongExpectedVersionError     the stream is at another version; nothing was written
    ├── DuplicateMessageError         the id is in another stream; nothing was written
    ├── MessageDecodeError            one stored message cannot be decoded; it stays as it is
    ├── StoreUnavailableError         nothing was sent, or the server said that it rolled back
    │   ├── PoolTimeoutError          no connection in time; nothing was sent
    │   └── EmbeddedServerError       the embedded PostgreSQL could not be started or shared
    ├── OutcomeUnknownError           sent and not answered: may be stored, or still come
    ├── RetryableError                deadlock, serialization failure: rolled back, run it again
    ├── TransactionAbortedError       the server had already rolled the transaction back
    ├── TransactionTimeoutError       the transaction's time was up; nothing is stored
    ├── HandlerError                  a message could not be handled; the consumer stopped before it
    ├── PositionConflictError         another consumer runs under this identifier
    ├── LostHistoryError              the store went back: what was read before is not there now
    ├── IncompatibleServerError       the server, its database or libpq cannot be used
    └── ServerError                   the rest, with ``.sqlstate``

Each error that came out of psycopg keeps psycopg's own as its ``__cause__``. All of them pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import (
    DuplicateMessageError,
    EmbeddedServerError,
    HandlerError,
    IncompatibleServerError,
    LostHistoryError,
    MessageDBError,
    MessageDecodeError,
    PoolTimeoutError,
    PositionConflictError,
    RetryableError,
    ServerError,
    StoreUnavailableError,
    TransactionAbortedError,
    TransactionTimeoutError,
    ValidationError,
    WrongExpectedVersionError,
)

if TYPE_CHECKING:
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
    "PoolTimeoutError",
    "PositionConflictError",
    "RetryableError",
    "ServerError",
    "StoreUnavailableError",
    "TransactionAbortedError",
    "TransactionTimeoutError",
    "ValidationError",
    "WrongExpectedVersionError",
]


class OutcomeUnknownError(MessageDBError):
    """Sent and never answered: it is stored, or may still be, or never will.

    A write: the one safe answer is to write the same messages again: a write is idempotent by
    message id, so what is already stored is not stored twice. A look into the store proves that a
    message is there, never that it will not come.

    A transaction whose COMMIT was lost: it is stored when one of the messages that it has written
    is there. That the message is missing proves nothing as long as the COMMIT may still be on its
    way, or wait for a synchronous standby. Behind a failover the server's word on the transaction's
    id (``txid_status``) is of another transaction.

    Attributes:
        messages: the messages of the lost write, ids included, to be passed to ``write_messages``
            again; empty for a transaction.
        stream_name: the stream that they were written to; None for a transaction.
        expected_version: the version that the lost write expected; pass the same again. None for a
            transaction.
        transaction_id: PostgreSQL's id of a transaction; None for a write.
        written: stream name and message id of what a transaction has written, at most the first
            thousand; empty for a write.
    """

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
        if transaction_id is not None:
            super().__init__(
                f"the COMMIT of transaction {transaction_id} was sent and not answered ({reason}), "
                "and what became of it could not be found out in time. All of it may be stored, or "
                f"be stored later, or nothing. {_how_to_find_out(transaction_id, written)}"
            )
            return
        count = "1 message" if len(messages) == 1 else f"{len(messages)} messages"
        super().__init__(
            f"a write of {count} to stream {stream_name!r} was sent and not answered ({reason}). "
            "It may be stored, or be stored later, or never. Write error.messages again with the "
            "same expected_version: what is already there is not stored twice."
        )


def _how_to_find_out(transaction_id: int, written: tuple[tuple[str, str], ...]) -> str:
    no_proof = (
        f"SELECT txid_status({transaction_id}) proves something only on a server that has not "
        "crashed and was not failed over to since: elsewhere it may be said of another transaction."
    )
    if not written:
        return f"When the store is back, look for what it has changed. {no_proof}"
    stream_name, id = written[0]
    count = "1 message" if len(written) == 1 else f"{len(written)} messages"
    return (
        f"It has written {count} (in error.written), the first with the id {id} to stream "
        f"{stream_name!r}. When the store is back, look for that message: if it is there, all of "
        "the transaction is stored. If it is not, the COMMIT may still be on its way or wait for a "
        "standby; once that cannot be, run the transaction again, with the same message ids. "
        f"{no_proof}"
    )
