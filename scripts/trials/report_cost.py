"""The cost of reports and INFO logs to a consumer with a handler that does nothing.

Run it with ``PYTHONPATH=scripts:. python -m trials.report_cost``: pairs of processes, one with and
one without, in turn. It prints CPU microseconds for each message, and the median of the ratios.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time
from typing import Any
from unittest.mock import patch

import psycopg

from messagedb import Client, Consumer, Message, embedded
from messagedb._sync.consumers.status_writer import StatusWriter

_FILL = """
INSERT INTO message_store.messages (id, stream_name, position, type, data)
SELECT gen_random_uuid(), 'cost-' || n %% 100, n / 100, 'Noted', '{"n": 1}'
FROM generate_series(0, %s - 1) n
"""


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--messages", type=int, default=1_500_000)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--child", choices=("on", "off"), help="for itself")
    parser.add_argument("--url", default="", help="for itself")
    options = parser.parse_args()
    if options.child:
        print(_consume(options.url, options.child == "on"))
        return
    with _filled_server(options.messages) as url:
        ratios = [_measure_pair(url, number) for number in range(options.pairs)]
    print(f"median {statistics.median(ratios):.3f} of {', '.join(f'{r:.3f}' for r in ratios)}")


@contextmanager
def _filled_server(count: int) -> Iterator[str]:
    server = embedded.start()
    try:
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute(_FILL.encode(), [count])
            conn.execute("ANALYZE message_store.messages")
        yield server.url
    finally:
        server.stop()


def _measure_pair(url: str, number: int) -> float:
    """Return the ratio of one pair; each way goes first in turn."""
    ways = ("on", "off") if number % 2 else ("off", "on")
    cost = {way: _run_child(url, way) for way in ways}
    print(f"pair {number}: {cost['on']:.3f} µs with, {cost['off']:.3f} µs without", flush=True)
    return cost["on"] / cost["off"]


def _run_child(url: str, way: str) -> float:
    command = [sys.executable, "-m", "trials.report_cost", "--child", way, "--url", url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return float(done.stdout)


def _consume(url: str, reports: bool) -> float:
    """Handle all messages once, and return the CPU microseconds for each."""
    level = logging.INFO if reports else logging.WARNING
    with open(os.devnull, "w", encoding="utf-8") as nowhere, Client(url) as client:
        logging.basicConfig(level=level, stream=nowhere)
        consumer = Consumer(client, "cost", identifier=f"cost{os.getpid()}", start="beginning")

        @consumer.handler
        def ignore(message: Message[Any]) -> None:
            return None

        begun = process_time()
        if reports:
            consumer.run(until="caught_up")
        else:
            with patch.object(StatusWriter, "join"):
                consumer.run(until="caught_up")
        return (process_time() - begun) / consumer.status().handled_count * 1e6


if __name__ == "__main__":
    main()
