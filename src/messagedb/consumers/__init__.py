"""What consumers are told and what they tell: options, outcomes, statuses. No I/O."""

from __future__ import annotations

from .groups import GroupMember, GroupResize, group_member_from_env
from .outcomes import HandlerOutcome, Park, Retry, Skip, Stop
from .parked import ParkedMessage
from .retry import NO_RETRY, RetryPolicy
from .status import ConsumerStatus
from .stored import StoredConsumer
from .stores import StreamPositionStore, TablePositionStore

__all__ = [
    "NO_RETRY",
    "ConsumerStatus",
    "GroupMember",
    "GroupResize",
    "HandlerOutcome",
    "Park",
    "ParkedMessage",
    "Retry",
    "RetryPolicy",
    "Skip",
    "Stop",
    "StoredConsumer",
    "StreamPositionStore",
    "TablePositionStore",
    "group_member_from_env",
]
