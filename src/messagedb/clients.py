"""Types for annotations: bases and functions of the clients, and the statistics of their pools."""

from __future__ import annotations

from _messagedb_async.client_core.core import AsyncClientCore
from _messagedb_async.operations.operations import AsyncOperations

from ._concurrency.callables import AsyncUnaryFunction, UnaryFunction
from ._connection.pool_stats import PoolStats
from ._sync.client_core.core import ClientCore
from ._sync.operations.operations import Operations

__all__ = [
    "AsyncClientCore",
    "AsyncOperations",
    "AsyncUnaryFunction",
    "ClientCore",
    "Operations",
    "PoolStats",
    "UnaryFunction",
]
