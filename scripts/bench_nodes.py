"""Measure the cost of PL/Proxy beside direct calls, and how writes spread over the nodes.

``nox -s bench_nodes``; ``-- --short`` only tries. The nodes and the proxying database are databases
of one server on this machine, so that the ratios are of the work, not of a network.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Final

from messagedb import Client, NewMessage
from tests.support.several_nodes import PROXY, SeveralNodes

_PAGE: Final = 1000


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few rounds: to try it")
    options = parser.parse_args()
    rounds = 20 if options.short else 400
    for count in (2, 1, 3):
        nodes = SeveralNodes(f"n{number}" for number in range(count))
        try:
            if count == 2:
                compare(nodes, rounds)
            spread(nodes, categories=60 if options.short else 600)
        finally:
            nodes.close()


def compare(nodes: SeveralNodes, rounds: int) -> None:
    """Print the medians of the same calls, one after the other through and past the proxy."""
    name = nodes.name_category("bench", nodes.names[0])
    direct_url = nodes.server.url(nodes.names[0], "message_store")
    with Client(nodes.url()) as proxied, Client(direct_url) as direct:
        proxied.write_messages(f"{name}-page", [new_message(n) for n in range(_PAGE)])
        calls: dict[str, Callable[[Client], object]] = {
            "one write": lambda client: client.write_message(f"{name}-one", new_message(0)),
            "a batch of 100": lambda client: client.write_messages(
                f"{name}-many", [new_message(n) for n in range(100)]
            ),
            "a page of 1,000": lambda client: client.get_stream_messages(f"{name}-page"),
            "the last message": lambda client: client.get_last_stream_message(f"{name}-page"),
        }
        print(f"{'':18}{'direct':>10}{'proxied':>10}  ratio of medians, {rounds} rounds")
        for label, call in calls.items():
            times: dict[str, list[float]] = {"direct": [], "proxied": []}
            for number in range(rounds + 10):
                for way, client in (("direct", direct), ("proxied", proxied)):
                    begun = time.perf_counter()
                    call(client)
                    if number >= 10:  # the first ones connect and plan
                        times[way].append(time.perf_counter() - begun)
            one, other = (statistics.median(times[way]) * 1000 for way in ("direct", "proxied"))
            print(f"{label:18}{one:>7.2f} ms{other:>7.2f} ms  {other / one:.2f}")


def spread(nodes: SeveralNodes, categories: int) -> None:
    """Print the rows and the CPU time of each node after writes to many categories."""
    before = {name: count_rows(nodes, name) for name in nodes.names}
    print(f"\n{len(nodes.names)} nodes, {categories} categories, 5 messages each:")
    with Client(nodes.url()) as client:
        for number in range(categories):
            for _ in range(5):
                client.write_message(f"spread{number}-1", new_message(number))
        for name in nodes.names:
            rows, cpu = count_rows(nodes, name) - before[name], read_cpu(nodes, name)
            share = rows / (5 * categories)
            print(f"{name}: {rows} rows, {share:.0%}; {cpu:.2f} s of CPU")
        print(f"the proxying database: {read_cpu(nodes, PROXY):.2f} s of CPU")


def new_message(number: int) -> NewMessage:
    """Return a message of about 200 bytes."""
    return NewMessage("Measured", {"number": number, "text": "x" * 160})


def count_rows(nodes: SeveralNodes, name: str) -> int:
    """Return the number of messages of a node."""
    return int(nodes.ask(name, "select count(*) from message_store.messages")[0][0])


def read_cpu(nodes: SeveralNodes, name: str) -> float:
    """Return the CPU seconds of the server processes that serve a node now."""
    total = 0.0
    query = "select pid from pg_stat_activity where datname = %s and application_name like %s"
    for (pid,) in nodes.ask("postgres", query, name, "messagedb%"):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / 100
    return total


if __name__ == "__main__":
    main()
