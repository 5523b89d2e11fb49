"""Change of the number of partitions while they run: what is stored of it, and the next step.

The processes first give up all partitions, then run each of them up to the same position, the
barrier. Then the partitions of the new size begin after it. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .._errors import PositionConflictError
from .partition_plan import FINISHING
from .partition_records import numbers_text

if TYPE_CHECKING:
    from collections.abc import Sequence


class ResizeLook(msgspec.Struct, frozen=True):
    """A change of the number of partitions as it is stored, at one moment.

    Attributes:
        size: the present number of partitions.
        generation: rises with each change of the size.
        position_store: ``stream`` or ``table``.
        next_size: the size that it changes to; None if it does not change.
        barrier: the global position up to which all partitions are to run.
        phase: the phase of the change; None if there is no change.
        is_late: True if the call that changes it should have ended.
        unfinished: the numbers of the partitions that have not reached the barrier.
        owners: the names of the live members that own partitions.
        members: the names of all live members.
    """

    size: int
    generation: int
    position_store: str
    next_size: int | None
    barrier: int | None
    phase: str | None
    is_late: bool
    unfinished: list[int]
    owners: list[str]
    members: list[str]

    @property
    def is_ready(self) -> bool:
        """True if the next step may be made: nothing is owned, or to be run up to the barrier."""
        if self.phase is None or self.owners:
            return False
        return self.phase != FINISHING or not self.unfinished


class ResizeStep(msgspec.Struct, frozen=True):
    """The next step of a change.

    Attributes:
        position: the position at which the partitions of the new size begin, or the barrier.
        is_last: True if all partitions are there, so that the new ones may begin.
        finished: the numbers of the partitions that are there.
    """

    position: int
    is_last: bool
    finished: list[int]


_numbers_decoder = msgspec.json.Decoder(list[int] | None)
_names_decoder = msgspec.json.Decoder(list[str] | None)


def parse_resize(row: tuple[Any, ...]) -> ResizeLook:
    """Return the look that a row of ``READ_RESIZE`` contains."""
    unfinished = _numbers_decoder.decode(row[-3] or "null") or []
    owners, members = (_names_decoder.decode(each or "null") or [] for each in row[-2:])
    facts: Any = (*row[:-3], unfinished, owners, members)
    return ResizeLook(*facts)


def plan_step(positions: Sequence[int | None]) -> ResizeStep:
    """Decide how a change goes on, from the stored positions of the present partitions.

    Whatever was stored meanwhile, also by a process that was paused: the new partitions begin only
    if the positions are equal, so that no message is skipped or handled twice.

    Args:
        positions: by number; None for a partition that has none.
    """
    reached = [each or 0 for each in positions]
    barrier = max(reached)
    finished = [number for number, each in enumerate(reached) if each == barrier]
    return ResizeStep(barrier, len(finished) == len(reached), finished)


def is_not_partitioned_error(name: str) -> PositionConflictError:
    """Return the error for a consumer of which no partitions are stored."""
    return PositionConflictError(
        f"{name}: no partitions are stored of it: no process has run it with partitions= in this"
        " store. Nothing was changed. The number in the code counts when it runs for the first"
        " time; a consumer group is changed by resize_consumer_group()."
    )


def other_resize_error(name: str, look: ResizeLook, size: int) -> PositionConflictError:
    """Return the error for a change beside another one."""
    return PositionConflictError(
        f"{name}: its partitions are being changed from {look.size} to {look.next_size} at this"
        f" moment, and can be changed to {size} afterwards. Nothing was changed by this call. Wait"
        f" for the end of the other one; resize_partitions(…, {look.size}) withdraws it."
    )


def withdrawn_error(name: str, look: ResizeLook, size: int) -> PositionConflictError:
    """Return the error for a change that another process has withdrawn."""
    return PositionConflictError(
        f"{name}: the change to {size} partitions was withdrawn by another process: {look.size}"
        " go on as before. No message is skipped or handled again by that. Call it again."
    )


def position_exists_error(name: str, position: int, size: int) -> PositionConflictError:
    """Return the error for a new partition that has a position already."""
    return PositionConflictError(
        f"{name!r} already has a position, {position}: a consumer group of {size} members has run"
        " under the identifier, and was not resized. Nothing was changed. Use another number of"
        " partitions, or another identifier."
    )


def resize_timeout_text(name: str, look: ResizeLook, size: int, seconds: float) -> str:
    """Return the text for a change that took too long, and was withdrawn."""
    if look.owners:
        reason = f"the handlers of {', '.join(look.owners[:5])} have not finished their messages"
        if look.phase == FINISHING:
            reason = f"{_behind_text(look)}, which {', '.join(look.owners[:5])} are to handle"
    elif not look.members:
        reason = "no process runs it that could bring its partitions to the same position: run one"
    else:
        reason = _behind_text(look)
    return (
        f"{name}: its partitions were not changed from {look.size} to {size} within {seconds:g} s:"
        f" {reason}. The change is withdrawn: {look.size} partitions go on as before, and no"
        " message is skipped or handled again by that. Call it again, with a longer timeout."
    )


def _behind_text(look: ResizeLook) -> str:
    if look.phase != FINISHING:
        return "the processes have not given up all partitions"
    return (
        f"the partitions {numbers_text(look.unfinished)} have not handled everything up to the"
        f" global position {look.barrier}"
    )
