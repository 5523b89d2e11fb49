"""The processes of the trial, and what is done to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from messagedb.testing import FaultProxy

OWNERS = b"""
select p.number, m.name from messagedb.partitions p
left join messagedb.partition_members m on m.member = p.owner and m.category = p.category
where p.category = %s order by p.number
"""

MEMBERS = b"""
select name from messagedb.partition_members
where category = %s and expires_at > clock_timestamp()
"""


@dataclass
class Event:
    """Something that was done to a process, which owned partitions at that time."""

    kind: str
    worker: str
    at: float
    """By the clock of the server, in seconds."""
    numbers: list[int]


@dataclass
class Worker:
    """One process, which reaches the server by its proxy."""

    name: str
    process: subprocess.Popen[bytes]
    proxy: FaultProxy
    back_at: float = 0.0
    """When its pause or its cut ends; 0 for neither."""
    is_paused: bool = False


@dataclass
class Crowd:
    """The processes of one part of the trial.

    Args:
        admin: a superuser's conninfo of the database.
        conninfo: that of the processes.
        category: the category that they share.
        options: the options of the processes on their command line.
        folder: for their logs.
    """

    admin: str
    conninfo: str
    category: str
    options: list[str]
    folder: Path
    workers: list[Worker] = field(default_factory=list[Worker])
    events: list[Event] = field(default_factory=list[Event])
    count: int = 0

    def add(self) -> None:
        """Start another process: each second one runs threads."""
        self.count += 1
        name = f"{self.category}{self.count}"
        proxy = FaultProxy(self.conninfo)
        command = [sys.executable, "-m", "partitions.worker", proxy.conninfo, self.category, name]
        threads = ["--threads"] if self.count % 2 else []
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *self.options, *threads],
                stderr=log,
                env={**os.environ, "PYTHONPATH": "scripts"},
            )
        self.workers.append(Worker(name, process, proxy))

    def kill(self, worker: Worker) -> None:
        """Kill a process without warning."""
        self._note("killed", worker)
        worker.process.kill()
        self._remove(worker)

    def pause(self, worker: Worker, seconds: float) -> None:
        """Stop a process for some seconds, wherever it is."""
        self._note("paused", worker)
        worker.process.send_signal(signal.SIGSTOP)
        worker.is_paused, worker.back_at = True, time.monotonic() + seconds

    def cut_off(self, worker: Worker, seconds: float) -> None:
        """Lose all that a process sends and is sent, for some seconds."""
        self._note("cut off", worker)
        worker.proxy.drop()
        worker.back_at = time.monotonic() + seconds

    def leave(self, worker: Worker) -> None:
        """Ask a process to end in order."""
        self._end(worker, 40.0)

    def restore(self, *, everything: bool = False) -> None:
        """Let the processes go on whose time has come."""
        for worker in self.workers:
            if worker.back_at and (everything or time.monotonic() >= worker.back_at):
                worker.back_at = 0.0
                if worker.is_paused:
                    worker.is_paused = False
                    worker.process.send_signal(signal.SIGCONT)
                else:
                    worker.proxy.resume()

    def list_ended(self) -> list[str]:
        """Return the names of processes that have ended by themselves, which is a failure."""
        return [worker.name for worker in self.workers if worker.process.poll() is not None]

    def end(self) -> None:
        """End all processes in order, and kill those that do not end."""
        self.restore(everything=True)
        for worker in self.workers:
            worker.process.terminate()
        for worker in list(self.workers):
            self._end(worker, 20.0)

    def _end(self, worker: Worker, seconds: float) -> None:
        worker.process.terminate()
        try:
            worker.process.wait(seconds)
        except subprocess.TimeoutExpired:
            # On a machine that is too busy.
            worker.process.kill()
        self._remove(worker)

    def list_owners(self) -> dict[int, str | None]:
        """Return the name of each partition's owner; None for one that none lives of."""
        rows: list[Any] = self._query(OWNERS, (self.category,))
        return dict(rows)

    def list_free(self) -> list[Worker]:
        """Return the processes that are members, and are neither paused nor cut off."""
        names = {name for (name,) in self._query(MEMBERS, (self.category,))}
        return [each for each in self.workers if not each.back_at and each.name in names]

    def _note(self, kind: str, worker: Worker) -> None:
        ((at,),) = self._query(b"select extract(epoch from clock_timestamp())::float8", ())
        owned = [number for number, name in self.list_owners().items() if name == worker.name]
        self.events.append(Event(kind, worker.name, at, owned))

    def _query(self, text: bytes, values: tuple[Any, ...]) -> list[Any]:
        with psycopg.connect(self.admin, autocommit=True) as conn:
            return conn.execute(text, values).fetchall()

    def _remove(self, worker: Worker) -> None:
        worker.process.wait(30)
        worker.proxy.close()
        self.workers.remove(worker)
