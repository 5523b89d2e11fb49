"""Keep a mixed load for minutes, and measure what grows: ``nox -s soak -- MINUTES``.

    python -m soak 10 --json docs/figures/soak.json     ten minutes; draws soak.svg beside the JSON
    python -m soak --short                              eight seconds

Exits with 1 if a message was lost or doubled, or a part of the load failed. What has grown is
printed, and not judged: a line over seconds is no proof.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from pathlib import Path

import make_sync

make_sync.make_untracked()

import psycopg  # noqa: E402
from trials.figures import Figures, Run  # noqa: E402
from trials.options import build_parser  # noqa: E402
from trials.servers import open_server, store_conninfo  # noqa: E402
from trials.variants import VARIANTS  # noqa: E402

from tests._async import soak_load as tasks  # noqa: E402
from tests._sync import soak_load as threads  # noqa: E402

from .samples import MEASURES, Sampler  # noqa: E402

NAME = "soak"
SHORT_SECONDS = 8.0

FIGURES = {
    "acknowledged": "messages acknowledged",
    "decisions": "commands of entities decided",
    "handled": "messages handled, by all consumers",
    "copies": "effects of transactional consumers",
    "rolled_back": "transactions rolled back",
    "restarts": "restarts of consumers",
    "samples": "samples taken",
    "lost": "lost (0)",
    "doubled": "doubled (0)",
}


def main() -> int:
    """Run both variants in one process, and return the exit status."""
    options = _parse_options()
    seconds = SHORT_SECONDS if options.short else options.minutes * 60
    run = Run("soak", options.short, Figures(FIGURES), load_seconds=seconds)
    with open_server(options.server) as server:
        environment = server.describe()
        print(f"PostgreSQL {environment['PostgreSQL']}, {seconds:g} s of load", flush=True)
        admin = server.new_database("ours")
        with psycopg.connect(admin, autocommit=True) as conn:
            sampler = _soak(run, admin, conn, seconds)
    for name, unit in MEASURES.items():
        values = sampler.samples.values[name]
        slope = sampler.samples.compute_slope(name)
        run.add_fact(
            name,
            {
                "first": values[0],
                "last": values[-1],
                "most": max(values),
                "per_minute": round(slope, 3),
            },
        )
        print(f"{slope:+12.2f}  per minute: {unit} ({values[0]:g} first, {max(values):g} at most)")
    if options.json is not None and not options.short:
        _draw(sampler, seconds, options.json.with_suffix(".svg"))
    return run.finish(environment, options.json)


def _parse_options() -> argparse.Namespace:
    parser = build_parser("soak", "Keep a mixed load for minutes, and measure what grows.")
    parser.add_argument("minutes", type=float, nargs="?", default=10.0, help="of load (10)")
    return parser.parse_args()


def _soak(run: Run, admin: str, conn: psycopg.Connection, seconds: float) -> Sampler:
    """Run the load of both variants, and take samples meanwhile."""
    conninfo = store_conninfo(admin, NAME)
    over = threading.Event()
    of_tasks, of_threads = tasks.Soak("tasks"), threads.Soak("threads")
    sampler = Sampler(conn, NAME, lambda: max(of_tasks.get_lag(), of_threads.get_lag()))

    async def run_tasks() -> None:
        sampler.loop = asyncio.get_running_loop()
        await tasks.run_soak(conninfo, admin, of_tasks, over.is_set)
        sampler.loop = None

    def run_threads() -> None:
        threads.run_soak(conninfo, admin, of_threads, over.is_set)

    def attempt(name: str) -> None:
        with run.part(f"{name} client"):
            asyncio.run(run_tasks()) if name == "async" else run_threads()

    loads = [threading.Thread(target=attempt, args=[name], name=name) for name in VARIANTS]
    for load in loads:
        load.start()
    # The first second is that of the start: pools and consumers are not complete.
    until = time.monotonic() + seconds
    while time.monotonic() < until and all(load.is_alive() for load in loads):
        over.wait(1.0)
        sampler.take()
    over.set()
    for load in loads:
        load.join()
    run.figures.add(samples=len(sampler.samples.seconds))
    for soak in (of_tasks, of_threads):
        run.figures.add(
            acknowledged=soak.acknowledged.total,
            decisions=soak.deposited,
            handled=sum(counts.total for counts in soak.handled.values()),
            copies=soak.copies,
            rolled_back=soak.rolled_back,
            restarts=soak.restarts,
            lost=soak.lost,
            doubled=soak.doubled,
        )
    return sampler


def _draw(sampler: Sampler, seconds: float, path: Path) -> None:
    from . import charts

    title = f"{seconds / 60:g} minutes of mixed load, both variants in one process"
    charts.draw(sampler.samples, title, path)
    print(f"drawn: {path}")


if __name__ == "__main__":
    sys.exit(main())
