"""Clusters of Patroni under load: ``nox -s failover -- --patroni``."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from failover.report import NAMES, Report, SeenBy
from tests._async import failover_load as tasks
from tests._sync import failover_load as threads
from tests.support.patroni import PatroniCluster
from tests.support.replication.figures import Figures
from tests.support.replication.steps import Seen, Step

FEWEST = 10
"""Failovers of a run that is not a short one."""


class Limits(TypedDict):
    """Timeouts of a client, in seconds."""

    command_timeout: float
    timeout: float


BRIEF = Limits(command_timeout=2.0, timeout=2.0)
USUAL = Limits(command_timeout=30.0, timeout=10.0)
"""The defaults of a client."""


@dataclass(frozen=True)
class Part:
    """One part of the run: a variant of the client, its way to the primary, its timeouts."""

    variant: str
    road: str
    url: Callable[[], str]
    limits: Limits

    def run(
        self, cluster: PatroniCluster, category: str, steps: Sequence[Step]
    ) -> tuple[Figures, list[Seen]]:
        """Do the steps under writers and consumers, and return figures and what was seen."""
        figures = Figures(failovers=len(steps))
        store = cluster.url(user="postgres")
        if self.variant == "async":
            done = asyncio.run(tasks.under_load(self.url(), category, steps, **self.limits))
            tasks.take_load(figures, store, category, done, is_synchronous=True)
            return figures, done.seen
        finished = threads.under_load(self.url(), category, steps, **self.limits)
        threads.take_load(figures, store, category, finished, is_synchronous=True)
        return figures, finished.seen


def parts(cluster: PatroniCluster, *, short: bool) -> Iterator[Part]:
    """Return all parts: variants, ways to the primary and timeouts; or two that have most."""

    def hosts() -> str:
        return cluster.url(application_name=tasks.NAME)

    def haproxy() -> str:
        return cluster.url_of_haproxy(application_name=tasks.NAME)

    yield Part("async", "hosts", hosts, BRIEF)
    yield Part("sync", "HAProxy", haproxy, BRIEF)
    if not short:
        yield Part("sync", "hosts", hosts, BRIEF)
        yield Part("async", "HAProxy", haproxy, BRIEF)
        yield Part("async", "hosts", hosts, USUAL)
        yield Part("sync", "HAProxy", haproxy, USUAL)


def run_patroni(*, short: bool, file: Path | None) -> int:
    """Run all parts on one cluster, write the figures, and return the exit status."""
    # That there is no primary for some seconds is what it is about: the pool's warnings hide it.
    logging.disable(logging.WARNING)
    begun = time.monotonic()
    total, seen = Figures(), list[SeenBy]()
    cluster = PatroniCluster(nodes=3)
    try:
        versions = cluster.versions()
        print(", ".join(f"{name} {version}" for name, version in versions.items()))
        for number, part in enumerate(parts(cluster, short=short)):
            since = time.monotonic()
            figures, seen_by_part = part.run(cluster, f"patroni{number}x", cluster.steps())
            total.add(figures)
            print(
                f"{time.monotonic() - since:6.1f} s  {part.variant} client, {part.road}, "
                f"command_timeout {part.limits['command_timeout']:.0f} s: "
                f"{figures.failovers} failovers, {figures.acknowledged} acknowledged"
            )
            for each in seen_by_part:
                print(f"          {each}")
                seen.append(SeenBy(part.variant, part.road, part.limits["command_timeout"], each))
    finally:
        cluster.close()
    report = Report(
        versions=versions,
        nodes=len(cluster.places),
        timing=asdict(cluster.timing),
        figures={name: getattr(total, name) for name in NAMES},
        seen=seen,
        seconds=round(time.monotonic() - begun),
        date=datetime.now(UTC).date().isoformat(),
        python=platform.python_version(),
    )
    print()
    print("\n".join(total.lines(NAMES)))
    print(f"longest interruption\n{report.table()}")
    print(f"writes of unknown outcome; refused as unavailable\n{report.errors()}")
    print(f"{report.seconds:>9}  seconds")
    if file is not None:
        file.write_text(json.dumps(asdict(report), indent=2) + "\n")
    failed = total.problems(doubts=0, waiting=0) + report.problems(1 if short else FEWEST)
    for problem in failed:
        print(f"FAILED: {problem}")
    return 1 if failed else 0
