"""The state of a run from those of its partitions. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .status import RunSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .._operations.scan_results import Lag
    from .run_phase import RunPhase
    from .status import ConsumerState

# The first of these that a partition is in is that of the consumer.
_ORDER: Final[tuple[ConsumerState, ...]] = (
    "retrying",
    "reconnecting",
    "waiting",
    "starting",
    "running",
    "caught up",
)

_NONE_OWNED: Final = "other processes own all partitions"


def build_partitioned_snapshot(
    phase: RunPhase,
    pool_text: str | None,
    partitions: Mapping[int, RunSnapshot],
    lag: Lag | None,
    measured_at: datetime | None,
    count: int | None,
) -> RunSnapshot:
    """Return the snapshot of a run.

    Args:
        phase: the phase of the process as a whole.
        pool_text: says that no connection of the pool is free; None otherwise.
        partitions: the snapshots of the partitions that it owns.
        lag: the last measurement, from the least of their positions on.
        measured_at: the time of that.
        count: the stored number of partitions; None before it has begun.
    """
    state = phase.state
    reason = pool_text or phase.reason
    own = list(partitions.values())
    if state in ("starting", "running") and count is not None:
        state, reason = ("waiting", _NONE_OWNED) if not own else (_find_state(own), reason)
    positions = [each.position for each in own if each.position is not None]
    stored = [each.stored_position or 0 for each in own]
    reasons = [each for snapshot in own for each in snapshot.waits_for]
    return RunSnapshot(
        state=state,
        position=min(positions) if own and len(positions) == len(own) else None,
        stored_position=min(stored) or None if stored else None,
        lag=lag,
        measured_at=measured_at,
        current_message=next(
            (each.current_message for each in own if each.current_message is not None), None
        ),
        waits_for=(*((reason,) if reason else ()), *dict.fromkeys(reasons)),
        # Each of them knows those of all members.
        held_stream_count=max((each.held_stream_count for each in own), default=0),
        behind_count=max((each.behind_count for each in own), default=0),
        partitions=tuple(sorted(partitions)),
        partition_count=count,
    )


def _find_state(partitions: list[RunSnapshot]) -> ConsumerState:
    states = {each.state for each in partitions}
    for state in _ORDER:
        if state in states:
            return state
    return "running"
