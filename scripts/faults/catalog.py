"""The faults: one entry each. A new fault is a new entry of ``FAULTS``."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

import psycopg

from messagedb.testing import FaultPoint, FaultProxy
from tests.support.backend import make_url
from tests.support.store import pids, sessions, terminate, waiting_for_locks

from .server import ROLE, FaultServer, signal_processes

LONG = 3.0
"""Seconds of a fault that outlasts each timeout; it ends earlier if the operation has ended."""

BRIEF = 0.2
"""Seconds of a fault that ends before each timeout."""

_WAITS = 0.5
"""Seconds to wait at most until an operation waits for a lock: those that write do."""


def _no() -> bool:
    return False


@dataclass
class Site:
    """The place of one case: its server, its proxy, and what a fault has to undo.

    Attributes:
        server: the server of the run.
        proxy: the way to it.
        category: of the messages of the case, and the name of its sessions.
        has_ended: tells whether the operation has ended.
        stopped: processes that were stopped.
        lock: a session that holds the category's lock.
    """

    server: FaultServer
    proxy: FaultProxy
    category: str
    has_ended: Callable[[], bool] = _no
    stopped: list[int] = field(default_factory=list[int])
    lock: psycopg.Connection[tuple[object, ...]] | None = None

    @property
    def url(self) -> str:
        """The URL of the clients of the case, by way of the proxy."""
        return make_url(self.proxy.url, user=ROLE, application_name=self.category)

    @property
    def admin(self) -> str:
        """A superuser's URL, beside the proxy."""
        return self.server.url()

    def wait(self, condition: Callable[[], object], limit: float) -> None:
        """Wait until a condition holds or the operation has ended, at most so many seconds."""
        until = time.monotonic() + limit
        while not condition() and not self.has_ended() and time.monotonic() < until:
            time.sleep(0.01)


Step = Callable[[Site], None]


def _nothing(_: Site) -> None:
    return


def _possible(_: Site) -> str:
    return ""


@dataclass(frozen=True)
class Fault:
    """A fault: how to cause it, and how to undo it.

    Attributes:
        name: its name.
        begin: causes it, before the operation.
        during: goes on while the operation runs.
        end: undoes it.
        prepare: what has to be so before the client connects.
        seconds: how long it lasts at most; it ends when the operation has.
        pause: seconds that a transaction stays idle.
        missing: returns the reason why it cannot be caused here.
        since: the major version of PostgreSQL that introduced its cause; 0 for all.
        is_planned: whether it is caused at a point of a request, which the operation may not have.
        suits: the operations that certainly meet it; empty for all.
    """

    name: str
    begin: Step = _nothing
    during: Step = _nothing
    end: Step = _nothing
    prepare: Step = _nothing
    seconds: float = 0.0
    pause: float = 0.0
    missing: Callable[[Site], str] = _possible
    since: int = 0
    is_planned: bool = False
    suits: tuple[str, ...] = ()


_TRANSACTIONS = ("transaction", "run_transaction", "savepoint")
_IN_GROUPS = (
    "write_message, in groups",
    "write_messages, in groups",
    "entity transact, in groups",
)
_WRITES = (
    "write_message",
    "write_message, in groups",
    "write_messages",
    "write_messages, in groups",
    "write_messages, by COPY",
    "entity transact",
    "entity transact, in groups",
)
_TRANSACTIONAL = (
    "transactional consumer",
    "consumer of several in a transaction",
    "consumer with a batch handler",
)
_OF_SEVERAL_REQUESTS = (*_TRANSACTIONS, "consumer", *_TRANSACTIONAL, "read model", *_IN_GROUPS)


def _resume(site: Site) -> None:
    site.proxy.resume()


def _cut(point: FaultPoint, number: int) -> Fault:
    def begin(site: Site) -> None:
        site.proxy.cut_at(point, skip=number - 1)

    words = point.replace("_", " the ")
    return Fault(
        f"cut {words} {number}",
        begin,
        end=_resume,
        seconds=LONG,
        is_planned=True,
        suits=() if number == 1 else _OF_SEVERAL_REQUESTS,
    )


def _commit_lost(times: int) -> Fault:
    def begin(site: Site) -> None:
        site.proxy.cut_at("before_answer", "COMMIT\0", times=times)

    name = "the answer to COMMIT lost" + ("" if times == 1 else f" {times} times")
    suits = (*_TRANSACTIONAL, *_TRANSACTIONS)
    return Fault(name, begin, end=_resume, seconds=LONG, is_planned=True, suits=suits)


def _stall(direction: Literal["requests", "answers", "both"], seconds: float) -> Fault:
    def begin(site: Site) -> None:
        site.proxy.stall(direction)

    name = f"stall {direction}" + (", briefly" if seconds == BRIEF else "")
    return Fault(name, begin, end=_resume, seconds=seconds)


def _lost_network(site: Site) -> None:
    site.proxy.drop(new_connections=False)


def _latency(site: Site) -> None:
    site.proxy.slow(latency=0.02)


def _bandwidth(site: Site) -> None:
    site.proxy.slow(bytes_per_second=40_000)


def _refuse(site: Site) -> None:
    site.proxy.refuse()


def _terminate(site: Site) -> None:
    terminate(site.admin, pids(site.admin, site.category))


def _lock(site: Site) -> None:
    site.lock = site.server.hold_lock(site.category)


def _unlock(site: Site) -> None:
    if site.lock is not None:
        site.lock.close()
        site.lock = None


def _wait_for_waiter(site: Site) -> None:
    site.wait(lambda: waiting_for_locks(site.admin, site.category), _WAITS)


def _terminate_waiting(site: Site) -> None:
    _wait_for_waiter(site)
    _terminate(site)


def _crash(site: Site) -> None:
    site.server.stop(at_once=True)


def _crash_waiting(site: Site) -> None:
    _wait_for_waiter(site)
    site.server.stop(at_once=True)
    _unlock(site)


def _shut_down(site: Site) -> None:
    site.server.stop()


def _start(site: Site) -> None:
    if not site.server.is_up():
        site.server.start()


def _stop_sessions(site: Site) -> None:
    site.stopped = pids(site.admin, site.category)
    signal_processes(site.stopped, signal.SIGSTOP)


def _continue_sessions(site: Site) -> None:
    signal_processes(site.stopped, signal.SIGCONT)


def _stop_all(site: Site) -> None:
    site.server.signal_all(signal.SIGSTOP)


def _continue_all(site: Site) -> None:
    site.server.signal_all(signal.SIGCONT)


def _fill(site: Site) -> None:
    site.server.fill_disk()


def _free(site: Site) -> None:
    site.server.free_disk()


def _no_disk(site: Site) -> str:
    return site.server.no_disk


def _no_connections(site: Site) -> None:
    site.server.execute(f"alter role {ROLE} connection limit 0")
    _terminate(site)


def _connections(site: Site) -> None:
    site.server.execute(f"alter role {ROLE} connection limit -1")


def _wait_for_end_of_sessions(site: Site) -> None:
    site.wait(lambda: not sessions(site.admin, site.category), 1.0)


def _administrator(
    name: str,
    value: str,
    *,
    since: int = 0,
    pause: float = 0.0,
    begin: Step = _nothing,
    suits: tuple[str, ...] = (),
) -> Fault:
    def prepare(site: Site) -> None:
        site.server.execute(f"alter role {ROLE} set {name} = '{value}'")

    def end(site: Site) -> None:
        _unlock(site)
        site.server.execute(f"alter role {ROLE} reset {name}")

    return Fault(
        f"administrator's {name}",
        begin,
        end=end,
        prepare=prepare,
        seconds=_WAITS,
        pause=pause,
        since=since,
        suits=suits,
    )


POINTS: tuple[FaultPoint, ...] = get_args(FaultPoint)
REQUESTS = 3
"""At how many requests of an operation the connection is cut: of each, all six points."""

FAULTS: tuple[Fault, ...] = (
    *(_cut(point, number) for point in POINTS for number in range(1, REQUESTS + 1)),
    _commit_lost(1),
    _commit_lost(100),
    *(_stall(way, LONG) for way in ("requests", "answers", "both")),
    _stall("both", BRIEF),
    Fault("network lost", _lost_network, end=_resume, seconds=LONG),
    Fault("slow: latency", _latency, end=_resume, seconds=LONG),
    Fault("slow: bandwidth", _bandwidth, end=_resume, seconds=LONG),
    Fault("refuse", _refuse, end=_resume, seconds=LONG),
    Fault("refuse, briefly", _refuse, end=_resume, seconds=BRIEF),
    Fault("sessions terminated, idle", _terminate),
    Fault("sessions terminated, at work", _lock, _terminate_waiting, _unlock, suits=_WRITES),
    Fault("server crash", _crash, end=_start, seconds=BRIEF),
    Fault("server crash, at work", _lock, _crash_waiting, _start, seconds=BRIEF, suits=_WRITES),
    Fault("server restart", _shut_down, end=_start, seconds=BRIEF),
    Fault("server down", _crash, end=_start, seconds=LONG),
    Fault("sessions stopped", _stop_sessions, end=_continue_sessions, seconds=LONG),
    Fault("sessions stopped, briefly", _stop_sessions, end=_continue_sessions, seconds=BRIEF),
    Fault("server stopped", _stop_all, end=_continue_all, seconds=LONG),
    Fault("server stopped, briefly", _stop_all, end=_continue_all, seconds=BRIEF),
    Fault("disk full", _fill, end=_free, seconds=LONG, missing=_no_disk, suits=_WRITES),
    Fault("too many connections", _no_connections, end=_connections, seconds=LONG),
    Fault("too many connections, briefly", _no_connections, end=_connections, seconds=BRIEF),
    _administrator("statement_timeout", "100ms", begin=_lock, suits=_WRITES),
    _administrator("lock_timeout", "100ms", begin=_lock, suits=_WRITES),
    _administrator("idle_in_transaction_session_timeout", "100ms", pause=0.3, suits=_TRANSACTIONS),
    _administrator("idle_session_timeout", "100ms", since=14, begin=_wait_for_end_of_sessions),
    _administrator("transaction_timeout", "100ms", since=17, pause=0.3, suits=_TRANSACTIONS),
)
