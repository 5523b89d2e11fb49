"""Members of a consumer group, and the result of changing its size."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from .._errors import ValidationError
from .._operations import validation

__all__ = ["GroupMember", "GroupResize", "group_member_from_env"]

_ORDINAL: Final = re.compile(r"(?:.*-)?([0-9]{1,9})")
_SIZE: Final = re.compile("[0-9]{1,9}")


class GroupMember(NamedTuple):
    """The number of a member, from 0, and the size of its group.

    Example::

        member = GroupMember(0, 2)
        consumer = Consumer(client, "order", group_member=member.member, group_size=member.size)
    """

    member: int
    size: int


def group_member_from_env(
    *,
    member: str = "MESSAGEDB_GROUP_MEMBER",
    size: str = "MESSAGEDB_GROUP_SIZE",
    environ: Mapping[str, str] | None = None,
) -> GroupMember:
    """Read member and size from environment variables, as for the pods of a StatefulSet.

    The member may be a number, or a name that ends with ``-`` and a number, like the pods of a
    StatefulSet: ``statements-2`` is member 2. Pass the pod's name by the downward API
    (``fieldRef: metadata.name``), and the number of replicas as the size.

    Example::

        member, size = group_member_from_env()
        consumer = Consumer(client, "order", group_member=member, group_size=size)

    Args:
        member: the variable that holds the member.
        size: the variable that holds the size.
        environ: a mapping to read instead of the process's environment.

    Raises:
        ValidationError: a variable is missing, or its value is invalid.
    """
    values = os.environ if environ is None else environ
    missing = [name for name in (member, size) if not values.get(name)]
    if missing:
        raise ValidationError(
            f"the environment lacks {' and '.join(missing)}: set the number of the group's member "
            "(from 0, or the name of a StatefulSet's pod) and the number of members"
        )
    ordinal = _ORDINAL.fullmatch(values[member])
    if ordinal is None or _SIZE.fullmatch(values[size]) is None:
        raise ValidationError(
            f"{member}={values[member]!r} and {size}={values[size]!r} must be a number from 0 (or "
            "a name that ends with '-' and one) and the number of members"
        )
    group = GroupMember(int(ordinal[1]), int(values[size]))
    validation.check_group(*group)
    return group


class GroupResize(msgspec.Struct, frozen=True):
    """The result of a change of a group's size, or of its dry run.

    Example::

        resize = client.resize_consumer_group(
            "order", identifier="shipping", old_size=2, new_size=4, dry_run=True
        )
        print(resize.next_position, resize.max_redelivered)

    Attributes:
        old_next_positions: for each member of the old size the global position of the next message
            to handle, 1 if it has none.
        next_position: the position at which each member of the new size begins: the least of them.
        max_redelivered: the maximum number of messages that will be handled again, by the member
            that reads their stream now: those from ``next_position`` on that an old member has
            handled.
        is_applied: True if the size was changed; False for a dry run.
    """

    old_next_positions: tuple[int, ...]
    next_position: int
    max_redelivered: int
    is_applied: bool
