"""Measure reads from a standby, and the time until it has a write: ``nox -s bench_replica``.

``-- --short`` only tries. Both servers are on this machine, so the times are of the work, not of a
network. The standby replicates asynchronously, as one for reads does, through a proxy of the tests.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench_nodes import new_message

from messagedb import Client
from tests.support.replication import Cluster, Template
from tests.support.replication.node import DATABASE

_PAGE: Final = 1000
_WRITERS: Final = 2


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few rounds: to try it")
    options = parser.parse_args()
    template = Template()
    cluster = Cluster(template, synchronous=False)
    try:
        primary_url = cluster.primary.url(DATABASE, "message_store")
        standby_url = cluster.standby.url(DATABASE, "message_store")
        with Client(primary_url) as primary, Client(standby_url) as standby:
            read(primary, standby, messages=5_000 if options.short else 100_000)
            rounds = 20 if options.short else 1_000
            follow(primary, standby, rounds, "alone")
            with writing(primary_url) as written:
                begun = time.perf_counter()
                follow(primary, standby, rounds, f"beside {_WRITERS} writers")
                rate = sum(written) / (time.perf_counter() - begun)
            print(f"which wrote {rate:,.0f} messages a second")
    finally:
        cluster.close()
        template.close()


def read(primary: Client, standby: Client, messages: int) -> None:
    """Print how fast one reader gets messages from each server, in pages of a category."""
    for first in range(0, messages, _PAGE):
        primary.write_messages(f"replica-{first}", [new_message(n) for n in range(_PAGE)])
    head = primary.get_category_head("replica")
    while standby.get_category_head("replica") != head:
        time.sleep(0.01)
    for label, client in (("the primary", primary), ("the standby", standby)):
        begun = time.perf_counter()
        count = sum(1 for _ in client.read_category("replica", batch_size=_PAGE))
        assert count == messages, f"{label} has {count} of {messages} messages"
        rate = count / (time.perf_counter() - begun)
        print(f"read from {label}: {rate:,.0f} messages a second")


def follow(primary: Client, standby: Client, rounds: int, label: str) -> None:
    """Print the time from the end of a write until the standby has it."""
    stream = f"followed-{label.replace(' ', '')}"
    times: list[float] = []
    for n in range(rounds):
        position = primary.write_message(stream, new_message(n))
        begun = time.perf_counter()
        while standby.stream_version(stream) != position:
            pass
        times.append((time.perf_counter() - begun) * 1000)
    median, longest = statistics.median(times), max(times)
    print(f"a write is on the standby, {label}: median {median:.1f} ms, at most {longest:.0f} ms")


@contextmanager
def writing(url: str) -> Iterator[list[int]]:
    """Let threads write, and yield the number of messages that each has written."""
    stopped = threading.Event()
    written = [0] * _WRITERS

    def write(number: int) -> None:
        with Client(url) as client:
            while not stopped.is_set():
                client.write_message(f"beside{number}-1", new_message(number))
                written[number] += 1

    threads = [threading.Thread(target=write, args=[number]) for number in range(_WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
