"""Group commit in two and four processes, also while another session holds a lock."""

from __future__ import annotations

from collections.abc import Iterator
from subprocess import Popen
from typing import Final

import msgspec
import psycopg

from messagedb import streams

from . import payload
from .children import answer, start
from .group_commit_child import Job, Turn
from .measure import Measure, times_as_fast
from .report import RATE, Section
from .topic import Bench

_GROUPED: Final = "messagedb: group_commit=True"
_LOCKED: Final = "messagedb: group_commit=True, one category locked"
_SIZES: Final = (4, 16)
# By the number of categories: the wanted factor beside the best pool.
_WANTED: Final = {1: 3.0, 16: 1.5}
_WANTED_BESIDE_A_LOCK: Final = 0.7


def run(bench: Bench, conninfo: str) -> Iterator[Section]:
    """Measure processes that write to the same categories."""
    for processes, tasks in bench.pick(((2, 32), (4, 16)), ((2, 4),)):
        for categories in bench.pick((1, 16), (2,)):
            yield _section(bench, conninfo, processes, tasks, categories)


def _section(bench: Bench, conninfo: str, processes: int, tasks: int, categories: int) -> Section:
    names = [payload.category("shared") for _ in range(categories)]
    seconds = bench.pick(1.5, 0.2)
    turns = {f"psycopg: a pool of {size} each": Turn(size, seconds) for size in _SIZES}
    turns = {_GROUPED: Turn(0, seconds), **turns}
    if categories > 1:
        turns[_LOCKED] = Turn(0, seconds, names[0])
    children = [
        start("group_commit_child", msgspec.json.encode(Job(conninfo, number, tasks, names)))
        for number in range(processes)
    ]
    try:
        for turn in turns.values():
            _take(children, conninfo, turn)
        rounds = [
            {name: _take(children, conninfo, turn) for name, turn in turns.items()}
            for _ in range(bench.rounds)
        ]
    finally:
        for child in children:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()
    measures = [Measure(name=name, samples=[each[name] for each in rounds]) for name in turns]
    found = {each.name: each for each in measures}
    best = min((each for each in measures if not each.ours), key=lambda each: each.median)
    comparisons = [times_as_fast(found[_GROUPED], best, _WANTED.get(categories))]
    if categories > 1:
        comparisons.append(times_as_fast(found[_LOCKED], found[_GROUPED], _WANTED_BESIDE_A_LOCK))
    shared = "one category" if categories == 1 else f"the same {categories} categories"
    return Section(
        title=f"{processes} processes of {tasks} tasks into {shared}",
        unit=RATE,
        measures=measures,
        comparisons=comparisons,
        note="Beside a locked category, writes to the others are counted. A transaction has at most"
        " one message of each task, and keeps the locks of its categories until the disk has it."
        if categories > 1
        else "",
    )


def _take(children: list[Popen[bytes]], conninfo: str, turn: Turn) -> float:
    """Let all processes write at the same time, and return the seconds of one write.

    The lock is held until the last of them has counted: their writes to the locked category end
    only then, and none of them answers before.
    """
    with psycopg.connect(conninfo) as holder:
        if turn.locked:
            holder.execute("SELECT pg_advisory_xact_lock(%s)", [streams.hash_64(turn.locked)])
        for child in children:
            assert child.stdin is not None
            child.stdin.write(msgspec.json.encode(turn) + b"\n")
            child.stdin.flush()
        if turn.locked:
            holder.execute("SELECT pg_sleep(%s)", [turn.seconds + 0.5])
    count = sum(int(answer(child)) for child in children)
    return turn.seconds / max(count, 1)
