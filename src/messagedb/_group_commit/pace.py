"""When the next group is sent, and how many are on their way simultaneously."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_GROUPS: Final = 4
"""How many groups are on their way at most."""

LATE_SECONDS: Final = 0.03
"""After this time a write or a group that is on its way keeps no other from being sent."""

SECOND_GROUP: Final = 48
"""From this number of waiting writes on, a second group is worth a round trip."""


def may_send(now: float, direct: Collection[float], groups: Collection[float], count: int) -> bool:
    """Return True if the writes that wait may be sent now.

    Args:
        now: the time.
        direct: when the writes began that were sent by themselves, and have not ended.
        groups: when the groups began that have not ended.
        count: the number of writes that wait.
    """
    if len(groups) >= MAX_GROUPS:
        return False
    recent = [begun for begun in (*direct, *groups) if now - begun < LATE_SECONDS]
    return not recent or (len(recent) == 1 and count >= SECOND_GROUP)
