"""The deadlines of transactions: one thread shuts the sockets of transactions at their deadline."""

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

# The seconds after which the thread ends if there is nothing to watch.
_IDLE = 10.0

# The seconds that a cancellation may take, and the seconds that the socket waits for it.
_CANCEL_LIMIT = 10.0
_CANCEL_FIRST = 0.25


class DeadlineWatch:
    """A socket that is shut down at a deadline unless the watch is stopped before.

    A running statement is cancelled first: a pooler accepts no cancellation for a client that has
    disconnected. Then the server sees the end of the connection, rolls the transaction back and
    releases its locks. The caller that waits for the server's answer gets an error. Nothing else of
    the process is affected.

    Args:
        deadline: by the clock of ``time.monotonic``.

    Attributes:
        has_expired: True if the deadline came first.
    """

    __slots__ = ("_cancel", "deadline", "descriptor", "has_expired", "is_running")

    descriptor: int

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.has_expired = False
        self.is_running = False
        self._cancel: Callable[[], object] | None = None

    def start(self, descriptor: int, cancel: Callable[[], object]) -> None:
        """Start to watch a socket. To be called one time only.

        Args:
            descriptor: the number of the socket.
            cancel: cancels the statement that the server is executing. It may block.

        Raises:
            OSError: no descriptor is available. Nothing is watched.
            RuntimeError: no thread is available. Nothing is watched.
        """
        global _thread, _wakes_at
        self._cancel = cancel
        with _lock:
            # A duplicate descriptor: libpq may close the original, whose number is then reused
            # for another file.
            self.descriptor = socket.dup(descriptor)
            self.is_running = True
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

        It acquires no lock: an abandoned transaction may be collected in a thread that holds it.
        """
        if not self.is_running:
            return
        self.is_running = False
        if self.claim():
            socket.close(self.descriptor)
            self._cancel = None
        else:
            # The thread was first, but may not have set has_expired yet.
            self.has_expired = True

    def claim(self) -> bool:
        """Remove this watch if it is still there: the thread that removes it closes the socket."""
        try:
            _watches.remove(self)
        except KeyError:
            return False
        return True

    def expire(self, now: float) -> None:
        self.has_expired = True
        _ending[self] = now + _CANCEL_FIRST
        # It may block as long as the network does: other deadlines must not wait for it.
        cancel = threading.Thread(
            target=self._cancel_statement, name="messagedb-cancel", daemon=True
        )
        try:
            cancel.start()
        except RuntimeError:  # no thread is available
            _ending[self] = now

    def _cancel_statement(self) -> None:
        cancel, self._cancel = self._cancel, None
        # If it fails, the time limits set in the server still apply.
        with suppress(psycopg.Error, OSError):
            if cancel is not None:
                cancel()
        with _lock:
            if self in _ending:
                _ending[self] = 0.0
                _condition.notify()

    def shutdown_socket(self) -> None:
        del _ending[self]
        with suppress(OSError), socket.socket(fileno=self.descriptor) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


def build_cancel(pgconn: PGconn) -> Callable[[], object]:
    """Return a function that cancels a connection's statement, even if that is closed meanwhile.

    Other threads run while it waits. libpq's older function, as psycopg's C code calls it, blocks
    all of them until the server answers, which may never happen.
    """
    if capabilities.has_cancel_safe():
        request = pgconn.cancel_conn()
        return lambda: _cancel(request)
    if pq.__impl__ == "python":
        return pgconn.get_cancel().cancel
    # The time limits set in the server still apply.
    return lambda: None


def _cancel(request: PGcancelConn) -> None:
    until = monotonic() + _CANCEL_LIMIT
    try:
        request.start()
        while (status := request.poll()) in _EVENTS and (left := until - monotonic()) > 0:
            # The socket may change after each step.
            with selectors.DefaultSelector() as selector:
                selector.register(request.socket, _EVENTS[status])
                selector.select(left)
    finally:
        request.finish()


_EVENTS: dict[int, int] = {
    pq.PollingStatus.READING: selectors.EVENT_READ,
    pq.PollingStatus.WRITING: selectors.EVENT_WRITE,
}

# The lock is acquired directly: if a signal handler raises an exception inside the condition's
# __enter__, the lock would stay locked forever.
_lock = threading.Lock()
_condition = threading.Condition(_lock)
_watches: set[DeadlineWatch] = set()
# Watches past their deadline, and when their sockets are shut at the latest: for the thread only.
_ending: dict[DeadlineWatch, float] = {}
_thread: threading.Thread | None = None
_wakes_at = 0.0


def _run() -> None:
    global _thread, _wakes_at
    while True:
        with _lock:
            now = monotonic()
            for watch in list(_watches):
                if watch.deadline <= now and watch.claim():
                    watch.expire(now)
            for watch in [watch for watch, limit in _ending.items() if limit <= now]:
                watch.shutdown_socket()
            deadlines = [*(watch.deadline for watch in list(_watches)), *_ending.values()]
            _wakes_at = min(deadlines, default=now + _IDLE)
            _condition.wait(max(_wakes_at - now, 0.0))
            if not _watches and not _ending and monotonic() >= _wakes_at:
                _thread = None
                return


def _after_fork_in_child() -> None:
    """Leave the watches to the parent, which has the thread and the transactions."""
    global _condition, _lock, _thread
    for watch in (*_watches, *_ending):
        watch.is_running = False
        socket.close(watch.descriptor)
    _watches.clear()
    _ending.clear()
    _lock = threading.Lock()
    _condition = threading.Condition(_lock)
    _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
