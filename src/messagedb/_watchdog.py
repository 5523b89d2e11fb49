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

# How long a cancellation may take to get through, in seconds.
_CANCEL_LIMIT = 10.0


class Watch:
    """A socket that is shut down at a deadline unless the watch is stopped before.

    The server then sees the end of the connection, rolls the transaction back and frees its locks;
    a running statement of it is cancelled for that. Whoever waits for the server's answer gets an
    error at once. Nothing else of the process is touched.

    Args:
        deadline: when, by the clock of ``time.monotonic``.

    Attributes:
        is_over: whether the deadline came first.
    """

    __slots__ = ("_cancel", "_descriptor", "deadline", "is_over")

    _cancel: Callable[[], object]
    _descriptor: int

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_over = False

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
        with _condition:
            # A descriptor of its own: libpq may close the other one, whose number is then given to
            # another file.
            self._descriptor = socket.dup(descriptor)
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
        """End the watch. Does nothing after its deadline, or when called again."""
        with _condition:
            if self in _watches:
                _watches.remove(self)
                socket.close(self._descriptor)

    def _shut(self) -> None:
        self.is_over = True
        with socket.socket(fileno=self._descriptor) as duplicate, suppress(OSError):
            duplicate.shutdown(socket.SHUT_RDWR)

    def _cancel_statement(self) -> None:
        # Where it does not get through, the limits that were set in the server are left.
        with suppress(psycopg.Error, OSError):
            self._cancel()


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


_EVENTS = {
    pq.PollingStatus.READING: selectors.EVENT_READ,
    pq.PollingStatus.WRITING: selectors.EVENT_WRITE,
}

# To be entered again by the thread that is in it: an abandoned transaction may be collected there.
_condition = threading.Condition(threading.RLock())
_watches: set[Watch] = set()
_thread: threading.Thread | None = None
_wakes_at = 0.0


def _run() -> None:
    global _thread, _wakes_at
    while True:
        with _condition:
            now = monotonic()
            due = [watch for watch in tuple(_watches) if watch.deadline <= now]
            for watch in due:
                _watches.remove(watch)
                watch._shut()  # pyright: ignore[reportPrivateUsage]
            if not due:
                _wakes_at = min((watch.deadline for watch in tuple(_watches)), default=now + _IDLE)
                _condition.wait(_wakes_at - now)
                if not _watches and monotonic() >= _wakes_at:
                    _thread = None
                    return
        for watch in due:
            # It may block as long as the network does: no other deadline waits for it.
            cancel = watch._cancel_statement  # pyright: ignore[reportPrivateUsage]
            threading.Thread(target=cancel, name="messagedb-cancel", daemon=True).start()


def _after_fork_in_child() -> None:
    """Leave the watches to the parent: the thread is there only, and so are the transactions."""
    global _condition, _thread
    for watch in _watches:
        socket.close(watch._descriptor)  # pyright: ignore[reportPrivateUsage]
    _watches.clear()
    _condition = threading.Condition(threading.RLock())
    _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
