"""The time that ``wait_for_consumer`` takes after a write, with and without notifications.

Run it with ``PYTHONPATH=scripts:. python -m trials.wait_for_consumer``: the consumer is a separate
process. It prints the median and the 99th percentile in milliseconds, and how many positions the
consumer stored, also while messages are written and no caller waits.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import threading
from contextlib import contextmanager
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any

from messagedb import Client, Consumer, Message, NewMessage, TablePositionStore, embedded, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS = ("stream", "table", "transactional", "polling")
_IDENTIFIER = "trial"


def main() -> None:
    """Measure, or be the consumer."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--short", action="store_true", help="25 waits of each, not 300")
    parser.add_argument("--pause", type=float, default=0.05, help="most seconds between two writes")
    parser.add_argument("--together", type=int, default=50, help="callers that wait together")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS, help="only these")
    parser.add_argument("--child", choices=WAYS, help="for itself")
    parser.add_argument("--url", default="", help="for itself")
    options = parser.parse_args()
    if options.child:
        _consume(options.url, options.child)
        return
    count = 25 if options.short else 300
    server = embedded.start()
    try:
        schema.install_notify(server.admin_url)
        for way in options.ways:
            # Without notifications a wait takes up to a second.
            _measure(
                server.url,
                way,
                count // 5 if way == "polling" else count,
                options.pause,
                options.together,
            )
    finally:
        server.stop()


def _measure(url: str, way: str, count: int, pause: float, together: int) -> None:
    name = f"{way}order"
    with _running(url, way), Client(url) as client:
        _write_and_wait(client, name, 0)
        before = _count_saves(client, way)
        times: list[float] = []
        begun = monotonic()
        for _ in range(count):
            sleep(random.uniform(0.0, pause))
            times.append(_write_and_wait(client, name, 1))
        seconds = monotonic() - begun
        saves = _count_saves(client, way) - before
        print(
            f"{way:14} {count} waits: median {statistics.median(times):.1f} ms,"
            f" 99 % {sorted(times)[int(count * 0.99)]:.1f} ms; {count / seconds:.1f} messages/s,"
            f" {saves / seconds:.1f} positions in the stream/s",
            flush=True,
        )
        _measure_together(client, name, together)
        before = _count_saves(client, way)
        for _ in range(100):
            _write(client, name, 1)
            sleep(0.05)
        saves = _count_saves(client, way) - before
        print(f"{'':14} 20 messages/s and no wait: {saves / 5:.1f} positions in the stream/s")


def _measure_together(client: Client, name: str, together: int) -> None:
    """Let many callers wait together, each for a separate message."""
    times: list[float] = []

    def call(number: int) -> None:
        times.append(_write_and_wait(client, name, number))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        f"{'':14} {together} together: median {statistics.median(times):.1f} ms,"
        f" longest {max(times):.1f} ms; {client.pool_stats().pool_size} connections in the pool"
    )


def _write(client: Client, name: str, number: int) -> int:
    return client.write_message(f"{name}-{number}", NewMessage("Placed", {}))


def _write_and_wait(client: Client, name: str, number: int) -> float:
    """Return the milliseconds of the wait."""
    position = _write(client, name, number)
    stream = f"{name}-{number}"
    begun = perf_counter()
    client.wait_for_consumer(name, _IDENTIFIER, stream_name=stream, position=position, timeout=30.0)
    return (perf_counter() - begun) * 1000


def _count_saves(client: Client, way: str) -> int:
    return client.stream_version(f"{way}order:position-{_IDENTIFIER}") + 1


@contextmanager
def _running(url: str, way: str) -> Iterator[None]:
    command = [sys.executable, "-m", "trials.wait_for_consumer", "--child", way, "--url", url]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _consume(url: str, way: str) -> None:
    in_table = way in ("table", "transactional")
    with Client(url) as client:
        consumer = Consumer(
            client,
            f"{way}order",
            identifier=_IDENTIFIER,
            notify=way != "polling",
            transactional=way == "transactional",
            position_store=TablePositionStore() if in_table else None,
        )

        @consumer.handler
        def ignore(message: Message[Any]) -> None:
            return None

        consumer.run(signals=True)


if __name__ == "__main__":
    main()
