"""Options, statuses and pages of consumers, beside the classes at the top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._consumers.callables import (
    AsyncHandlerResult,
    AsyncMiddleware,
    AsyncOnError,
    HandledMessage,
    HandlerResult,
    Middleware,
    OnError,
)
from ._consumers.consumer_info import ConsumerInfo, ConsumerInfoState
from ._consumers.consumer_report import ConsumerFailure, ConsumerReport, InFlightMessage
from ._consumers.failure_state import FailureState
from ._consumers.group_membership import GroupMember, GroupResize, group_member_from_env
from ._consumers.handler_outcomes import HandlerOutcome
from ._consumers.parked_messages import ParkedMessage
from ._consumers.partition_info import PartitionInfo, PartitionMemberInfo, PartitionSetInfo
from ._consumers.settings import Start
from ._consumers.status import ConsumerState, ConsumerStatus
from ._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage, ScannedStorePage
from ._subscriptions.backoff import NO_RETRY

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
        AsyncAllConsumerOptions,
        AsyncBatchContext,
        AsyncCommonOptions,
        AsyncConsumerBase,
        AsyncConsumerOptions,
        AsyncNamedBatchHandler,
        AsyncNamedHandler,
        AsyncRun,
        AsyncRunnable,
    )

    from ._sync.public_names import (
        AllConsumerOptions,
        BatchContext,
        CommonOptions,
        ConsumerBase,
        ConsumerOptions,
        NamedBatchHandler,
        NamedHandler,
        Run,
        Runnable,
    )
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

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
    "ConsumerFailure",
    "ConsumerInfo",
    "ConsumerInfoState",
    "ConsumerOptions",
    "ConsumerReport",
    "ConsumerState",
    "ConsumerStatus",
    "FailureState",
    "GroupMember",
    "GroupResize",
    "HandledMessage",
    "HandlerOutcome",
    "HandlerResult",
    "InFlightMessage",
    "Lag",
    "Middleware",
    "NamedBatchHandler",
    "NamedHandler",
    "OnError",
    "OpenWriteTransaction",
    "ParkedMessage",
    "PartitionInfo",
    "PartitionMemberInfo",
    "PartitionSetInfo",
    "Run",
    "Runnable",
    "ScannedPage",
    "ScannedStorePage",
    "Start",
    "group_member_from_env",
]
