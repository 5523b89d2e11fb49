"""The names that differ between the two halves: one line each, async name to sync name.

A name that is listed and never used fails the build, so that this page stays true.
"""

from __future__ import annotations

# What unasync replaces of itself; used or not.
BUILT_IN = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "AsyncGenerator": "Generator",
    "AsyncIterable": "Iterable",
    "AsyncIterator": "Iterator",
    "StopAsyncIteration": "StopIteration",
    "asynccontextmanager": "contextmanager",
}

# Used in the package; the tests may use them too.
PACKAGE_NAMES = {
    # ours
    "AsyncBorrowedSource": "BorrowedSource",
    "AsyncBoundClient": "BoundClient",
    "AsyncClient": "Client",
    "AsyncJoinedSession": "JoinedSession",
    "AsyncLocalSession": "LocalSession",
    "AsyncLifetime": "Lifetime",
    "AsyncOperations": "Operations",
    "AsyncOwnSession": "OwnSession",
    "AsyncOwnSource": "OwnSource",
    "AsyncPooledOperations": "PooledOperations",
    "AsyncSession": "Session",
    "AsyncSource": "Source",
    "AsyncStoreConnection": "StoreConnection",
    "AsyncStoreCursor": "StoreCursor",
    "AsyncStorePipeline": "StorePipeline",
    "AsyncStorePool": "StorePool",
    "AsyncTransaction": "Transaction",
    "AsyncTransactionState": "TransactionState",
    "AsyncWork": "Work",
    "_concurrency_async": "_concurrency_sync",
    "install_async": "install",
    # psycopg
    "AsyncConnection": "Connection",
    "AsyncConnectionPool": "ConnectionPool",
    "AsyncCursor": "Cursor",
    "AsyncPipeline": "Pipeline",
    "AsyncRawCursor": "RawCursor",
    "AsyncRowFactory": "RowFactory",
}

# Used in the tests only.
TEST_NAMES: dict[str, str] = {
    "AsyncCall": "Call",
    "AsyncClientCursor": "ClientCursor",
    "AsyncExitStack": "ExitStack",
    "AsyncStore": "Store",
    "_async": "_sync",
    "background_async": "background_sync",
    "enter_async_context": "enter_context",
}

# Whole phrases of docstrings and comments, before the general rules of sync_prose.py.
PHRASES = {
    "tasks of one event loop": "threads of a process",
    "one task at a time": "one thread at a time",
    "asyncio task": "thread",
    "asyncio tasks": "threads",
    "coroutine function": "function",
    "coroutine functions": "functions",
}
