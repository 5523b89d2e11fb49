"""A client and toolkit for Message DB, the message store in PostgreSQL: sync and async."""

from __future__ import annotations

from _messagedb_async.client import AsyncClient
from _messagedb_async.consumers.all_consumer import AsyncAllConsumer
from _messagedb_async.consumers.consumer import AsyncConsumer
from _messagedb_async.consumers.consumer_info import list_consumers_async
from _messagedb_async.consumers.context import AsyncContext
from _messagedb_async.consumers.group_resize import resize_group_async
from _messagedb_async.consumers.run_consumers import run_all_async
from _messagedb_async.entities.store import AsyncEntityStore
from _messagedb_async.idempotency import reserve_async
from _messagedb_async.read_models.read_model import AsyncReadModel
from _messagedb_async.transactions.bound_client import AsyncBoundClient
from _messagedb_async.transactions.transaction import AsyncTransaction

from . import consumers, embedded, entities, errors, schema, streams
from ._messages.codecs import MessageCodec, PydanticCodec
from ._messages.field_copying import copied
from ._messages.message import Message, NewMessage
from ._messages.message_types import MessageTypes
from ._messages.metadata import Metadata
from ._messages.registry import MessageRegistry
from ._operations.scan_results import AllScan, Lag, Scan, Writer
from ._sync.client import Client
from ._sync.consumers.all_consumer import AllConsumer
from ._sync.consumers.consumer import Consumer
from ._sync.consumers.consumer_info import list_consumers
from ._sync.consumers.context import Context
from ._sync.consumers.group_resize import resize_group
from ._sync.consumers.run_consumers import run_all
from ._sync.entities.store import EntityStore
from ._sync.idempotency import reserve
from ._sync.read_models.read_model import ReadModel
from ._sync.transactions.bound_client import BoundClient
from ._sync.transactions.transaction import Transaction
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
from .hooks import Hooks, Operation
from .idempotency import already_handled
from .read_models import ReadModelVersion

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
