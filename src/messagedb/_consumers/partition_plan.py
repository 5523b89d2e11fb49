"""Who is to own which partitions of a consumer: the same decision in every process. No I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


DRAINING: Final = "draining"
"""The phase of a change of the size in which each process gives up all partitions."""

FINISHING: Final = "finishing"
"""The phase after it, in which the partitions are run up to the barrier."""


class PartitionMember(msgspec.Struct, frozen=True, array_like=True):
    """A process that runs a partitioned consumer.

    Attributes:
        id: its id, new each time that it joins.
        name: its name for people.
        expires_at: the time at which its membership ends, in microseconds of the server's clock.
    """

    id: str
    name: str
    expires_at: int


class Partition(msgspec.Struct, frozen=True, array_like=True):
    """A partition as it is stored.

    Attributes:
        number: its number, from 0.
        owner: the id of the member that owns it, or has owned it; None if it was released.
        epoch: the number of times that it was claimed.
        is_finished: True if it has reached the barrier of a change of the size.
        is_release_requested: True if its owner is to give it up.
        released_by: the id of the member that gave it up for that; None for none.
    """

    number: int
    owner: str | None
    epoch: int
    is_finished: bool = False
    is_release_requested: bool = False
    released_by: str | None = None


class PartitionLook(msgspec.Struct, frozen=True):
    """A partitioned consumer as it is stored, at one moment.

    Attributes:
        size: the number of partitions.
        position_store: ``stream`` or ``table``.
        generation: rises with each change of the size.
        next_size: the size that it changes to; None if it does not change.
        barrier: the global position up to which the partitions run before that.
        phase: the phase of that change.
        is_member: True if the process that looked is still a member.
        now: the time of the look, in microseconds of the server's clock.
        members: those that live, in the order in which they joined.
        partitions: all partitions by number.
    """

    size: int
    position_store: str
    generation: int
    next_size: int | None
    barrier: int | None
    phase: str | None
    is_member: bool
    now: int
    members: list[PartitionMember]
    partitions: list[Partition]

    @property
    def limit(self) -> int | None:
        """The global position up to which partitions are run now; None for no limit."""
        return self.barrier if self.phase == FINISHING else None


class PartitionPlan(msgspec.Struct, frozen=True):
    """The next steps of one process.

    Attributes:
        lost: the numbers of partitions that it does not own any more.
        adopted: partitions that it owns without knowing it, as the response to a claim was lost.
        give_up: the numbers of partitions that it is to give up.
        claim_count: the number of free partitions that it may claim now.
        moving: the numbers of partitions of which it may claim one beyond its share, as a person
            wants another process than their last owner to have them.
        free_count: the number of partitions that no process owns.
        missing_count: the number of partitions of its share that others have to give up first.
        is_extra: True if what it claims is beyond its share.
        reserved: the numbers of free partitions that it leaves to others.
    """

    lost: list[int]
    adopted: list[Partition]
    give_up: list[int]
    claim_count: int
    moving: list[int]
    free_count: int
    missing_count: int
    is_extra: bool
    reserved: list[int]


_members_decoder = msgspec.json.Decoder(list[PartitionMember] | None)
_partitions_decoder = msgspec.json.Decoder(list[Partition] | None)


def parse_look(row: tuple[Any, ...]) -> PartitionLook:
    """Return the look that a row of ``LOOK`` contains."""
    members = _members_decoder.decode(row[-2] or "null") or []
    partitions = _partitions_decoder.decode(row[-1] or "null") or []
    facts: Any = (*row[:-2], members, partitions)
    return PartitionLook(*facts)


def compute_share(member: str, members: Sequence[str], count: int) -> int:
    """Return how many of the partitions a member is to own.

    Shares differ by one at most, and add up to all partitions. The members that joined first have
    the larger ones, so that no share grows when a member joins, and none shrinks when one leaves.

    Args:
        member: the member's id.
        members: the ids of all members that live, in the order in which they joined.
        count: the number of partitions to own.
    """
    if member not in members:
        return 0
    rank = members.index(member)
    return count // len(members) + (rank < count % len(members))


def find_free(look: PartitionLook) -> list[int]:
    """Return the numbers of partitions that may be claimed: no process that lives owns them."""
    if look.phase == DRAINING:
        return []
    live = {each.id for each in look.members}
    return [p.number for p in look.partitions if not p.is_finished and p.owner not in live]


def find_next_expiry(look: PartitionLook, member: str) -> float:
    """Return the seconds from a look until the next membership of another member ends."""
    expiries = [each.expires_at for each in look.members if each.id != member]
    return (min(expiries) - look.now) / 1_000_000 if expiries else math.inf


def plan_partitions(
    look: PartitionLook,
    member: str,
    held: Mapping[int, int],
    *,
    leaving: Collection[int] = (),
    blocked: Collection[int] = (),
    moved: Collection[int] = (),
    overdue: Collection[int] = (),
    extra_count: int = 0,
    is_stopping: bool = False,
) -> PartitionPlan:
    """Decide what a process does next: surplus is given up before others claim it.

    A partition that stays free, as the process in whose share it is has died as well, is claimed
    beyond the share: one at each look, until it is evident who lives.

    Args:
        look: the stored state.
        member: the id of the process.
        held: the epochs of the partitions that it owns as far as it knows, by number.
        leaving: those of them that it is giving up.
        blocked: the numbers of partitions that it must not claim now.
        moved: the numbers of those that it has claimed beyond its share: of its surplus, it gives
            up others first.
        overdue: the numbers of those that are free for long.
        extra_count: how many it may keep now beyond its share.
        is_stopping: True if it is to give up all of them.
    """
    owned = {each.number: each for each in look.partitions if each.owner == member}
    lost = [
        number
        for number, epoch in held.items()
        if number not in owned or owned[number].epoch != epoch
    ]
    adopted = [each for number, each in owned.items() if number not in held or number in lost]
    kept = [number for number in held if number not in lost and number not in leaving]
    is_draining = look.phase == DRAINING
    open_partitions = [each for each in look.partitions if not each.is_finished and not is_draining]
    free = find_free(look)
    share = compute_share(member, [each.id for each in look.members], len(open_partitions))
    gives_up_all = is_stopping or is_draining
    if gives_up_all:
        share = 0
    give_up = [number for number in kept if owned[number].is_release_requested]
    remaining = sorted(number for number in kept if number not in give_up)
    unfinished = [number for number in remaining if not owned[number].is_finished]
    unfinished.sort(key=lambda number: number not in moved)
    surplus = len(unfinished) + len(adopted) - share
    if gives_up_all:
        give_up += remaining
    elif surplus > extra_count:
        give_up += unfinished[extra_count - surplus :]
    claimable = sum(number not in blocked for number in free)
    claim_count = max(min(-surplus, claimable), 0)
    may_move = surplus == 0 < share and look.phase is None
    moving = _list_moving(look, member, blocked) if may_move else []
    late = [number for number in free if number in overdue and number not in blocked]
    may_exceed = not (claim_count or moving or gives_up_all) and surplus <= extra_count
    is_extra = bool(late) and may_exceed
    return PartitionPlan(
        lost=lost,
        adopted=adopted,
        give_up=sorted(give_up),
        claim_count=1 if is_extra else claim_count,
        moving=moving,
        free_count=len(free),
        missing_count=max(-surplus - claimable, 0),
        is_extra=is_extra,
        reserved=[number for number in free if is_extra and number not in late],
    )


def _list_moving(look: PartitionLook, member: str, blocked: Collection[int]) -> list[int]:
    """Return the numbers of free partitions that another member gave up for a person.

    Each process has its share, so that otherwise only their last owner would claim them again.
    """
    others = {each.id for each in look.members} - {member}
    return [
        each.number
        for each in look.partitions
        if each.owner is None and each.released_by in others and each.number not in blocked
    ]
