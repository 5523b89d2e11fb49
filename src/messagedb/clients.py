"""Types for annotations: bases and functions of the clients, and what their methods return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._concurrency.callables import AsyncUnaryFunction, UnaryFunction
from ._connection.pool_stats import PoolStats
from ._operations.direction import Direction
from ._operations.listings import CategoryInfo, StreamInfo
from ._operations.traces import Trace, TraceNode
from ._transactions.sqlalchemy_connections import (
    AsyncSQLAlchemyConnection,
    AsyncSQLAlchemySession,
    SQLAlchemyConnection,
    SQLAlchemySession,
)

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
        AsyncClientCore,
        AsyncOperations,
    )

    from ._sync.public_names import (
        ClientCore,
        Operations,
    )
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

__all__ = [
    "AsyncClientCore",
    "AsyncOperations",
    "AsyncSQLAlchemyConnection",
    "AsyncSQLAlchemySession",
    "AsyncUnaryFunction",
    "CategoryInfo",
    "ClientCore",
    "Direction",
    "Operations",
    "PoolStats",
    "SQLAlchemyConnection",
    "SQLAlchemySession",
    "StreamInfo",
    "Trace",
    "TraceNode",
    "UnaryFunction",
]
