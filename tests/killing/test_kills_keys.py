"""Programs that send commands with keys, killed at random moments: each key is answered once."""

from __future__ import annotations

import multiprocessing
import random
from itertools import groupby
from pathlib import Path

import pytest

from messagedb import Client
from tests.killing.commanding import Answer, Order, answers, main
from tests.killing.worker import Variant

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.killing.commanding"])

KEYS = 300
KILLS = 40


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
    killed = 0
    while any(order.left() for order in orders):
        alive = [_FORKS.Process(target=main, args=(order,), daemon=True) for order in orders]
        for process in alive:
            process.start()
        for process in alive:
            process.join(chance.uniform(0.05, 0.2) if killed < KILLS else 60)
            killed += process.is_alive()
            process.kill()
            process.join()
            process.close()
    print(f"{killed} killed")
    assert killed >= 10
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
