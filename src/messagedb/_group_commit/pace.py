"""When the next group is sent, and how many are on their way simultaneously."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_GROUPS: Final = 4
"""How many groups are on their way at most."""

LATE_SECONDS: Final = 0.03
"""After this time a write that is on its way by itself keeps no group from being sent.

It may wait for a lock."""

LATE_GROUP_SECONDS: Final = 0.25
"""After this time a group that is on its way keeps no other from being sent.

A group ends soon whatever is locked, and the next one would only wait for its locks: with a slow
disk, groups that are sent too early wait for each other for longer than they may."""

SECOND_GROUP: Final = 48
"""From this number of waiting writes on, a second group is worth a round trip."""


def may_send(
    now: float,
    direct: Collection[float],
    groups: Collection[float],
    forming: Collection[float],
    count: int,
) -> bool:
    """Return True if the writes that wait may be sent now.

    Args:
        now: the time.
        direct: when the writes began that were sent by themselves, and have not ended.
        groups: when the groups began that have not ended.
        forming: when those of them began that have not chosen their writes. They will choose among
            the same ones.
        count: the number of writes that wait.
    """
    if len(groups) >= MAX_GROUPS:
        return False
    recent = sum(now - begun < LATE_SECONDS for begun in direct)
    recent += sum(now - begun < LATE_GROUP_SECONDS for begun in groups)
    if recent == 0:
        return True
    is_forming = any(now - begun < LATE_SECONDS for begun in forming)
    return recent == 1 and count >= SECOND_GROUP and not is_forming
