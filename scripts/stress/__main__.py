"""Load a store beyond what it is built for, and compare what is there: ``nox -s stress``.

    python -m stress             all of it, some minutes, with 4 GB of memory
    python -m stress --short     less of each, within 30 seconds

Exits with 1 if a message was lost, doubled or misplaced, a consumer left one out or got one twice,
or an error came that was not expected.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import make_sync

make_sync.make_untracked()

from trials import memory  # noqa: E402
from trials.figures import Figures, Run  # noqa: E402
from trials.options import build_parser  # noqa: E402
from trials.servers import Server, open_server, store_conninfo  # noqa: E402

from tests._async import stress_crowd as crowd_of_tasks  # noqa: E402
from tests._async import stress_large as large_of_tasks  # noqa: E402
from tests._sync import stress_crowd as crowd_of_threads  # noqa: E402
from tests._sync import stress_large as large_of_threads  # noqa: E402
from tests.support.ledger import Ledger  # noqa: E402

FIGURES = {
    "acknowledged": "messages acknowledged",
    "lost": "of these not stored (0)",
    "doubled": "stored twice (0)",
    "misplaced": "at another position than was returned (0)",
    "deliveries": "messages times consumers that had to handle them",
    "unhandled": "of these never handled (0)",
    "repeated": "handled more than once (0)",
    "disordered": "consumers that handled them in another order than the store's (0)",
}


@dataclass(frozen=True)
class Amounts:
    """The amount of work of a run."""

    each: int
    grouped: int
    """Messages of each writer, without and with group commit."""
    consumers: int
    held: float
    size: int
    too_large: int
    """Bytes of text of a message that does not fit; 0 to write none: it takes half a minute."""
    count: int


LARGEST = large_of_tasks.LARGEST
LONG = Amounts(
    each=100,
    grouped=1_000,
    consumers=60,
    held=60.0,
    size=LARGEST,
    too_large=LARGEST + 1,
    count=500_000,
)
SHORT = Amounts(
    each=8, grouped=40, consumers=12, held=1.5, size=4_000_000, too_large=0, count=10_000
)

Part = tuple[str, Callable[[str, str, str], Ledger]]


def parts(amounts: Amounts) -> Iterator[Part]:
    """Return all parts, each in both variants: functions of conninfo, admin and category."""
    each, consumers, held = amounts.each, amounts.consumers, amounts.held
    size, too_large, count = amounts.size, amounts.too_large, amounts.count
    many = f"{crowd_of_tasks.WRITERS} writers and {consumers} consumers on pools of "
    many += str(crowd_of_tasks.POOL)
    yield (
        f"async: {many}",
        lambda c, a, n: asyncio.run(crowd_of_tasks.crowd(c, a, n, each, consumers)),
    )
    yield f"sync: {many}", lambda c, a, n: crowd_of_threads.crowd(c, a, n, each, consumers)
    grouped = f"{amounts.grouped} messages of each of {crowd_of_tasks.WRITERS} writers in groups"
    yield (
        f"async: {grouped}",
        lambda c, a, n: asyncio.run(crowd_of_tasks.crowd(c, a, n, amounts.grouped, 2, True)),
    )
    yield (
        f"sync: {grouped}",
        lambda c, a, n: crowd_of_threads.crowd(c, a, n, amounts.grouped, 2, True),
    )
    long = f"transactions held for {held:g} s under an AllConsumer"
    yield f"async: {long}", lambda c, a, n: asyncio.run(crowd_of_tasks.hold(c, a, n, held))
    yield f"sync: {long}", lambda c, a, n: crowd_of_threads.hold(c, a, n, held)
    large = f"messages with {size:,} bytes of text"
    large += f", and refused ones of {too_large:,}" if too_large else ""
    yield (
        f"async: {large}",
        lambda c, _, n: asyncio.run(large_of_tasks.write_large(c, n, size, too_large)),
    )
    yield f"sync: {large}", lambda c, _, n: large_of_threads.write_large(c, n, size, too_large)
    batches = f"batches of {count:,}, a stream of {2 * count:,}"
    yield (
        f"async: {batches}",
        lambda c, a, n: asyncio.run(large_of_tasks.write_batches(c, a, n, count)),
    )
    yield f"sync: {batches}", lambda c, a, n: large_of_threads.write_batches(c, a, n, count)


def main() -> int:
    """Run all parts, and return the exit status."""
    options = build_parser("stress", "Load a store beyond what it is built for.").parse_args()
    figures = Figures(FIGURES)
    run = Run("stress", options.short, figures)
    with open_server(options.server) as server:
        environment = server.describe()
        print(f"PostgreSQL {environment['PostgreSQL']}, fsync {environment['fsync']}", flush=True)
        _run_parts(run, server, SHORT if options.short else LONG)
    return run.finish(environment, options.json)


def _run_parts(run: Run, server: Server, amounts: Amounts) -> None:
    admin = server.new_database("ours")
    for number, (name, function) in enumerate(parts(amounts)):
        with run.part(name) as part:
            memory.reset_peak()
            begins_with = memory.get_resident()
            ledger = function(store_conninfo(admin), admin, f"part{number}x")
            run.figures.add(**asdict(ledger))
            counts = {name: count for name, count in asdict(ledger).items() if count}
            part.measured |= counts
            part.measured |= {"MB at begin": begins_with, "MB at most": memory.get_peak()}


if __name__ == "__main__":
    sys.exit(main())
