"""The deadlines of transactions: one thread that shuts the sockets of those whose time is up."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
from psycopg import capabilities, pq

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.pq.abc import PGcancelConn, PGconn

# How long the thread stays when there is nothing to watch, in seconds.
_IDLE = 10.0

# How long a cancellation may take to get through, in seconds, and how long the socket waits for it.
_CANCEL_LIMIT = 10.0
_CANCEL_FIRST = 0.25


class Watch:
    """A socket that is shut down at a deadline unless the watch is stopped before.

    A running statement is cancelled first: a pooler takes no cancellation from a client that is
    gone. Then the server sees the end of the connection, rolls the transaction back and frees its
    locks. Whoever waits for the server's answer gets an error. Nothing else of the process is
    touched.

    Args:
        deadline: when, by the clock of ``time.monotonic``.

    Attributes:
        is_over: whether the deadline came first.
    """

    __slots__ = ("_cancel", "_descriptor", "_is_on", "deadline", "is_over")

    _descriptor: int

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_over = False
        self._is_on = False
        self._cancel: Callable[[], object] | None = None

    def start(self, descriptor: int, cancel: Callable[[], object]) -> None:
        """Begin to watch a socket. To be called once.

        Args:
            descriptor: the number of the socket.
            cancel: cancels what the server is doing on the connection. It may block.

        Raises:
            OSError: there is no descriptor left. Nothing is watched.
            RuntimeError: there is no thread left. Nothing is watched.
        """
        global _thread, _wakes_at
        self._cancel = cancel
        with _lock:
            # A descriptor of its own: libpq may close the other one, whose number is then given to
            # another file.
            self._descriptor = socket.dup(descriptor)
            self._is_on = True
            _watches.add(self)
            if _thread is None:
                thread = threading.Thread(target=_run, name="messagedb-watchdog", daemon=True)
                try:
                    thread.start()
                except BaseException:
                    self.stop()
                    raise
                _thread = thread
            elif self.deadline < _wakes_at:
                _wakes_at = self.deadline
                _condition.notify()

    def stop(self) -> None:
        """End the watch. Does nothing after its deadline, or when called again.

        It waits for no lock: an abandoned transaction may be collected in a thread that has it.
        """
        if not self._is_on:
            return
        self._is_on = False
        if self._is_taken():
            socket.close(self._descriptor)
            self._cancel = None
        else:
            # The thread was first, which may not have told yet.
            self.is_over = True

    def _is_taken(self) -> bool:
        """Take it out, if nobody else did: whoever takes it out closes the descriptor."""
        try:
            _watches.remove(self)
        except KeyError:
            return False
        return True

    def _begin_to_end(self, now: float) -> None:
        self.is_over = True
        _ending[self] = now + _CANCEL_FIRST
        # It may block as long as the network does: no other deadline waits for it.
        cancel = threading.Thread(
            target=self._cancel_statement, name="messagedb-cancel", daemon=True
        )
        try:
            cancel.start()
        except RuntimeError:  # there is no thread left
            _ending[self] = now

    def _cancel_statement(self) -> None:
        cancel, self._cancel = self._cancel, None
        # Where it does not get through, the limits that were set in the server are left.
        with suppress(psycopg.Error, OSError):
            if cancel is not None:
                cancel()
        with _lock:
            if self in _ending:
                _ending[self] = 0.0
                _condition.notify()

    def _shut(self) -> None:
        del _ending[self]
        with suppress(OSError), socket.socket(fileno=self._descriptor) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


def canceller(pgconn: PGconn) -> Callable[[], object]:
    """What cancels the statement that runs on a connection, even when that is closed meanwhile.

    It lets other threads run while it waits. libpq's older way, as psycopg's C code calls it, keeps
    all of them from running until the server answers, which may be never.
    """
    if capabilities.has_cancel_safe():
        request = pgconn.cancel_conn()
        return lambda: _cancel(request)
    if pq.__impl__ == "python":
        return pgconn.get_cancel().cancel
    # The limits that were set in the server are left.
    return lambda: None


def _cancel(request: PGcancelConn) -> None:
    until = monotonic() + _CANCEL_LIMIT
    try:
        request.start()
        while (status := request.poll()) in _EVENTS and (left := until - monotonic()) > 0:
            # The socket may be another one after each step.
            with selectors.DefaultSelector() as selector:
                selector.register(request.socket, _EVENTS[status])
                selector.select(left)
    finally:
        request.finish()


_EVENTS: dict[int, int] = {
    pq.PollingStatus.READING: selectors.EVENT_READ,
    pq.PollingStatus.WRITING: selectors.EVENT_WRITE,
}

# It is taken by itself: an exception that a signal's handler raises inside the condition's own
# __enter__ would leave it locked for ever.
_lock = threading.Lock()
_condition = threading.Condition(_lock)
_watches: set[Watch] = set()
# Those whose time is up, and when their sockets are shut at the latest: of the thread only.
_ending: dict[Watch, float] = {}
_thread: threading.Thread | None = None
_wakes_at = 0.0


def _run() -> None:
    global _thread, _wakes_at
    while True:
        with _lock:
            now = monotonic()
            for watch in list(_watches):
                if watch.deadline <= now and watch._is_taken():  # pyright: ignore[reportPrivateUsage]
                    watch._begin_to_end(now)  # pyright: ignore[reportPrivateUsage]
            for watch in [watch for watch, limit in _ending.items() if limit <= now]:
                watch._shut()  # pyright: ignore[reportPrivateUsage]
            deadlines = [*(watch.deadline for watch in list(_watches)), *_ending.values()]
            _wakes_at = min(deadlines, default=now + _IDLE)
            _condition.wait(max(_wakes_at - now, 0.0))
            if not _watches and not _ending and monotonic() >= _wakes_at:
                _thread = None
                return


def _after_fork_in_child() -> None:
    """Leave the watches to the parent: the thread is there only, and so are the transactions."""
    global _condition, _lock, _thread
    for watch in (*_watches, *_ending):
        watch._is_on = False  # pyright: ignore[reportPrivateUsage]
        socket.close(watch._descriptor)  # pyright: ignore[reportPrivateUsage]
    _watches.clear()
    _ending.clear()
    _lock = threading.Lock()
    _condition = threading.Condition(_lock)
    _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
