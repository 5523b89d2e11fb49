"""Options, statuses and pages of consumers, beside the classes at the top."""

from __future__ import annotations

from _messagedb_async.consumers.base import AsyncConsumerBase
from _messagedb_async.consumers.context import (
    AsyncBatchContext,
    AsyncNamedBatchHandler,
    AsyncNamedHandler,
)
from _messagedb_async.consumers.options import (
    AsyncAllConsumerOptions,
    AsyncCommonOptions,
    AsyncConsumerOptions,
)
from _messagedb_async.consumers.runnable import AsyncRun, AsyncRunnable

from ._consumers.callables import (
    AsyncHandlerResult,
    AsyncMiddleware,
    AsyncOnError,
    HandledMessage,
    HandlerResult,
    Middleware,
    OnError,
)
from ._consumers.consumer_info import ConsumerInfo
from ._consumers.group_membership import GroupMember, GroupResize, group_member_from_env
from ._consumers.handler_outcomes import HandlerOutcome
from ._consumers.parked_messages import ParkedMessage
from ._consumers.settings import Start
from ._consumers.status import ConsumerState, ConsumerStatus
from ._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage, ScannedStorePage
from ._subscriptions.backoff import NO_RETRY
from ._sync.consumers.base import ConsumerBase
from ._sync.consumers.context import BatchContext, NamedBatchHandler, NamedHandler
from ._sync.consumers.options import AllConsumerOptions, CommonOptions, ConsumerOptions
from ._sync.consumers.runnable import Run, Runnable

__all__ = [
    "NO_RETRY",
    "AllConsumerOptions",
    "AsyncAllConsumerOptions",
    "AsyncBatchContext",
    "AsyncCommonOptions",
    "AsyncConsumerBase",
    "AsyncConsumerOptions",
    "AsyncHandlerResult",
    "AsyncMiddleware",
    "AsyncNamedBatchHandler",
    "AsyncNamedHandler",
    "AsyncOnError",
    "AsyncRun",
    "AsyncRunnable",
    "BatchContext",
    "CommonOptions",
    "ConsumerBase",
    "ConsumerInfo",
    "ConsumerOptions",
    "ConsumerState",
    "ConsumerStatus",
    "GroupMember",
    "GroupResize",
    "HandledMessage",
    "HandlerOutcome",
    "HandlerResult",
    "Lag",
    "Middleware",
    "NamedBatchHandler",
    "NamedHandler",
    "OnError",
    "OpenWriteTransaction",
    "ParkedMessage",
    "Run",
    "Runnable",
    "ScannedPage",
    "ScannedStorePage",
    "Start",
    "group_member_from_env",
]
