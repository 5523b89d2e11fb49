"""What consumers are told and what they tell: options, outcomes, statuses. No I/O."""

from __future__ import annotations

from ._consumers.consumer_info import ConsumerInfo
from ._consumers.group_membership import GroupMember, GroupResize, group_member_from_env
from ._consumers.handler_outcomes import HandlerOutcome, Park, Retry, Skip, Stop
from ._consumers.parked_messages import ParkedMessage
from ._consumers.position_stores import StreamPositionStore, TablePositionStore
from ._consumers.status import ConsumerStatus
from ._subscriptions.backoff import NO_RETRY, RetryPolicy

__all__ = [
    "NO_RETRY",
    "ConsumerInfo",
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
    "StreamPositionStore",
    "TablePositionStore",
    "group_member_from_env",
]
