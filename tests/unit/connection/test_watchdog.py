"""The watchdog shuts each socket at its deadline, not before, and no other."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import random
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from messagedb._connection import deadline_watchdog
from messagedb._connection.deadline_watchdog import DeadlineWatch
from tests.support.background_sync import eventually
from tests.support.descriptors import no_descriptor_left
from tests.support.forking import in_child

# How late a deadline may be kept on a busy machine, in seconds.
LIMIT = 2.0
SOON = 0.05
NAME = "messagedb-watchdog"
FOLDER = Path("/proc/self/fd")


class Pair:
    """A socket that is watched, and its peer, which sees the result."""

    def __init__(self) -> None:
        self.watched, self.peer = socket.socketpair()
        self.cancelled = 0

    def watch(self, seconds: float, cancel: Callable[[], object] | None = None) -> DeadlineWatch:
        """Watch it from now on."""
        watch = DeadlineWatch(monotonic() + seconds)
        watch.start(self.watched.fileno(), cancel or self.count_cancel)
        return watch

    def count_cancel(self) -> None:
        """Count that it was called."""
        self.cancelled += 1

    @property
    def is_shut(self) -> bool:
        """True if the peer has seen the end."""
        return bool(select.select([self.peer], [], [], 0)[0]) and self.peer.recv(1) == b""

    def carries(self) -> bool:
        """Return True if data arrives, both ways."""
        self.watched.send(b"a")
        self.peer.send(b"b")
        return (self.peer.recv(1), self.watched.recv(1)) == (b"a", b"b")

    def close(self) -> None:
        """Close both ends."""
        self.watched.close()
        self.peer.close()


def is_shut(pair: Pair) -> bool:
    """Return True if the pair's peer has seen the end."""
    return pair.is_shut


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Return a number of pairs."""
    pairs = [Pair() for _ in range(60)]
    yield pairs
    for pair in pairs:
        pair.close()


def threads() -> list[threading.Thread]:
    """Return the threads of the watchdog."""
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def nothing_is_watched() -> bool:
    """Return True if the descriptors of all watches are closed."""
    with deadline_watchdog._condition:
        return not deadline_watchdog._watches and not deadline_watchdog._ending


def descriptors() -> set[int]:
    """Return the numbers of the files that are open; none if they are not available."""
    if not FOLDER.is_dir():
        return set()
    # The folder itself was open while it was read.
    return {number for number in map(int, os.listdir(FOLDER)) if is_open(number)}


def is_open(number: int) -> bool:
    """Return True if a number is that of an open file."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


needs_proc = pytest.mark.skipif(not FOLDER.is_dir(), reason="there is no /proc")


def test_deadlines_in_any_order_are_kept_and_none_is_early(pairs: list[Pair]) -> None:
    # The longest first, so that the thread waits for that when the others come.
    seconds = [0.5, *random.choices([0.02, 0.1, 0.2, 0.3, 0.4], k=len(pairs) - 1)]
    watches = [pair.watch(time) for pair, time in zip(pairs, seconds, strict=True)]
    ended: dict[Pair, float] = {}
    by_peer = {pair.peer: pair for pair in pairs}
    # Every third is stopped before: its socket is left alone.
    stopped = [
        pair
        for n, (pair, watch) in enumerate(zip(pairs, watches, strict=True))
        if n % 3 == 1 and stop_in_time(watch)
    ]
    waited = [pair for pair in pairs if pair not in stopped]
    until = monotonic() + 0.5 + LIMIT
    while len(ended) < len(waited):
        left = [pair.peer for pair in pairs if pair not in ended]
        readable = select.select(left, [], [], max(until - monotonic(), 0))[0]
        assert readable, f"{len(waited) - len(ended)} sockets are not shut"
        for peer in readable:
            assert peer.recv(1) == b""
            ended[by_peer[peer]] = monotonic()
    for pair, watch in zip(pairs, watches, strict=True):
        if pair in stopped:
            assert not watch.has_expired
            assert pair.carries()
            assert pair.cancelled == 0
        else:
            assert watch.has_expired
            assert watch.deadline <= ended[pair] < watch.deadline + LIMIT
            with pytest.raises(BrokenPipeError):
                pair.watched.send(b"a")
    eventually(lambda: all(pair.cancelled == 1 for pair in waited))
    for watch in watches:
        watch.stop()
    assert len(threads()) <= 1


def stop_in_time(watch: DeadlineWatch) -> bool:
    """Stop a watch, and tell whether that was before its deadline."""
    watch.stop()
    return not watch.has_expired


@needs_proc
def test_each_descriptor_is_closed_once(pairs: list[Pair]) -> None:
    over, stopped, never, *_ = pairs
    eventually(nothing_is_watched)
    before = descriptors()
    second = stopped.watch(30.0)
    assert len(descriptors() - before) == 1
    second.stop()
    assert descriptors() <= before
    first = over.watch(SOON)
    eventually(lambda: over.is_shut)
    eventually(lambda: descriptors() <= before)
    # The numbers are other files' now, which a second close would close.
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
    first.stop()
    second.stop()
    for file in files:
        assert os.fstat(file)
        os.close(file)
    DeadlineWatch(monotonic()).stop()  # one that was never started
    # If there is no descriptor left, an error says so, and nothing is kept.
    with no_descriptor_left(), pytest.raises(OSError, match="open files"):
        never.watch(SOON)
    assert descriptors() <= before
    assert never.carries()
    # The socket of the caller's may be closed first, and its number given away.
    other = Pair()
    watch = other.watch(SOON)
    number = other.watched.fileno()
    other.watched.close()
    reused = os.dup2(never.watched.fileno(), number)
    eventually(lambda: other.is_shut)
    assert watch.has_expired
    assert never.carries()
    os.close(reused)
    other.close()
    eventually(lambda: descriptors() <= before)


def test_a_cancellation_that_blocks_or_fails_delays_no_deadline(pairs: list[Pair]) -> None:
    go_on = threading.Event()
    blocked = threading.Event()

    def block() -> None:
        blocked.set()
        go_on.wait(30.0)

    def fail() -> None:
        raise OSError("no way to the server")

    def fail_otherwise() -> None:
        raise psycopg.OperationalError("no way to the server")

    try:
        for pair, cancel in zip(pairs, [block, block, fail, fail_otherwise], strict=False):
            pair.watch(SOON, cancel)
        assert blocked.wait(LIMIT)
        late = pairs[10].watch(SOON)
        eventually(lambda: pairs[10].is_shut, LIMIT)
        assert late.has_expired
        eventually(lambda: pairs[10].cancelled == 1, LIMIT)
        # Their sockets wait for them, but not for long.
        eventually(lambda: all(pair.is_shut for pair in pairs[:4]), LIMIT)
        assert not go_on.is_set()
    finally:
        go_on.set()


def test_the_socket_is_shut_after_the_cancellation(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline_watchdog, "_CANCEL_FIRST", 60.0)
    pair, other, *_ = pairs
    go_on = threading.Event()
    told: list[bool] = []

    def cancel() -> None:
        told.append(pair.is_shut)
        go_on.wait(30.0)
        told.append(pair.is_shut)

    watch = pair.watch(SOON, cancel)
    eventually(lambda: told, LIMIT)
    # It is over for the transaction, which must not go on meanwhile, or give its connection back.
    assert watch.has_expired
    watch.stop()
    other.watch(SOON)
    eventually(lambda: other.is_shut, LIMIT)
    assert not pair.is_shut
    go_on.set()
    eventually(lambda: pair.is_shut, LIMIT)
    assert told == [False, False]


@needs_proc
def test_a_descriptor_closed_elsewhere_ends_no_other_watch(pairs: list[Pair]) -> None:
    # As a daemon does it: everything that is open is closed.
    before = descriptors()
    first = pairs[0].watch(SOON)
    (number,) = descriptors() - before
    os.close(number)
    eventually(lambda: first.has_expired, LIMIT)
    pairs[1].watch(SOON)
    eventually(lambda: pairs[1].is_shut, LIMIT)


def test_the_thread_ends_when_idle_and_another_begins(
    pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What another test has left unended would keep it.
    eventually(nothing_is_watched, 40.0)
    monkeypatch.setattr(deadline_watchdog, "_IDLE", SOON)
    pairs[0].watch(SOON)
    eventually(lambda: pairs[0].is_shut, LIMIT)
    eventually(lambda: not threads(), LIMIT)
    with monkeypatch.context() as patch:
        # No thread can be started: the caller gets the error, and nothing is watched.
        def start(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", start)
        before = descriptors()
        with pytest.raises(RuntimeError, match="new thread"):
            pairs[1].watch(SOON)
        assert descriptors() <= before
    for pair in pairs[2:10]:
        pair.watch(SOON)
        eventually(lambda: not threads(), LIMIT)
    monkeypatch.setattr(deadline_watchdog, "_IDLE", 0.0001)
    for pair in pairs[10:]:
        # Some while the thread is there, some while it ends, some when it has ended.
        pair.watch(random.uniform(0, 0.001))
    for pair in pairs[2:]:
        eventually(partial(is_shut, pair), LIMIT)
    eventually(lambda: not threads(), LIMIT)
    assert pairs[1].carries()


def test_threads_that_watch_and_stop_at_once(pairs: list[Pair]) -> None:
    # A watch is stopped at about its deadline: it was over or it was not, and all agree on which.
    shut: list[tuple[Pair, bool]] = []

    def work(share: list[Pair]) -> None:
        for pair in share:
            watch = pair.watch(random.uniform(0, 0.002))
            with suppress(IndexError):
                for _ in range(random.randrange(300)):
                    watch.deadline  # noqa: B018
            watch.stop()
            shut.append((pair, watch.has_expired))

    workers = [threading.Thread(target=work, args=(pairs[n::6],)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10.0)
    assert len(shut) == len(pairs)
    for pair, is_over in shut:
        if is_over:
            eventually(partial(is_shut, pair), LIMIT)
        else:
            assert pair.carries()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_leaves_the_parents_sockets_alone(pairs: list[Pair]) -> None:
    first, second, third, *_ = pairs
    before = descriptors()
    waits = first.watch(30.0)
    watch = second.watch(1.0)
    duplicates = descriptors() - before

    def child() -> object:
        signal.alarm(20)  # one that hangs must not keep its parent
        inherited = [number for number in duplicates if is_open(number)]
        mine = Pair()
        own = mine.watch(SOON)
        waits.stop()
        watch.stop()
        eventually(lambda: mine.is_shut, LIMIT)
        eventually(lambda: mine.cancelled == 1, LIMIT)
        return [own.has_expired, waits.has_expired, watch.has_expired, len(threads()), inherited]

    # Another thread may hold the lock at that moment; in the child that thread does not exist.
    with vars(deadline_watchdog)["_condition"]:
        said = in_child(child)
    assert said == [True, False, False, 1, []]
    assert first.carries()
    third.watch(SOON)
    eventually(lambda: third.is_shut, LIMIT)
    eventually(lambda: second.is_shut, 1.0 + LIMIT)
    assert (watch.has_expired, second.cancelled) == (True, 1)
    assert first.carries()
    waits.stop()
    assert not waits.has_expired
