"""A client and toolkit for Message DB, the message store in PostgreSQL: sync and async."""

from __future__ import annotations

import sys as _sys
from importlib import metadata as _metadata

from _messagedb_async.app.app import AsyncApp
from _messagedb_async.client import AsyncClient
from _messagedb_async.consumers.all_consumer import AsyncAllConsumer
from _messagedb_async.consumers.consumer import AsyncConsumer
from _messagedb_async.consumers.context import AsyncContext
from _messagedb_async.consumers.run_consumers import run_consumers_async
from _messagedb_async.entities.store import AsyncEntityStore
from _messagedb_async.read_models.read_model import AsyncReadModel
from _messagedb_async.transactions.bound_client import AsyncBoundClient
from _messagedb_async.transactions.transaction import AsyncTransaction

from . import app as app
from . import clients as clients
from . import consumers as consumers
from . import embedded as embedded
from . import entities as entities
from . import errors as errors
from . import hooks as hooks
from . import messages as messages
from . import read_models as read_models
from . import schema as schema
from . import streams as streams
from ._consumers.handler_outcomes import Park, Retry, Skip, Stop
from ._consumers.position_stores import StreamPositionStore, TablePositionStore
from ._entities.decider import Decider
from ._entities.projection import Projection
from ._messages.message import Message, NewMessage
from ._messages.metadata import Metadata
from ._messages.registry import MessageRegistry
from ._public_names import publish as _publish
from ._subscriptions.backoff import RetryPolicy
from ._sync.app.app import App
from ._sync.client import Client
from ._sync.consumers.all_consumer import AllConsumer
from ._sync.consumers.consumer import Consumer
from ._sync.consumers.context import Context
from ._sync.consumers.run_consumers import run_consumers
from ._sync.entities.store import EntityStore
from ._sync.read_models.read_model import ReadModel
from ._sync.transactions.bound_client import BoundClient
from ._sync.transactions.transaction import Transaction
from .errors import (
    DuplicateMessageError,
    HandlerError,
    IncompatibleServerError,
    LostHistoryError,
    MessageDBError,
    MessageDecodeError,
    OutcomeUnknownError,
    PositionConflictError,
    RetryableError,
    ServerError,
    StoreUnavailableError,
    TransactionAbortedError,
    TransactionTimeoutError,
    ValidationError,
    WrongExpectedVersionError,
)
from .expected_version import ANY, NO_STREAM, STREAM_EXISTS

__all__ = [
    "ANY",
    "NO_STREAM",
    "STREAM_EXISTS",
    "AllConsumer",
    "App",
    "AsyncAllConsumer",
    "AsyncApp",
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
    "Context",
    "Decider",
    "DuplicateMessageError",
    "EntityStore",
    "HandlerError",
    "IncompatibleServerError",
    "LostHistoryError",
    "Message",
    "MessageDBError",
    "MessageDecodeError",
    "MessageRegistry",
    "Metadata",
    "NewMessage",
    "OutcomeUnknownError",
    "Park",
    "PositionConflictError",
    "Projection",
    "ReadModel",
    "Retry",
    "RetryPolicy",
    "RetryableError",
    "ServerError",
    "Skip",
    "Stop",
    "StoreUnavailableError",
    "StreamPositionStore",
    "TablePositionStore",
    "Transaction",
    "TransactionAbortedError",
    "TransactionTimeoutError",
    "ValidationError",
    "WrongExpectedVersionError",
    "__version__",
    "run_consumers",
    "run_consumers_async",
]

try:
    __version__ = _metadata.version("messagedb")
except _metadata.PackageNotFoundError:  # a copy of the package without its metadata
    __version__ = "unknown"

for _module in (
    errors,  # before this module, which has some of the same names
    app,
    clients,
    consumers,
    embedded,
    entities,
    messages,
    read_models,
    schema,
    streams,
    _sys.modules[__name__],
):
    _publish(_module)
