"""A client and toolkit for Message DB, the message store in PostgreSQL: sync and async."""

from __future__ import annotations

from _messagedb_async.bound import AsyncBoundClient
from _messagedb_async.client import AsyncClient
from _messagedb_async.consumers.all_consumer import AsyncAllConsumer
from _messagedb_async.consumers.consumer import AsyncConsumer
from _messagedb_async.consumers.context import AsyncContext
from _messagedb_async.consumers.groups import resize_group_async
from _messagedb_async.consumers.listing import list_consumers_async
from _messagedb_async.consumers.running import run_all_async
from _messagedb_async.entities.store import AsyncEntityStore
from _messagedb_async.read_models import AsyncReadModel
from _messagedb_async.reserving import reserve_async
from _messagedb_async.transactions import AsyncTransaction

from . import consumers, embedded, entities, errors, schema, streams
from ._scans import AllScan, Lag, Scan, Writer
from ._sync.bound import BoundClient
from ._sync.client import Client
from ._sync.consumers.all_consumer import AllConsumer
from ._sync.consumers.consumer import Consumer
from ._sync.consumers.context import Context
from ._sync.consumers.groups import resize_group
from ._sync.consumers.listing import list_consumers
from ._sync.consumers.running import run_all
from ._sync.entities.store import EntityStore
from ._sync.read_models import ReadModel
from ._sync.reserving import reserve
from ._sync.transactions import Transaction
from .codecs import MessageCodec, PydanticCodec
from .consumers import (
    NO_RETRY,
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
    StoredConsumer,
    StreamPositionStore,
    TablePositionStore,
    group_member_from_env,
)
from .entities import Decider, Loaded, Projection, Snapshots, Transacted, applies
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
from .following import copied
from .hooks import Hooks, Operation
from .idempotence import already_handled
from .message_types import MessageTypes
from .messages import Message, NewMessage
from .metadata import Metadata
from .read_models import ReadModelVersion
from .registry import MessageRegistry

__all__ = [
    "ANY",
    "NO_RETRY",
    "NO_STREAM",
    "STREAM_EXISTS",
    "AllConsumer",
    "AllScan",
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
    "Loaded",
    "LostHistoryError",
    "Message",
    "MessageCodec",
    "MessageDBError",
    "MessageDecodeError",
    "MessageRegistry",
    "MessageTypes",
    "Metadata",
    "NewMessage",
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
    "Scan",
    "ServerError",
    "Skip",
    "Snapshots",
    "Stop",
    "StoreUnavailableError",
    "StoredConsumer",
    "StreamPositionStore",
    "StreamState",
    "TablePositionStore",
    "Transacted",
    "Transaction",
    "TransactionAbortedError",
    "TransactionTimeoutError",
    "ValidationError",
    "Writer",
    "WrongExpectedVersionError",
    "already_handled",
    "applies",
    "consumers",
    "copied",
    "embedded",
    "entities",
    "errors",
    "group_member_from_env",
    "list_consumers",
    "list_consumers_async",
    "reserve",
    "reserve_async",
    "resize_group",
    "resize_group_async",
    "run_all",
    "run_all_async",
    "schema",
    "streams",
]
