"""Fail over again and again under load, and print what was lost: ``nox -s failover``.

    python -m failover             all of it, some minutes
    python -m failover --short     a minute or two
    python -m failover --patroni   clusters of Patroni, some minutes
    python -m failover --json FILE   write the figures into a file, too

Exits with 1 if a message was lost or doubled, an outcome was wrong, or too little was tried.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import make_sync

make_sync.make_untracked()

from servers.programs import get_version  # noqa: E402

from failover.patroni import run_patroni  # noqa: E402
from tests._async import failover_doubts as doubts_of_tasks  # noqa: E402
from tests._async import failover_load as tasks  # noqa: E402
from tests._sync import failover_doubts as doubts_of_threads  # noqa: E402
from tests._sync import failover_load as threads  # noqa: E402
from tests.support.replication import Cluster, Template  # noqa: E402
from tests.support.replication.figures import Figures  # noqa: E402


@dataclass(frozen=True)
class Amounts:
    """The amount of work of a run."""

    rounds_of_one: int
    rounds_of_many: int
    failovers: int
    seconds_away: float
    doubts: int


LONG = Amounts(rounds_of_one=6, rounds_of_many=4, failovers=5, seconds_away=60.0, doubts=100)
SHORT = Amounts(rounds_of_one=1, rounds_of_many=2, failovers=1, seconds_away=5.0, doubts=100)


@dataclass(frozen=True)
class Part:
    """One part of the run, on separate servers."""

    name: str
    synchronous: bool
    run: Callable[[Cluster, str], Figures]


def parts(amounts: Amounts) -> Iterator[Part]:
    """Return all parts: each in both variants, and with both kinds of replication if applicable."""

    def doubts(size: int, rounds: int, variant: str) -> Callable[[Cluster, str], Figures]:
        if variant == "async":
            return lambda cluster, name: asyncio.run(
                doubts_of_tasks.doubts(cluster, name, size, rounds)
            )
        return lambda cluster, name: doubts_of_threads.doubts(cluster, name, size, rounds)

    def load(variant: str) -> Callable[[Cluster, str], Figures]:
        if variant == "async":
            return lambda cluster, name: asyncio.run(tasks.load(cluster, name, amounts.failovers))
        return lambda cluster, name: threads.load(cluster, name, amounts.failovers)

    def away(variant: str) -> Callable[[Cluster, str], Figures]:
        if variant == "async":
            return lambda cluster, name: asyncio.run(
                tasks.away(cluster, name, amounts.seconds_away)
            )
        return lambda cluster, name: threads.away(cluster, name, amounts.seconds_away)

    for variant in ("async", "sync"):
        for kind, synchronous in (("synchronous", True), ("asynchronous", False)):
            where = f"{variant} client, {kind} replication"
            for size, rounds in ((1, amounts.rounds_of_one), (16, amounts.rounds_of_many)):
                yield Part(
                    f"COMMITs in doubt, pool of {size}, {where}",
                    synchronous,
                    doubts(size, rounds, variant),
                )
            yield Part(f"writers and consumers, {where}", synchronous, load(variant))
        yield Part(
            f"standby away for {amounts.seconds_away:.0f} s, {variant} client", True, away(variant)
        )


def main() -> int:
    """Run what the arguments say, and return the exit status."""
    parser = argparse.ArgumentParser(prog="failover", description="Fail over under load.")
    parser.add_argument("--short", action="store_true", help="try less")
    parser.add_argument("--patroni", action="store_true", help="with Patroni, etcd and HAProxy")
    parser.add_argument("--json", type=Path, help="write the figures into this file, too")
    given = parser.parse_args()
    if given.patroni:
        return run_patroni(short=given.short, file=given.json)
    return run_links_and_power(SHORT if given.short else LONG, given.json)


def run_links_and_power(amounts: Amounts, file: Path | None) -> int:
    """Run all parts on servers whose links and power are cut, and return the exit status."""
    begun = time.monotonic()
    total, failed = Figures(), []
    template = Template()
    print(f"servers: {template.programs}")
    try:
        for number, part in enumerate(parts(amounts)):
            since = time.monotonic()
            cluster = Cluster(template, synchronous=part.synchronous)
            try:
                figures = part.run(cluster, f"part{number}x")
            except Exception as error:
                failed.append(f"{part.name}: {type(error).__name__}: {error}")
                print(f"failed: {failed[-1]}")
                continue
            finally:
                cluster.close()
            total.add(figures)
            seconds = time.monotonic() - since
            print(
                f"{seconds:6.1f} s  {part.name}: {figures.failovers} failovers, "
                f"{figures.acknowledged} acknowledged, {figures.in_doubt} in doubt"
            )
            for problem in figures.problems(doubts=0, waiting=figures.most_waiting):
                if problem.startswith("not zero"):
                    print(f"          {problem}")
    finally:
        template.close()
    print()
    print("\n".join(total.lines()))
    print(f"{time.monotonic() - begun:9.1f}  seconds")
    failed += total.problems(doubts=amounts.doubts, waiting=4)
    if file is not None:
        run = {
            "date": datetime.now(UTC).date().isoformat(),
            "python": platform.python_version(),
            "server": get_version(template.programs),
            "seconds": round(time.monotonic() - begun),
            "figures": asdict(total),
            "failed": failed,
        }
        file.write_text(json.dumps(run, indent=1) + "\n")
    for problem in failed:
        print(f"FAILED: {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
