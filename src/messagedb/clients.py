"""Base classes of the clients, for annotations: code that takes one of them takes several kinds."""

from __future__ import annotations

from _messagedb_async.client_core.core import AsyncClientCore
from _messagedb_async.operations.operations import AsyncOperations

from ._sync.client_core.core import ClientCore
from ._sync.operations.operations import Operations

__all__ = ["AsyncClientCore", "AsyncOperations", "ClientCore", "Operations"]
