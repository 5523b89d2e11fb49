"""Idle consumers: what many of them in one process cost the server, and a writer beside them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Final, NamedTuple

import msgspec

from messagedb import Client

from . import payload
from .children import answer, start
from .idle_child import Cost, Job, Started
from .measure import Comparison, Measure
from .report import MILLISECONDS, Section
from .servers import Database
from .topic import Bench, Topic

# Until then each consumer has reached its longest interval.
_SETTLE_SECONDS: Final = 22.0
_WINDOW_SECONDS: Final = 15.0
_WRITES_PER_SECOND: Final = 50
# Among the fields of a process from the third on: its parent, and the ticks of children that ended.
_PARENT: Final = 1
_CHILDREN: Final = slice(13, 15)
_MOST_CPU: Final = 2.0
_MOST_LATENCY: Final = 1.5


class _Round(NamedTuple):
    """The cost of one round of one number of consumers, in seconds.

    Attributes:
        start: until the last of the consumers has caught up.
        server: CPU time of all processes of the server, in each second.
        client: CPU time of the consumers' process, in each second.
        latencies: those of the writes beside them.
    """

    start: float
    server: float
    client: float
    latencies: list[float]

    def find_percentile(self, share: float) -> float:
        """Return the latency that this share of the writes does not exceed."""
        return sorted(self.latencies)[math.ceil(len(self.latencies) * share) - 1]


def run(bench: Bench) -> Iterator[Section]:
    """Let no, a few and many consumers wait beside a writer, in turn."""
    counts = bench.pick((0, 10, 100, 1000), (0, 2, 4))
    rounds: list[list[_Round]] = [[] for _ in counts]
    with bench.server.genuine() as genuine, Client(genuine.conninfo) as writer:
        prefix = payload.category("idle")
        for number in range(max(counts)):
            writer.write_message(payload.stream(f"{prefix}x{number}"), payload.message())
        genuine.settle()
        for _ in range(bench.rounds):
            for count, found in zip(counts, rounds, strict=True):
                found.append(_measure(bench, genuine, writer, prefix, count))
    yield from _sections(counts, rounds)


def _measure(bench: Bench, database: Database, writer: Client, prefix: str, count: int) -> _Round:
    settle, window = bench.pick((_SETTLE_SECONDS, _WINDOW_SECONDS), (0.1, 0.3))
    stream = payload.stream(payload.category("beside"))
    with _consumers(database, prefix, count) as child:
        sleep(settle if count else 0.1)
        before, begun, client = _server_seconds(database), monotonic(), child.ask()
        latencies = _write(writer, stream, window)
        seconds = monotonic() - begun
        server = _server_seconds(database) - before
        return _Round(child.start, server / seconds, (child.ask() - client) / seconds, latencies)


class _Consumers:
    """The process of the consumers; none for no consumers."""

    def __init__(self, database: Database, prefix: str, count: int) -> None:
        self._child = None
        self.start = 0.0
        if count:
            job = Job(database.conninfo, prefix, count)
            self._child = start("idle_child", msgspec.json.encode(job))
            self.start = msgspec.json.decode(answer(self._child), type=Started).seconds

    def ask(self) -> float:
        """Return the CPU time that it has used."""
        if self._child is None:
            return 0.0
        assert self._child.stdin is not None
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()
        return msgspec.json.decode(answer(self._child), type=Cost).seconds

    def end(self) -> None:
        """Let it stop its consumers, and wait for its end."""
        if self._child is not None:
            self._child.communicate()


@contextmanager
def _consumers(database: Database, prefix: str, count: int) -> Iterator[_Consumers]:
    consumers = _Consumers(database, prefix, count)
    try:
        yield consumers
    finally:
        consumers.end()


def _write(writer: Client, stream: str, seconds: float) -> list[float]:
    """Write at an even pace, and return how long each write took."""
    latencies: list[float] = []
    begun = perf_counter()
    for number in range(max(int(seconds * _WRITES_PER_SECOND), 1)):
        sleep(max(begun + number / _WRITES_PER_SECOND - perf_counter(), 0.0))
        called = perf_counter()
        writer.write_message(stream, payload.message())
        latencies.append(perf_counter() - called)
    return latencies


def _server_seconds(database: Database) -> float:
    """Return the CPU time that the processes of the server have used, also those that ended.

    Raises:
        RuntimeError: the server does not run on this machine.
    """
    postmaster = str(database.ask("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"))
    if not Path("/proc", postmaster, "schedstat").exists():
        raise RuntimeError("the CPU time of the server is not known: it must run on this Linux")
    ended = sum(int(field) for field in _fields(postmaster)[_CHILDREN]) / os.sysconf("SC_CLK_TCK")
    running = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if folder.name == postmaster or _fields(folder.name)[_PARENT] == postmaster:
                    running += int(Path(folder, "schedstat").read_text().split()[0])
            except (OSError, IndexError):
                continue
    return ended + running / 1e9


def _fields(pid: str) -> list[str]:
    """Return the fields of a process's ``stat`` from the third on: the second is in brackets."""
    return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()


def _sections(counts: Sequence[int], rounds: list[list[_Round]]) -> Iterator[Section]:
    names = [f"messagedb: {count:,} consumers" if count else "messagedb: none" for count in counts]
    server = [
        Measure(name=name, samples=[each.server for each in found])
        for name, found in zip(names, rounds, strict=True)
    ]
    yield Section(
        title="CPU time of the server in each second",
        unit=MILLISECONDS,
        measures=server,
        comparisons=[_ratio(server[-1], server[1], _MOST_CPU)],
        note=f"A writer beside them writes {_WRITES_PER_SECOND} messages a second.",
    )
    for share, title, limit in ((0.5, "median", None), (0.99, "99th percentile", _MOST_LATENCY)):
        latencies = [
            Measure(name=name, samples=[each.find_percentile(share) for each in found])
            for name, found in zip(names, rounds, strict=True)
        ]
        yield Section(
            title=f"a write beside them, {title}",
            unit=MILLISECONDS,
            measures=latencies,
            comparisons=[_ratio(latencies[-1], latencies[0], limit)],
        )
    yield Section(
        title="CPU time of their process in each second",
        unit=MILLISECONDS,
        measures=[
            Measure(name=name, samples=[each.client for each in found])
            for name, found in zip(names[1:], rounds[1:], strict=True)
        ],
    )
    yield Section(
        title="from the start of the first to the moment when all have caught up",
        unit=MILLISECONDS,
        measures=[
            Measure(name=name, samples=[each.start for each in found])
            for name, found in zip(names[1:], rounds[1:], strict=True)
        ],
    )


def _ratio(many: Measure, few: Measure, wanted: float | None) -> Comparison:
    ratios = [mine / theirs for mine, theirs in zip(many.samples, few.samples, strict=True)]
    return Comparison(
        name=f"{many.name} ÷ {few.name}",
        rival=few.name,
        value=many.median / few.median,
        low=min(ratios),
        high=max(ratios),
        wanted=wanted,
        at_most=wanted is not None,
    )


TOPIC = Topic(
    "idle",
    "Idle consumers",
    "A separate process runs consumers of one AsyncClient with the default settings, each of"
    " another category, without messages to read. When they have reached their longest poll"
    " interval, a client in another process writes at an even pace, and the CPU time of all"
    " processes of the server is measured.",
    run,
)
