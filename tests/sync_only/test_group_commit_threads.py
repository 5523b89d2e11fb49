"""Threads that send groups for others, and a signal's handler that raises in one of them."""

from __future__ import annotations

import random
import signal
import sys
import threading
from contextlib import suppress

import pytest

from messagedb import Client, NewMessage
from messagedb.testing import FaultProxy
from tests.support.alarms import call_until, ignore, needs_alarms, raising, untraced
from tests.support.background_sync import Background, eventually
from tests.support.outcome import count_waiting, is_whole, pool_of
from tests.support.store import locked, stored, waiting_for_locks

pytestmark = needs_alarms

THREADS = 8
SIGNALS = 300


class TooLate(BaseException):
    """Raised by a signal's handler, as KeyboardInterrupt is."""


class Writers:
    """Threads that write until they are stopped, each to a separate stream."""

    def __init__(self, client: Client, category: str) -> None:
        self._client = client
        self._stopped = threading.Event()
        self.streams = [f"{category}{number % 3}-{number}" for number in range(THREADS)]
        self._calls = [Background(self._work, stream) for stream in self.streams]

    def _work(self, stream: str) -> int:
        count = 0
        while not self._stopped.is_set():
            assert self._client.write_message(stream, NewMessage("Tested")) == count
            count += 1
        return count

    def stop(self) -> dict[str, int]:
        """Stop them, and return how many messages each has written."""
        self._stopped.set()
        return {
            stream: call.result() for stream, call in zip(self.streams, self._calls, strict=True)
        }


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, TooLate])
@untraced
def test_signals_in_the_main_thread_disturb_no_other_thread(
    store_url: str, category: str, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", ignore)
    rng = random.Random(1)
    mine: dict[int, int] = {}
    stream = f"{category}0-main"
    with Client(store_url, group_commit=True, max_size=4) as client:
        client.write_message(stream, NewMessage("Tested"))
        writers = Writers(client, category)
        with raising(kind) as raised:
            for _ in range(SIGNALS // 3):
                raised.clear()
                with suppress(KeyboardInterrupt, SystemExit, TooLate):
                    call_until(
                        raised,
                        rng.uniform(0.0005, 0.008),
                        lambda: mine.update(
                            {len(mine): client.write_message(stream, NewMessage("Tested"))}
                        ),
                    )
                assert [type(each) for each in raised] == [kind]
            raised.clear()
        counts = writers.stop()
        eventually(lambda: is_whole(client), 10.0)
        last = client.write_message(stream, NewMessage("Tested"))
    assert last > max(mine.values())
    for each, count in counts.items():
        assert count > 0
        assert len(stored(store_url, each)) == count


def test_a_thread_that_ends_while_it_sends_a_group_leaves_the_others_their_outcomes(
    store_url: str, category: str
) -> None:
    blocked = f"{category}blocked"
    others: list[Background[int]] = []

    def start_others_and_interrupt() -> None:
        # The main thread waits for a connection, to send the group of all.
        eventually(lambda: pool.get_stats().get("requests_waiting"))
        for number in range(4):
            name = f"{category}-{number}"
            others.append(Background(client.write_message, name, NewMessage("Marked")))
        eventually(lambda: count_waiting(client)[0] == 5)
        for conn in taken:
            pool.putconn(conn)
        eventually(lambda: len(stored(store_url, f"{category}-main")) == 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    with (
        FaultProxy(store_url) as proxy,
        Client(proxy.url, group_commit=True, max_size=4) as client,
    ):
        with locked(store_url, blocked):
            first = Background(client.write_message, f"{blocked}-1", NewMessage("First"))
            eventually(lambda: waiting_for_locks(store_url, blocked) == 1)
            proxy.drop_at("before_answer", "Marked")
            pool = pool_of(client)
            taken = [pool.getconn(5.0) for _ in range(3)]
            with raising(KeyboardInterrupt):
                helper = Background(start_others_and_interrupt)
                with pytest.raises(KeyboardInterrupt):
                    client.write_message(f"{category}-main", NewMessage("Marked"))
            helper.result()
            assert [call.result() for call in others] == [0] * 4
            assert proxy.injected == 1
        assert first.result() == 0
        eventually(lambda: is_whole(client), 15.0)
    for name in ("main", *range(4)):
        assert len(stored(store_url, f"{category}-{name}")) == 1


def test_a_close_in_another_thread_lets_writes_end(store_url: str, category: str) -> None:
    client = Client(store_url, group_commit=True, max_size=4)
    client.open()
    writers = Writers(client, category)
    eventually(lambda: all(len(stored(store_url, each)) > 3 for each in writers.streams))
    counts = writers.stop()
    client.close()
    for stream, count in counts.items():
        assert len(stored(store_url, stream)) == count
