"""A client and toolkit for Message DB, the message store in PostgreSQL: sync and async."""

from __future__ import annotations

from _messagedb_async.client import AsyncClient
from _messagedb_async.consumers.all_consumer import AsyncAllConsumer
from _messagedb_async.consumers.consumer import AsyncConsumer
from _messagedb_async.consumers.context import AsyncContext
from _messagedb_async.consumers.run_consumers import run_consumers_async
from _messagedb_async.entities.store import AsyncEntityStore
from _messagedb_async.read_models.read_model import AsyncReadModel
from _messagedb_async.transactions.bound_client import AsyncBoundClient
from _messagedb_async.transactions.transaction import AsyncTransaction

from . import consumers, embedded, entities, errors, schema, streams
from ._messages.codecs import MessageCodec, PydanticCodec
from ._messages.field_copying import copy_fields
from ._messages.message import Message, NewMessage
from ._messages.message_types import MessageTypes
from ._messages.metadata import Metadata
from ._messages.registry import MessageRegistry
from ._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage, ScannedStorePage
from ._sync.client import Client
from ._sync.consumers.all_consumer import AllConsumer
from ._sync.consumers.consumer import Consumer
from ._sync.consumers.context import Context
from ._sync.consumers.run_consumers import run_consumers
from ._sync.entities.store import EntityStore
from ._sync.read_models.read_model import ReadModel
from ._sync.transactions.bound_client import BoundClient
from ._sync.transactions.transaction import Transaction
from .consumers import (
    NO_RETRY,
    ConsumerInfo,
    ConsumerStatus,
    GroupMember,
    GroupResize,
    HandlerOutcome,
    Park,
    ParkedMessage,
    Retry,
    RetryPolicy,
    Skip,
    Stop,
    StreamPositionStore,
    TablePositionStore,
    group_member_from_env,
)
from .entities import Decider, LoadedEntity, Projection, SnapshotPolicy, TransactResult, apply
from .errors import (
    DuplicateMessageError,
    EmbeddedServerError,
    HandlerError,
    IncompatibleServerError,
    LostHistoryError,
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
from .hooks import Hooks, Operation
from .idempotency import is_already_handled
from .read_models import ReadModelVersion

__all__ = [
    "ANY",
    "NO_RETRY",
    "NO_STREAM",
    "STREAM_EXISTS",
    "AllConsumer",
    "AsyncAllConsumer",
    "AsyncBoundClient",
    "AsyncClient",
    "AsyncConsumer",
    "AsyncContext",
    "AsyncEntityStore",
    "AsyncReadModel",
    "AsyncTransaction",
    "BoundClient",
    "Client",
    "Consumer",
    "ConsumerInfo",
    "ConsumerStatus",
    "Context",
    "Decider",
    "DuplicateMessageError",
    "EmbeddedServerError",
    "EntityStore",
    "ExpectedVersion",
    "GroupMember",
    "GroupResize",
    "HandlerError",
    "HandlerOutcome",
    "Hooks",
    "IncompatibleServerError",
    "Lag",
    "LoadedEntity",
    "LostHistoryError",
    "Message",
    "MessageCodec",
    "MessageDBError",
    "MessageDecodeError",
    "MessageRegistry",
    "MessageTypes",
    "Metadata",
    "NewMessage",
    "OpenWriteTransaction",
    "Operation",
    "OutcomeUnknownError",
    "Park",
    "ParkedMessage",
    "PoolTimeoutError",
    "PositionConflictError",
    "Projection",
    "PydanticCodec",
    "ReadModel",
    "ReadModelVersion",
    "Retry",
    "RetryPolicy",
    "RetryableError",
    "ScannedPage",
    "ScannedStorePage",
    "ServerError",
    "Skip",
    "SnapshotPolicy",
    "Stop",
    "StoreUnavailableError",
    "StreamPositionStore",
    "StreamState",
    "TablePositionStore",
    "TransactResult",
    "Transaction",
    "TransactionAbortedError",
    "TransactionTimeoutError",
    "ValidationError",
    "WrongExpectedVersionError",
    "apply",
    "consumers",
    "copy_fields",
    "embedded",
    "entities",
    "errors",
    "group_member_from_env",
    "is_already_handled",
    "run_consumers",
    "run_consumers_async",
    "schema",
    "streams",
]
