"""Groups, statuses and pages of consumers, beside the classes at the top. No I/O."""

from __future__ import annotations

from ._consumers.consumer_info import ConsumerInfo
from ._consumers.group_membership import GroupMember, GroupResize, group_member_from_env
from ._consumers.handler_outcomes import HandlerOutcome
from ._consumers.parked_messages import ParkedMessage
from ._consumers.status import ConsumerStatus
from ._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage, ScannedStorePage
from ._subscriptions.backoff import NO_RETRY

__all__ = [
    "NO_RETRY",
    "ConsumerInfo",
    "ConsumerStatus",
    "GroupMember",
    "GroupResize",
    "HandlerOutcome",
    "Lag",
    "OpenWriteTransaction",
    "ParkedMessage",
    "ScannedPage",
    "ScannedStorePage",
    "group_member_from_env",
]
