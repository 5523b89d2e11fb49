"""Message ids: their form and their order, with threads, forks and clocks that go back."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any
from uuid import RFC_4122, UUID, SafeUUID

import pytest

from messagedb._messages import ids
from messagedb._messages.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE: Any = ids  # its clock, counter and lock
YEAR_2100 = 4_102_444_800_000  # in milliseconds: after every id of other tests


@pytest.fixture(autouse=True)
def _restored_state() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Restore the clock of ids after a test that moves it ahead."""
    state = STATE._milliseconds, STATE._prefix
    yield
    STATE._milliseconds, STATE._prefix = state


def milliseconds(id: UUID) -> int:
    return id.int >> 80


def test_is_a_uuid_of_version_7_with_the_time() -> None:
    before = STATE.time_ns() // 1_000_000
    id = uuid7()
    assert (id.version, id.variant, id.is_safe) == (7, RFC_4122, SafeUUID.unknown)
    assert before <= milliseconds(id) <= STATE.time_ns() // 1_000_000 + 1
    assert id == UUID(str(id))
    assert hash(id) == hash(UUID(str(id)))
    assert pickle.loads(pickle.dumps(id)) == id


def test_each_is_greater_than_the_one_before() -> None:
    ids = [uuid7() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert all(id.version == 7 and id.variant == RFC_4122 for id in ids)


def test_keeps_the_order_within_a_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STATE, "time_ns", lambda: YEAR_2100 * 1_000_000)
    ids = [uuid7() for _ in range(2_000)]
    assert ids == sorted(set(ids))
    assert {milliseconds(id) for id in ids} == {YEAR_2100}
    assert len({id.int & 0xFFFFFFFF for id in ids}) > 1_990  # the last 32 bits are random


def test_starts_the_counter_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    now = YEAR_2100
    monkeypatch.setattr(STATE, "time_ns", lambda: now * 1_000_000)
    starts: set[int] = set()
    for now in range(YEAR_2100, YEAR_2100 + 100):  # noqa: B007 - the clock reads it
        starts.add(uuid7().int >> 32 & 0x3FFFFFFF)
    assert len(starts) > 95


def test_does_not_go_back_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([YEAR_2100, YEAR_2100 - 3_600_000, YEAR_2100 - 1, YEAR_2100 + 1])
    monkeypatch.setattr(STATE, "time_ns", lambda: next(times) * 1_000_000)
    ids = [uuid7() for _ in range(4)]
    assert ids == sorted(set(ids))
    assert [milliseconds(id) - YEAR_2100 for id in ids] == [0, 0, 0, 1]


def test_borrows_a_millisecond_when_the_counter_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STATE, "time_ns", lambda: YEAR_2100 * 1_000_000)
    first = uuid7()
    STATE._prefix |= 0x3FFFFFFF
    second, third = uuid7(), uuid7()
    assert first < second < third
    assert milliseconds(second) == milliseconds(third) == YEAR_2100 + 1
    assert second.version == 7
    assert second.variant == RFC_4122


def test_threads_get_ids_of_their_own() -> None:
    made: list[list[UUID]] = []

    def make() -> None:
        made.append([uuid7() for _ in range(3_000)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for ids in made for id in ids}) == 8 * 3_000
    assert all(ids == sorted(ids) for ids in made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_repeat_its_parent() -> None:
    # In a separate interpreter: a fork of the test process would take its threads' locks along.
    program = """
import os, threading, time
from messagedb._messages import ids
now = time.time_ns()
ids.time_ns = lambda: now
first = ids.uuid7()
holder = threading.Thread(target=lambda: (ids._lock.acquire(), held.set(), done.wait()))
held, done = threading.Event(), threading.Event()
holder.start()
held.wait()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, b"".join(ids.uuid7().bytes for _ in range(50)))
    os._exit(0)
done.set()
holder.join()
ids._lock = threading.RLock()
data = b""
os.close(write)
while part := os.read(read, 4096):
    data += part
os.wait()
child = [data[i : i + 16] for i in range(0, len(data), 16)]
parent = [ids.uuid7().bytes for _ in range(50)]
assert len(child) == 50 and child == sorted(child) and child[0] > first.bytes
tails = {id[10:] for id in child} & {id[10:] for id in parent}
assert not set(child) & set(parent) and not tails, tails
print("different")
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("different\n", "")


def test_can_be_made_while_one_is_being_made() -> None:
    with STATE._lock:  # as a signal handler finds it
        id = uuid7()
    assert id < uuid7()
