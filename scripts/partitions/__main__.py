"""Kill, pause and cut off processes that share partitions: ``nox -s partitions``.

    python -m partitions               50 kills each with transactions and without: 16 minutes
    python -m partitions --resizes     change the number of partitions, with 30 kills each
    python -m partitions --short       fewer of both, within a minute

Exits with 1 if a message was not handled, or handled out of order; with transactions, if it was
handled twice; if a partition of an owner that was gone waited for longer than its lease and two
seconds; or if the partitions were unevenly divided at rest.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import make_sync

make_sync.make_untracked()

import psycopg  # noqa: E402
from trials.figures import Figures, Run  # noqa: E402
from trials.options import build_parser  # noqa: E402
from trials.servers import Server, open_server, store_conninfo  # noqa: E402

from messagedb import Client, NewMessage  # noqa: E402
from partitions import resizes  # noqa: E402
from partitions.checks import (  # noqa: E402
    TABLE,
    count_problems,
    find_delays,
    load_effects,
    summarize,
)
from partitions.crowd import Crowd  # noqa: E402

SIZE = 16
STREAMS = 96
FIGURES = {
    "written": "messages written",
    "killed": "processes killed",
    "paused": "processes paused",
    "cut": "processes cut off",
    "recovered": "partitions of such a process that another one handled again",
    "late": "of these later than the lease timeout and 2 s, with --short 6 s (0)",
    "unhandled": "messages never handled (0)",
    "disordered": "streams handled out of order (0)",
    "doubled": "handled twice with transactional=True (0)",
    "uneven": "partitions too many in a process at rest (0)",
    "ended": "processes that ended by themselves (0)",
}


@dataclass(frozen=True)
class Amounts:
    """The amount of work of a part."""

    messages: int
    kills: int
    pauses: int
    cuts: int
    most: int
    """The largest number of processes."""
    lease: float
    """Seconds of the lease timeout."""
    grace: float = 2.0
    """Seconds after which, in addition, a partition is handled again: more on a busy machine."""


LONG = Amounts(messages=50_000, kills=50, pauses=12, cuts=12, most=12, lease=3.0)
SHORT = Amounts(messages=1_500, kills=3, pauses=1, cuts=1, most=5, lease=2.0, grace=6.0)


class Writer:
    """Writes numbered messages to the streams in turn, evenly over a time."""

    def __init__(self, conninfo: str, category: str, count: int, seconds: float) -> None:
        self.written: dict[str, int] = defaultdict(int)
        self._arguments = (conninfo, category, count, seconds)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        conninfo, category, count, seconds = self._arguments
        begun = time.monotonic()
        with Client(conninfo, max_size=2) as client:
            for number in range(count):
                stream = f"{category}-{number % STREAMS}"
                message = NewMessage("Written", {"n": number // STREAMS})
                client.write_message(stream, message)
                self.written[stream] += 1
                ahead = number / count * seconds - (time.monotonic() - begun)
                if ahead > 0.02:
                    time.sleep(ahead)

    def join(self) -> None:
        """Wait until all are written."""
        self._thread.join()


def plan_actions(amounts: Amounts, dice: random.Random) -> Iterator[str]:
    """Return the actions in a random order: each kill is followed by a new process."""
    actions = ["kill"] * amounts.kills + ["pause"] * amounts.pauses + ["cut"] * amounts.cuts
    moves = max(len(actions) // 4, 1)
    actions += ["join"] * moves + ["leave"] * moves
    dice.shuffle(actions)
    return iter(actions)


def act(crowd: Crowd, action: str, amounts: Amounts, dice: random.Random) -> None:
    """Do one thing to the processes, of which at least two others are members and live."""
    _wait(lambda: _count_free(crowd) >= 3, 60)
    free = crowd.list_free()
    owners = Counter(crowd.list_owners().values())
    owning = [each for each in free if owners[each.name]]
    seconds = dice.uniform(1.5, 2.5) * amounts.lease
    if action == "join":
        if len(crowd.workers) < amounts.most:
            crowd.add()
        return
    if not owning:
        return
    worker = dice.choice(owning)
    if action == "kill":
        crowd.kill(worker)
        crowd.add()
    elif action == "pause":
        crowd.pause(worker, seconds)
    elif action == "cut":
        crowd.cut_off(worker, seconds)
    else:
        crowd.leave(worker)
        crowd.add()


def _count_free(crowd: Crowd) -> int:
    crowd.restore()
    return len(crowd.list_free())


def run_part(run: Run, server: Server, amounts: Amounts, *, transactional: bool, seed: int) -> None:
    """Run one part: with transactions, or without."""
    dice = random.Random(seed)
    admin = server.new_database("ours")
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(TABLE)
    conninfo, category = store_conninfo(admin), "trial"
    options = ["--partitions", str(SIZE), "--lease-timeout", str(amounts.lease)]
    options += ["--transactional"] if transactional else []
    name = "with" if transactional else "without"
    with (
        run.part(f"{name} transactions, {amounts.messages:,} messages") as part,
        tempfile.TemporaryDirectory(prefix="partitions-") as folder,
    ):
        crowd = Crowd(admin, conninfo, category, options, Path(folder))
        try:
            for _ in range(4):
                crowd.add()
            _wait(lambda: None not in crowd.list_owners().values() and crowd.list_owners(), 60)
            actions = list(plan_actions(amounts, dice))
            pause = amounts.lease + 0.5
            writer = Writer(conninfo, category, amounts.messages, len(actions) * pause)
            for action in actions:
                act(crowd, action, amounts, dice)
                begun = time.monotonic()
                while time.monotonic() - begun < pause * dice.uniform(0.6, 1.4):
                    crowd.restore()
                    time.sleep(0.05)
            writer.join()
            crowd.restore(everything=True)
            _wait(lambda: _is_everything_handled(admin, writer.written), 120)
            run.figures.add(ended=len(crowd.list_ended()), uneven=_find_unevenness(crowd))
        except BaseException:
            for path in sorted(Path(folder).iterdir()):
                print(path.name, *path.read_text().splitlines()[-12:], sep="\n  ")
            raise
        finally:
            crowd.end()
        kinds = Counter(event.kind for event in crowd.events)
        effects = load_effects(admin)
        delays = find_delays(effects, crowd.events, SIZE)
        problems = count_problems(effects, writer.written)
        limit = amounts.lease + amounts.grace
        repeated = problems.pop("repeated")
        run.figures.add(
            written=sum(writer.written.values()),
            killed=kinds["killed"],
            paused=kinds["paused"],
            cut=kinds["cut off"],
            recovered=len(delays),
            late=sum(delay > limit for delay, _, _ in delays),
            doubled=repeated if transactional else 0,
            **problems,
        )
        part.measured |= {**summarize(delays), "handled more than once": repeated}
        part.measured |= {"s of the lease": amounts.lease, "processes": crowd.count}
        for delay, kind, number in delays[-3:]:
            print(f"  the owner of partition {number} was {kind}: {delay} s")


def _is_everything_handled(admin: str, written: dict[str, int]) -> bool:
    return not count_problems(load_effects(admin), written)["unhandled"]


def _find_unevenness(crowd: Crowd) -> int:
    """Return by how much the partitions are unevenly divided, when all has come to rest."""
    found = 0

    def is_even() -> bool:
        nonlocal found
        owners = Counter(crowd.list_owners().values())
        shares = [owners[worker.name] for worker in crowd.workers]
        found = max(max(shares) - min(shares) - 1, 0) + owners[None]
        return not found

    try:
        _wait(is_even, 20)
    except TimeoutError:
        print(f"  not even: {Counter(crowd.list_owners().values())}")
    return found


def _wait(condition: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not so within {seconds:g} s")
        time.sleep(0.2)


def main() -> int:
    """Run both parts, and return the exit status."""
    parser = build_parser("partitions", "Kill, pause and cut off processes that share partitions.")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument(
        "--resizes", action="store_true", help="change the number of partitions, and kill meanwhile"
    )
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    status = 0
    with open_server(options.server, fast=True) as server:
        if not options.resizes:
            run = Run("partitions", options.short, Figures(FIGURES), seed=options.seed)
            amounts = SHORT if options.short else LONG
            for transactional in (False, True):
                run_part(run, server, amounts, transactional=transactional, seed=options.seed)
            status = run.finish(server.describe(), options.json)
        if options.resizes or options.short:
            run = Run("resizes", options.short, Figures(resizes.FIGURES), seed=options.seed)
            for transactional in (True,) if options.short else (False, True):
                resizes.run_part(
                    run,
                    server,
                    resizes.SHORT_KILLS if options.short else resizes.KILLS,
                    transactional=transactional,
                    seed=options.seed,
                )
            status |= run.finish(server.describe(), options.json if options.resizes else None)
    return status


if __name__ == "__main__":
    sys.exit(main())
