"""Change the number of partitions under load, and kill the processes that do it.

The changes go from 16 to 32, 8 and 16 again. At random moments the call is killed, or a process
that runs partitions. It fails if a message was not handled, or handled out of order; with
transactions, if it was handled twice; or if a process ended by itself.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psycopg
from trials.figures import Run
from trials.servers import Server, store_conninfo

from messagedb import Client, NewMessage
from partitions.checks import TABLE, count_problems, load_effects
from partitions.crowd import Crowd

SIZES = (32, 8, 16)
STREAMS = 96
WORKERS = 4
LEASE = 2.0
KILLS = 30
SHORT_KILLS = 2
FIGURES = {
    "written": "messages written",
    "changed": "changes of the number of partitions",
    "killed_callers": "calls killed that change it",
    "killed_members": "processes killed meanwhile",
    "unhandled": "messages never handled (0)",
    "disordered": "streams handled out of order (0)",
    "doubled": "handled twice with transactional=True (0)",
    "ended": "processes that ended by themselves (0)",
}
CHANGE = """
import sys
from messagedb import Client
with Client(sys.argv[1], max_size=2) as client:
    client.resize_partitions(sys.argv[2], "trial", int(sys.argv[3]), timeout=90)
"""
SET = b"select size, phase from messagedb.partition_sets where category = %s"


class Changes:
    """Changes the number of partitions, and kills who does it.

    Args:
        crowd: the processes.
        dice: decides who is killed, and when.

    Attributes:
        done: the number of changes that are done.
        killed_callers: how many calls were killed before their end.
        killed_members: how many processes were.
        phases: the phases in which something was killed.
    """

    def __init__(self, crowd: Crowd, dice: random.Random) -> None:
        self.done = self.killed_callers = self.killed_members = 0
        self.phases: dict[str, int] = {}
        self.seconds: list[float] = []
        self._crowd = crowd
        self._dice = dice
        self._sizes = itertools.cycle(SIZES)

    @property
    def kills(self) -> int:
        """How many processes were killed."""
        return self.killed_callers + self.killed_members

    def change(self, least_kills: int) -> None:
        """Change to the next size, and kill up to three processes before it is done."""
        size = next(self._sizes)
        begun = time.monotonic()
        caller: subprocess.Popen[bytes] | None = self._call(size)
        kills = self._dice.randint(1, 3)
        until = begun + 120
        next_kill = begun + self._dice.uniform(0.1, 2.0)
        while True:
            found, phase = self._read()
            if found == size and phase is None:
                break
            now = time.monotonic()
            if now > until:
                raise TimeoutError(f"{found} partitions, {phase}, instead of {size}")
            if caller is not None and caller.poll() not in (None, 0):
                raise RuntimeError(f"the change to {size} has failed")
            # Seldom before it has begun.
            is_due = now >= next_kill and (phase is not None or self._dice.random() < 0.02)
            if kills and is_due and self.kills < least_kills:
                kills -= 1
                next_kill = now + self._dice.uniform(0.1, 2.0)
                caller = self._kill(caller, size, phase)
            time.sleep(0.05)
        self.seconds.append(round(time.monotonic() - begun, 2))
        self.done += 1
        print(f"  {size} partitions after {self.seconds[-1]} s, {self.kills} kills", flush=True)
        if caller is not None:
            caller.wait(60)

    def _kill(
        self, caller: subprocess.Popen[bytes] | None, size: int, phase: str | None
    ) -> subprocess.Popen[bytes] | None:
        """Kill the caller, or a process with partitions; return the caller, if there is one."""
        name = phase or "preparing"
        self.phases[name] = self.phases.get(name, 0) + 1
        # Of the first two, one each.
        is_call = self.kills == 0 or (self.kills > 1 and self._dice.random() < 0.4)
        if caller is not None and is_call:
            caller.kill()
            caller.wait(30)
            self.killed_callers += 1
            # If it was stored, the processes finish it.
            if phase is not None and self._dice.random() < 0.5:
                return None
            return self._call(size)
        self._crowd.kill(self._dice.choice(self._crowd.workers))
        self._crowd.add()
        self.killed_members += 1
        return caller

    def _call(self, size: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", CHANGE, self._crowd.conninfo, self._crowd.category]
        return subprocess.Popen([*command, str(size)], env={**os.environ, "PYTHONPATH": "src"})

    def _read(self) -> tuple[int, str | None]:
        with psycopg.connect(self._crowd.admin, autocommit=True) as conn:
            row: Any = conn.execute(SET, (self._crowd.category,)).fetchone()
        size, phase = row
        return size, phase


class Writer:
    """Writes numbered messages to the streams in turn, until it is to stop."""

    def __init__(self, conninfo: str, category: str) -> None:
        self.written: dict[str, int] = defaultdict(int)
        self._conninfo, self._category = conninfo, category
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        with Client(self._conninfo, max_size=2) as client:
            for number in itertools.count():
                stream = f"{self._category}-{number % STREAMS}"
                client.write_message(stream, NewMessage("Written", {"n": number // STREAMS}))
                self.written[stream] += 1
                if self._stopping.wait(0.005):
                    return

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopping.set()
        self._thread.join()


def run_part(run: Run, server: Server, kills: int, *, transactional: bool, seed: int) -> None:
    """Change the number of partitions beside a writer until so many processes were killed."""
    admin = server.new_database("ours")
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(TABLE)
    options = ["--partitions", "16", "--lease-timeout", str(LEASE)]
    options += ["--transactional"] if transactional else []
    name = "with" if transactional else "without"
    with (
        run.part(f"{name} transactions, {kills} kills") as part,
        tempfile.TemporaryDirectory(prefix="partitions-") as folder,
    ):
        crowd = Crowd(admin, store_conninfo(admin), "trial", options, Path(folder))
        changes = Changes(crowd, random.Random(seed))
        try:
            for _ in range(WORKERS):
                crowd.add()
            _wait_for_members(crowd)
            writer = Writer(crowd.conninfo, crowd.category)
            while changes.kills < kills:
                changes.change(kills)
            writer.stop()
            problems = _wait_until_handled(admin, writer.written)
            run.figures.add(ended=len(crowd.list_ended()))
        except BaseException:
            for path in sorted(Path(folder).iterdir()):
                print(path.name, *path.read_text().splitlines()[-12:], sep="\n  ")
            raise
        finally:
            crowd.end()
        repeated = problems.pop("repeated")
        run.figures.add(
            written=sum(writer.written.values()),
            changed=changes.done,
            killed_callers=changes.killed_callers,
            killed_members=changes.killed_members,
            doubled=repeated if transactional else 0,
            **problems,
        )
        seconds = sorted(changes.seconds)
        part.measured |= {
            "changes": changes.done,
            "handled more than once": repeated,
            "s median of a change": seconds[len(seconds) // 2],
            "s at most": seconds[-1],
            **{f"kills while {phase}": count for phase, count in sorted(changes.phases.items())},
        }


def _wait_for_members(crowd: Crowd) -> None:
    until = time.monotonic() + 60
    while len(set(crowd.list_owners().values()) - {None}) < WORKERS:
        if time.monotonic() > until:
            raise TimeoutError("the processes have not begun within 60 s")
        time.sleep(0.2)


def _wait_until_handled(admin: str, written: dict[str, int]) -> dict[str, int]:
    until = time.monotonic() + 180
    while True:
        problems = count_problems(load_effects(admin), written)
        if not problems["unhandled"] or time.monotonic() > until:
            return problems
        time.sleep(0.5)
