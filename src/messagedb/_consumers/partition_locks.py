"""Partitions that advisory locks have owners of, in a store without the tables for it. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .._errors import PositionConflictError
from .consumer_info import to_signed
from .partition_plan import Partition, PartitionLook, PartitionMember
from .position_stores import LeaseKeys, derive_lease_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .settings import ConsumerSettings


class PartitionLocks(msgspec.Struct, frozen=True):
    """The locks of a partitioned consumer.

    Attributes:
        name: the consumer's.
        member: the lock that each of its processes shares; its second number is the size.
        partitions: the lock of each partition, which is the lease of a static group's member: so
            one of these excludes the other.
    """

    name: str
    member: LeaseKeys
    partitions: list[LeaseKeys]

    @property
    def size(self) -> int:
        """The number of partitions."""
        return len(self.partitions)


def build_locks(schema: str, settings: ConsumerSettings, size: int) -> PartitionLocks:
    """Return the locks of a consumer with a number of partitions."""
    names = [settings.build_position_name(number, size) for number in range(size)]
    return PartitionLocks(
        name=settings.position_name,
        member=LeaseKeys(derive_members_key(schema, settings), size, is_shared=True),
        partitions=[LeaseKeys(*derive_lease_keys(f"{schema} {name}")) for name in names],
    )


def derive_members_key(schema: str, settings: ConsumerSettings) -> int:
    """Return the first number of the lock that a consumer's processes with partitions share."""
    return derive_lease_keys(f"{schema} {settings.build_position_name(None, None)} partitions")[0]


def find_sizes(member_key: int, rows: Iterable[tuple[Any, ...]]) -> dict[int, list[int]]:
    """Return the server processes that share a lock of members, by the number of partitions.

    Args:
        member_key: the first number of that lock.
        rows: those of ``LEASE_HOLDERS``.
    """
    found: dict[int, list[int]] = {}
    for first, second, pid in sorted(rows):
        if to_signed(first) == member_key:
            found.setdefault(second, []).append(pid)
    return found


def build_look(
    locks: PartitionLocks,
    rows: Iterable[tuple[Any, ...]],
    own_id: str,
    held: Collection[int],
    epoch: int,
    now: int,
    seconds: float,
) -> PartitionLook:
    """Return who owns what, from the locks that are held.

    Args:
        locks: those of the consumer.
        rows: those of ``LOCK_LOOK``.
        own_id: the id of the process as a member.
        held: the numbers of the partitions that it has claimed.
        epoch: the number of its connection.
        now: the time of the look in microseconds, by any clock.
        seconds: how long a member lives in any case that has a lock now.

    Raises:
        PositionConflictError: a process runs the consumer with another number of partitions.
    """
    # By the simple protocol, all is text.
    found = [tuple(map(int, row)) for row in rows]
    facts = [(first, second, pid) for first, second, pid, _ in found]
    own_pids = {pid for _, _, pid, is_own in found if is_own}
    sizes = find_sizes(locks.member.first, facts)
    if set(sizes) - {locks.size}:
        raise other_size_error(locks.name, locks.size, max(set(sizes) - {locks.size}))
    ids = {pid: own_id if pid in own_pids else str(pid) for pid in sizes.get(locks.size, ())}
    expires_at = now + int(seconds * 1_000_000)
    holders = {(to_signed(first), to_signed(second)): pid for first, second, pid in facts}
    partitions: list[Partition] = []
    for number, keys in enumerate(locks.partitions):
        pid = holders.get((keys.first, keys.second))
        owner = None if pid is None else str(pid)
        if pid in own_pids and number in held:
            partitions.append(Partition(number, own_id, epoch))
        else:
            partitions.append(Partition(number, owner, 0))
    return PartitionLook(
        size=locks.size,
        position_store="stream",
        generation=1,
        next_size=None,
        barrier=None,
        phase=None,
        is_member=own_id in ids.values(),
        now=now,
        members=[
            PartitionMember(id, f"server process {pid}", expires_at) for pid, id in ids.items()
        ],
        partitions=partitions,
    )


def other_size_error(name: str, size: int, other: int) -> PositionConflictError:
    """Return the error for two numbers of partitions at the same time."""
    return PositionConflictError(
        f"{name}: a process runs it with {other} partitions, and this one has {size}: both would"
        " handle the same messages. Nothing was changed. Stop one of them. The number can only be"
        " changed while they run if the store has the tables of messagedb.schema.install()."
    )


def is_run_here_error(name: str) -> PositionConflictError:
    """Return the error for a second run by the same client, whose session has the locks."""
    return PositionConflictError(
        f"{name}: this client runs its partitions already, and the store has no tables in which two"
        " runs could share them. Nothing was changed. Use another client, or call"
        " messagedb.schema.install() as the database's owner."
    )
