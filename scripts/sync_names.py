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
    "AsyncAllConsumer": "AllConsumer",
    "AsyncAllFeed": "AllFeed",
    "AsyncAppender": "Appender",
    "AsyncAttempt": "Attempt",
    "AsyncBorrowedSource": "BorrowedSource",
    "AsyncBoundClient": "BoundClient",
    "AsyncCall": "Call",
    "AsyncCategoryFeed": "CategoryFeed",
    "AsyncCheckedFeed": "CheckedFeed",
    "AsyncClient": "Client",
    "AsyncConsumer": "Consumer",
    "AsyncConsumerBase": "ConsumerBase",
    "AsyncConsumerScenario": "ConsumerScenario",
    "AsyncContext": "Context",
    "AsyncEditing": "Editing",
    "AsyncEntityScenario": "EntityScenario",
    "AsyncEntityStore": "EntityStore",
    "AsyncFeed": "Feed",
    "AsyncHandling": "Handling",
    "AsyncJoinedSession": "JoinedSession",
    "AsyncLease": "Lease",
    "AsyncLifetime": "Lifetime",
    "AsyncListener": "Listener",
    "AsyncLoader": "Loader",
    "AsyncLocalSession": "LocalSession",
    "AsyncLoop": "Loop",
    "AsyncMiddleware": "Middleware",
    "AsyncModelTables": "ModelTables",
    "AsyncNamedHandler": "NamedHandler",
    "AsyncOnError": "OnError",
    "AsyncOperations": "Operations",
    "AsyncOwnSession": "OwnSession",
    "AsyncOwnSource": "OwnSource",
    "AsyncParkedMessages": "ParkedMessages",
    "AsyncPoolSession": "PoolSession",
    "AsyncPooledOperations": "PooledOperations",
    "AsyncPositions": "Positions",
    "AsyncReadModel": "ReadModel",
    "AsyncResetting": "Resetting",
    "AsyncResult": "Result",
    "AsyncRun": "Run",
    "AsyncSaver": "Saver",
    "AsyncScans": "Scans",
    "AsyncSession": "Session",
    "AsyncSource": "Source",
    "AsyncStoreConnection": "StoreConnection",
    "AsyncStoreCursor": "StoreCursor",
    "AsyncStorePipeline": "StorePipeline",
    "AsyncStorePool": "StorePool",
    "AsyncStreamPositions": "StreamPositions",
    "AsyncSubscriptions": "Subscriptions",
    "AsyncTablePositions": "TablePositions",
    "AsyncTransaction": "Transaction",
    "AsyncTransactionState": "TransactionState",
    "AsyncWaitingCommits": "WaitingCommits",
    "AsyncWatching": "Watching",
    "AsyncWork": "Work",
    "AsyncWorkers": "Workers",
    "install_async": "install",
    "list_consumers_async": "list_consumers",
    "install_notify_async": "install_notify",
    "remove_notify_async": "remove_notify",
    "uninstall_async": "uninstall",
    "upgrade_async": "upgrade",
    "reserve_async": "reserve",
    "resize_group_async": "resize_group",
    "run_all_async": "run_all",
    "backend_async": "backend_sync",
    "pooling_async": "pooling_sync",
    # psycopg
    "AsyncConnection": "Connection",
    "AsyncConnectionPool": "ConnectionPool",
    "AsyncCursor": "Cursor",
    "AsyncPipeline": "Pipeline",
    "AsyncRawCursor": "RawCursor",
    "AsyncRowFactory": "RowFactory",
    "wait_async": "wait",
}

# Used in the tests only.
TEST_NAMES: dict[str, str] = {
    "AsyncClientCursor": "ClientCursor",
    "AsyncExitStack": "ExitStack",
    "AsyncStore": "Store",
    "_async": "_sync",
    "_messagedb_async": "messagedb._sync",
    "background_async": "background_sync",
    "enter_async_context": "enter_context",
    "middleware_async": "middleware",
}

# Whole phrases of docstrings and comments, before the general rules of sync_prose.py.
PHRASES = {
    "tasks of one event loop": "threads of a process",
    "one task at a time": "one thread at a time",
    "Its asyncio task is cancelled": "Its thread cannot be interrupted",
    "asyncio task": "thread",
    "asyncio tasks": "threads",
    "coroutine function": "function",
    "coroutine functions": "functions",
}
