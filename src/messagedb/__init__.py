"""A client and toolkit for Message DB, the message store in PostgreSQL: sync and async."""

from __future__ import annotations

import sys as _sys
from importlib import metadata as _metadata
from typing import TYPE_CHECKING

from . import _public_names
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
from ._subscriptions.backoff import RetryPolicy
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

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
        AsyncAllConsumer,
        AsyncApp,
        AsyncBoundClient,
        AsyncClient,
        AsyncConsumer,
        AsyncContext,
        AsyncEntityStore,
        AsyncReadModel,
        AsyncTransaction,
        run_consumers_async,
    )

    from ._sync.public_names import (
        AllConsumer,
        App,
        BoundClient,
        Client,
        Consumer,
        Context,
        EntityStore,
        ReadModel,
        Transaction,
        run_consumers,
    )
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

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
    _public_names.publish_names(_module)
