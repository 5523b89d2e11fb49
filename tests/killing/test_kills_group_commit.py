"""Programs whose writers share transactions, killed at random moments: nothing noted is lost."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path

import pytest

from tests.killing.grouping import WRITERS, Order, main, read_notes
from tests.killing.worker import Variant
from tests.support.store import stored

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.killing.grouping"])

KILLS = 15


@pytest.mark.parametrize("variant", ["async", "sync"])
def test_no_acknowledged_write_of_a_killed_program_is_lost_or_doubled(
    store_url: str, category: str, tmp_path: Path, variant: Variant
) -> None:
    chance = random.Random(1)
    notes = str(tmp_path / "notes")
    orders = [
        Order(variant=variant, url=store_url, category=category, life=life, notes=notes)
        for life in range(KILLS)
    ]
    for order in orders:
        enough = len(read_notes(notes)) + chance.randint(1, 200)
        process = _FORKS.Process(target=main, args=(order,), daemon=True)
        process.start()
        while len(read_notes(notes)) < enough:
            assert process.is_alive()
            process.join(0.001)
        process.join(chance.uniform(0.0, 0.01))
        process.kill()
        process.join()
        process.close()
    acknowledged = read_notes(notes)
    rows = {stream: stored(store_url, stream) for stream in map(orders[0].stream, range(WRITERS))}
    assert len(acknowledged) > KILLS
    assert all((note.id, note.position) in rows[note.stream_name] for note in acknowledged)
    for found in rows.values():
        assert [position for _, position in found] == list(range(len(found)))
        assert len({id for id, _ in found}) == len(found)
    # A write without a response is that of a killed program: at most one of each writer.
    total = sum(map(len, rows.values()))
    assert total - len(acknowledged) <= KILLS * WRITERS
