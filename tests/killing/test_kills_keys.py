"""Programs that send commands with keys, killed at random moments: each key is answered once."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from messagedb import Client
from tests.killing.commanding import Answer, Order, answers, main, main_many
from tests.killing.worker import Variant

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.killing.commanding"])

KEYS = 400
KILLS = 20


class _Program:
    """A program for an order, which is killed as soon as it has noted some answers more.

    Its answers are counted, so that it is killed equally often on a fast machine and on a slow one.
    """

    def __init__(
        self, order: Order, chance: random.Random, main: Callable[[Order], None] = main
    ) -> None:
        self._order = order
        self._main = main
        self._chance = chance
        self.killed = 0
        self._start()

    def _start(self) -> None:
        self._process = _FORKS.Process(target=self._main, args=(self._order,), daemon=True)
        self._process.start()
        self._enough = len(answers(self._order.notes)) + self._chance.randint(0, 8)

    def kill_when_due(self) -> None:
        """Kill it at a random moment after its next answers, and start it again."""
        assert self._process.is_alive()
        if len(answers(self._order.notes)) < self._enough:
            self._process.join(0.001)
            return
        self._process.join(self._chance.uniform(0.0, 0.005))
        assert self._process.is_alive()
        self._process.kill()
        self._process.join()
        self._process.close()
        self.killed += 1
        self._start()

    def kill(self) -> None:
        """Kill it, and do not start it again."""
        self._process.kill()
        self._process.join()
        self._process.close()

    def wait(self) -> None:
        """Let it come to its end."""
        self._process.join()
        assert self._process.exitcode == 0
        self._process.close()


@pytest.mark.parametrize("variants", [("async", "async"), ("sync", "sync"), ("async", "sync")])
def test_each_key_is_answered_once_and_always_the_same(
    store_url: str, category: str, tmp_path: Path, variants: tuple[Variant, Variant]
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    # Both send the same commands, as a client does that asks two servers.
    orders = [
        Order(
            variant=variant,
            url=store_url,
            category=category,
            keys=KEYS,
            notes=str(tmp_path / f"notes-{number}"),
        )
        for number, variant in enumerate(variants)
    ]
    programs = [_Program(order, chance) for order in orders]
    while any(program.killed < KILLS for program in programs):
        for program in programs:
            if program.killed < KILLS:
                program.kill_when_due()
    for program in programs:
        program.wait()
    with Client(store_url) as client:
        events = [
            (message.data["key"], message.position, message.data["total"])
            for message in client.read_stream(f"{category}-1")
        ]
    # The events of a key are together, and there is one set of them for each.
    stored: dict[int, Answer] = {}
    for key, group in groupby(events, key=lambda event: event[0]):
        assert key not in stored
        together = list(group)
        positions = tuple(position for _, position, _ in together)
        totals = tuple(total for _, _, total in together)
        assert len(positions) == 1 + positions[0] % 3
        stored[key] = Answer(key, positions, positions[-1], positions[-1] + 1, totals)
    assert sorted(stored) == list(range(KEYS))
    for order in orders:
        assert answers(order.notes) == [stored[key] for key in range(KEYS)]


@pytest.mark.parametrize("variants", [("async", "async"), ("sync", "sync"), ("async", "sync")])
def test_what_was_answered_to_commands_that_wait_together_is_stored_once(
    store_url: str, category: str, tmp_path: Path, variants: tuple[Variant, Variant]
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    orders = [
        Order(
            variant=variant,
            url=store_url,
            category=category,
            keys=10**6,
            notes=str(tmp_path / f"notes-{number}"),
        )
        for number, variant in enumerate(variants)
    ]
    programs = [_Program(order, chance, main_many) for order in orders]
    while any(program.killed < KILLS for program in programs):
        for program in programs:
            if program.killed < KILLS:
                program.kill_when_due()
    for program in programs:
        program.kill()
    with Client(store_url) as client:
        events = [
            (message.data["key"], message.data["total"])
            for message in client.read_stream(f"{category}-1")
        ]
    # Each event was decided on the state of all events before it: none is lost or doubled.
    assert [total for _, total in events] == list(range(1, len(events) + 1))
    runs = [key for key, _ in groupby(events, key=lambda event: event[0])]
    assert len(runs) == len(set(runs))
    noted = [answer for order in orders for answer in answers(order.notes)]
    assert len(noted) > 2 * KILLS
    for answer in noted:
        stored = tuple(events[position] for position in answer.positions)
        assert stored == tuple((answer.key, total) for total in answer.totals)
        assert answer.entity == answer.version + 1 == answer.positions[-1] + 1
    print(f"{len(events)} events, {len(noted)} answers of {len(runs)} commands")
