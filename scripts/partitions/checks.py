"""Compare the records of the trial's processes with the messages that were written."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb.streams import group_member

if TYPE_CHECKING:
    from partitions.crowd import Event

TABLE = b"""
create table trial_effects (
    id bigint generated always as identity, worker text not null, stream_name text not null,
    n int not null, handled_at timestamptz not null default clock_timestamp());
grant select, insert on trial_effects to message_store
"""
EFFECTS = b"""
select worker, stream_name, n, extract(epoch from handled_at)::float8
from trial_effects order by id
"""

Effect = tuple[str, str, int, float]


def load_effects(admin: str) -> list[Effect]:
    """Return all records in their order."""
    with psycopg.connect(admin, autocommit=True) as conn:
        rows: list[Any] = conn.execute(EFFECTS).fetchall()
        return rows


def count_problems(effects: list[Effect], written: dict[str, int]) -> dict[str, int]:
    """Count what is not as it has to be.

    Args:
        effects: the records.
        written: the number of messages of each stream, numbered from 0.
    """
    seen: dict[str, list[int]] = defaultdict(list)
    for _, stream, n, _ in effects:
        seen[stream].append(n)
    unhandled = repeated = disordered = 0
    for stream, count in written.items():
        numbers = seen[stream]
        unhandled += count - len(set(numbers))
        repeated += len(numbers) - len(set(numbers))
        # The first time of each: a repetition is of an earlier one.
        firsts = list(dict.fromkeys(numbers))
        disordered += firsts != sorted(firsts)
    return {"unhandled": unhandled, "repeated": repeated, "disordered": disordered}


def find_delays(
    effects: list[Effect], events: list[Event], size: int
) -> list[tuple[float, str, int]]:
    """Return, for each partition of an owner that was gone, the seconds until the next effect.

    A partition whose next owner was gone, too, before it had handled anything counts from then.
    """
    by_number: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for worker, stream, _, at in effects:
        by_number[group_member(stream, size) or 0].append((at, worker))
    delays: list[tuple[float, str, int]] = []
    for index, event in enumerate(events):
        for number in event.numbers:
            later = (at for at, name in by_number[number] if at > event.at and name != event.worker)
            at = min(later, default=-1.0)
            others = [each for each in events[index + 1 :] if number in each.numbers]
            if at >= 0 and not any(event.at <= each.at <= at for each in others):
                delays.append((round(at - event.at, 2), event.kind, number))
    return sorted(delays)


def summarize(delays: list[tuple[float, str, int]]) -> dict[str, float]:
    """Return the median and the maximum, of all and of each kind."""
    result: dict[str, float] = {}
    for kind in ("", *sorted({kind for _, kind, _ in delays})):
        seconds = [delay for delay, of, _ in delays if kind in ("", of)]
        if seconds:
            name = f" after one was {kind}" if kind else ""
            result[f"s median{name}"] = round(statistics.median(seconds), 2)
            result[f"s at most{name}"] = max(seconds)
    return result
