"""Move a category between two nodes, killed at each step: ``nox -s moves``.

    python -m trials.move_category             killed at each of the 15 steps: some minutes
    python -m trials.move_category --short     killed at 3 of them: a minute

Beside 4 writers and a consumer the category goes from one of two nodes to the other and back; the
process that moves it is killed at a step, and the move is then finished or aborted. In the end
every message that was written is in its stream once, and the consumer has recorded each once;
otherwise it exits with 1. It prints the times of a move that is not killed, the longest write that
waited for its end, and the longest other one.
It needs a PostgreSQL that has PL/Proxy.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from figures import COMMANDS

from messagedb import (
    Client,
    Consumer,
    Context,
    Message,
    NewMessage,
    OutcomeUnknownError,
    PositionConflictError,
    StoreUnavailableError,
    TablePositionStore,
    schema,
)
from tests.support.plproxy import find_programs
from tests.support.several_nodes import SeveralNodes
from trials.figures import Figures, Run

STEPS: Final = (
    "preparing",
    "recorded",
    "copying",
    "stopping consumers",
    "stopped consumers",
    "waiting for writes",
    "closed the map",
    "closed the node",
    "copied",
    "switching",
    "switched",
    "stored positions",
    "retired the original",
    "opened the copy",
    "ended",
)
"""All steps of a move, in their order."""

ABORTABLE: Final = STEPS[1:10]
"""Those that leave a move that can be aborted."""

SHORT: Final = ("copying", "closed the node", "switched")

FIGURES: Final = COMMANDS["moves"][1]

LEASE_TIMEOUT: Final = 2.0
_WRITERS: Final = 4
_TRANSIENT: Final = 60.0


class Outcome(msgspec.Struct, frozen=True):
    """The findings of a trial.

    Attributes:
        written: the number of messages that writers wrote.
        lost: those that are not in their streams.
        doubled: those that are there more than once, or at another place than the write said.
        unhandled: those that the consumer did not record.
        handled_twice: those that it recorded more than once.
        kills: the steps at which a mover was killed.
        held_write: of a move that was not killed, the longest write that waited for its end, in
            seconds from when writes began to wait.
        other_write: the longest write while it copied.
        closed_seconds: the time in which writes waited.
        copy_seconds: the time before that.
        copied: the number of messages that it copied.
    """

    written: int
    lost: int
    doubled: int
    unhandled: int
    handled_twice: int
    kills: tuple[str, ...]
    held_write: float
    other_write: float
    closed_seconds: float
    copy_seconds: float
    copied: int


class Crowd:
    """Writers and a consumer, each in a thread, which go on after errors that pass.

    Args:
        url: the proxying database.
        category: the category to write to.
    """

    def __init__(self, url: str, category: str) -> None:
        self.written: dict[str, tuple[str, int]] = {}
        self.times: list[tuple[float, float]] = []
        self.failures: list[Exception] = []
        self._url = url
        self._category = category
        self._stop = threading.Event()
        self._consumer: Consumer | None = None
        work = [*(lambda n=n: self._write(n) for n in range(_WRITERS)), self._consume]
        self._threads = [threading.Thread(target=self._guard, args=[each]) for each in work]
        for each in self._threads:
            each.start()

    def stop_writers(self) -> None:
        """Let the writers end."""
        self._stop.set()
        for each in self._threads[:_WRITERS]:
            each.join()

    def stop(self) -> None:
        """Let all end, the consumer when it has handled everything."""
        self.stop_writers()
        self._threads[-1].join()

    def _guard(self, work: Any) -> None:
        try:
            work()
        except Exception as error:
            # The trial ends with it, when it looks at its threads.
            self.failures.append(error)

    def _write(self, writer: int) -> None:
        with Client(self._url, max_size=1) as client:
            for n in itertools.count():
                if self._stop.is_set():
                    return
                stream = f"{self._category}-{writer}x{n % 5}"
                message = NewMessage("Noted", {"writer": writer, "n": n})
                begun = time.monotonic()
                while True:
                    try:
                        position = client.write_message(stream, message)
                        break
                    except (StoreUnavailableError, OutcomeUnknownError):
                        if time.monotonic() - begun > _TRANSIENT:
                            raise
                        time.sleep(0.02)
                self.times.append((begun, time.monotonic()))
                self.written[str(message.id)] = (stream, position)
                time.sleep(0.01)

    def _consume(self) -> None:
        with Client(self._url, max_size=2) as client:
            while True:
                is_last = self._stop.is_set()
                try:
                    self._run(client)
                except PositionConflictError:
                    continue
                if is_last:
                    return

    def _run(self, client: Client) -> None:
        consumer = Consumer(
            client,
            self._category,
            identifier="trial",
            transactional=True,
            transaction_size=100,
            position_store=TablePositionStore(),
            lease_timeout=LEASE_TIMEOUT,
            poll_interval=0.05,
        )

        @consumer.handler
        def note(message: Message[Any], context: Context) -> None:
            assert context.transaction is not None
            context.transaction.connection.execute(
                "INSERT INTO handled (id) VALUES (%s)", [message.id]
            )

        consumer.run(until="caught_up")


def run_trial(steps: Sequence[str], messages: int) -> Outcome:
    """Move a category there and back beside a crowd, killed at steps, and check everything.

    Args:
        steps: the steps to be killed at; every second time the move is aborted, where it can be.
        messages: how many messages the category has before.
    """
    nodes = SeveralNodes()
    try:
        nodes.ask("proxy", "create table handled (n bigserial, id uuid)")
        nodes.ask("proxy", "grant all on handled to message_store")
        nodes.ask("proxy", "grant all on sequence handled_n_seq to message_store")
        category = nodes.name_category("trial", "a")
        crowd = Crowd(nodes.url(), category)
        try:
            _fill(nodes, category, messages)
            for number, step in enumerate(steps):
                _kill_at(nodes, category, step)
                if number % 2 and step in ABORTABLE:
                    schema.abort_proxy_move(nodes.admin_url(), category=category)
                else:
                    _move(nodes, category, _find_target(nodes, category))
            target = "b" if nodes.find_node(category) == "a" else "a"
            # The whole of it: nothing of an earlier copy is there.
            nodes.ask(target, "delete from message_store.messages")
            steps_at: dict[str, float] = {}
            crowd.times.clear()
            moved = _move(nodes, category, target, lambda step: _note(steps_at, step))
            assert moved is not None
        finally:
            crowd.stop()
        if crowd.failures:
            raise crowd.failures[0]
        return _check(nodes, category, crowd, tuple(steps), steps_at, moved)
    finally:
        nodes.close()


def _fill(nodes: SeveralNodes, category: str, messages: int) -> None:
    with Client(nodes.url()) as client:
        for first in range(0, messages, 500):
            batch = [NewMessage("Noted", {"n": first + n}) for n in range(500)]
            client.write_messages(f"{category}-fill{first % 50}", batch)


def _find_target(nodes: SeveralNodes, category: str) -> str:
    """Return the node to go on to: the one of the move that has begun, or the other one."""
    query = """
        select n.name from messagedb.proxy_categories c join messagedb.proxy_nodes n
        on n.node = c.target where c.category = %s
    """
    rows = nodes.ask("proxy", query, category)
    if rows:
        return str(rows[0][0])
    return "b" if nodes.find_node(category) == "a" else "a"


def _kill_at(nodes: SeveralNodes, category: str, step: str) -> None:
    target = _find_target(nodes, category)
    arguments = ["--child", nodes.admin_url(), category, target, step]
    ended = subprocess.run([sys.executable, "-m", "trials.move_category", *arguments], check=False)
    assert ended.returncode == -signal.SIGKILL, f"{step}: {ended.returncode}"


def _note(steps_at: dict[str, float], step: str) -> None:
    steps_at[step] = time.monotonic()


def _move(
    nodes: SeveralNodes,
    category: str,
    target: str,
    progress: Callable[[str], object] | None = None,
) -> schema.CategoryMove | None:
    return schema.move_proxy_category(
        nodes.admin_url(),
        category=category,
        target=target,
        lease_timeout=LEASE_TIMEOUT,
        progress=progress,
    )


def find_longest(
    times: Sequence[tuple[float, float]], closing: float, ended: float
) -> tuple[float, float]:
    """Return the longest time that a write waited for the end of a move, and the longest other one.

    Args:
        times: when each write began and ended.
        closing: when writes began to wait.
        ended: when they went on.
    """
    held = [until - max(begun, closing) for begun, until in times if begun < ended < until]
    others = [until - begun for begun, until in times if until < closing]
    return max(held, default=0.0), max(others, default=0.0)


def _check(
    nodes: SeveralNodes,
    category: str,
    crowd: Crowd,
    kills: tuple[str, ...],
    steps_at: dict[str, float],
    moved: schema.CategoryMove,
) -> Outcome:
    held, other = find_longest(crowd.times, steps_at["waiting for writes"], steps_at["ended"])
    node = nodes.find_node(category)
    places: dict[str, list[tuple[str, int]]] = {}
    query = "select id::text, stream_name, position from message_store.messages"
    for id, stream, position in nodes.ask(node, query):
        if stream.partition("-")[0] == category:
            places.setdefault(id, []).append((stream, position))
    streams: dict[str, list[int]] = {}
    for found in places.values():
        for stream, position in found:
            streams.setdefault(stream, []).append(position)
    for stream, positions in streams.items():
        assert sorted(positions) == list(range(len(positions))), f"a gap in {stream}"
    handled = [str(row[0]) for row in nodes.ask("proxy", "select id from handled")]
    return Outcome(
        written=len(crowd.written),
        lost=sum(1 for id in crowd.written if id not in places),
        doubled=sum(1 for id, place in crowd.written.items() if places.get(id) != [place]),
        unhandled=len(places.keys() - set(handled)),
        handled_twice=len(handled) - len(set(handled)),
        kills=kills,
        held_write=held,
        other_write=other,
        closed_seconds=moved.closed_seconds,
        copy_seconds=moved.copy_seconds,
        copied=moved.copied,
    )


def _be_killed(url: str, category: str, target: str, step: str) -> None:
    def progress(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    schema.move_proxy_category(
        url, category=category, target=target, lease_timeout=LEASE_TIMEOUT, progress=progress
    )


def main() -> int:
    """Run the trial, or be the process that is killed, and return the exit status."""
    parser = argparse.ArgumentParser(prog="moves", description=__doc__, allow_abbrev=False)
    parser.add_argument("--short", action="store_true", help="try less")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, too")
    parser.add_argument("--messages", type=int, help="how many messages it has before")
    parser.add_argument("--child", nargs=4, help="for itself")
    options = parser.parse_args()
    if options.child:
        _be_killed(*options.child)
        return 0
    run = Run("moves", options.short, Figures(FIGURES))
    messages = options.messages or (2_000 if options.short else 100_000)
    with run.part("a category that is moved, killed and moved again") as part:
        outcome = run_trial(SHORT if options.short else STEPS, messages)
        run.figures.add(
            kills=len(outcome.kills),
            written=outcome.written,
            lost=outcome.lost,
            doubled=outcome.doubled,
            unhandled=outcome.unhandled,
            repeated=outcome.handled_twice,
        )
        part.measured = {
            "messages copied by the move that was not killed": outcome.copied,
            "s for that": round(outcome.copy_seconds, 1),
            "s in which writes waited for its end": round(outcome.closed_seconds, 2),
            "s for the longest write that waited for its end": round(outcome.held_write, 2),
            "s for the longest other write": round(outcome.other_write, 2),
        }
    return run.finish(_describe(), options.json)


def _describe() -> dict[str, str]:
    program = find_programs() / "postgres"
    text = subprocess.check_output([program, "--version"], text=True)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "PostgreSQL": text.split()[2],
        "Python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
