"""A client and toolkit for Message DB, the message store in PostgreSQL: sync and async."""

from __future__ import annotations

from _messagedb_async.bound import AsyncBoundClient
from _messagedb_async.client import AsyncClient
from _messagedb_async.transactions import AsyncTransaction

from . import embedded, errors, schema, streams
from ._sync.bound import BoundClient
from ._sync.client import Client
from ._sync.transactions import Transaction
from .errors import (
    DuplicateMessageError,
    EmbeddedServerError,
    IncompatibleServerError,
    MessageDBError,
    MessageDecodeError,
    OutcomeUnknownError,
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
from .expected_version import ANY, NO_STREAM, STREAM_EXISTS, ExpectedVersion, StreamState
from .messages import Message, NewMessage

__all__ = [
    "ANY",
    "NO_STREAM",
    "STREAM_EXISTS",
    "AsyncBoundClient",
    "AsyncClient",
    "AsyncTransaction",
    "BoundClient",
    "Client",
    "DuplicateMessageError",
    "EmbeddedServerError",
    "ExpectedVersion",
    "IncompatibleServerError",
    "Message",
    "MessageDBError",
    "MessageDecodeError",
    "NewMessage",
    "OutcomeUnknownError",
    "PoolTimeoutError",
    "PositionConflictError",
    "RetryableError",
    "ServerError",
    "StoreUnavailableError",
    "StreamState",
    "Transaction",
    "TransactionAbortedError",
    "TransactionTimeoutError",
    "ValidationError",
    "WrongExpectedVersionError",
    "embedded",
    "errors",
    "schema",
    "streams",
]
