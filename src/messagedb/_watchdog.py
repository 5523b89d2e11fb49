"""The deadlines of transactions: one thread that shuts the sockets of those whose time is up."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

# How long the thread stays when there is nothing to watch, in seconds.
_IDLE = 10.0


class Watch:
    """A socket that is shut down at a deadline unless the watch is stopped before.

    The server then sees the end of the connection, rolls the transaction back and frees its locks;
    a running statement of it is cancelled for that. Whoever waits for the server's answer gets an
    error at once. Nothing else of the process is touched.

    Attributes:
        is_over: whether the deadline came first.
    """

    __slots__ = ("_cancel", "_descriptor", "deadline", "is_over")

    def __init__(self, descriptor: int, deadline: float, cancel: Callable[[], object]) -> None:
        # A descriptor of its own: libpq may close the other one, whose number is then given to
        # another file.
        self._descriptor = socket.dup(descriptor)
        self._cancel = cancel
        self.deadline = deadline
        self.is_over = False

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


_condition = threading.Condition(threading.Lock())
_watches: set[Watch] = set()
_thread: threading.Thread | None = None
_wakes_at = 0.0


def watch(descriptor: int, deadline: float, cancel: Callable[[], object]) -> Watch:
    """Shut a socket down when a deadline comes.

    Args:
        descriptor: the number of the socket.
        deadline: when, by the clock of ``time.monotonic``.
        cancel: cancels what the server is doing on the connection. It may block.
    """
    global _thread, _wakes_at
    new = Watch(descriptor, deadline, cancel)
    with _condition:
        _watches.add(new)
        if _thread is None:
            _thread = threading.Thread(target=_run, name="messagedb-watchdog", daemon=True)
            _thread.start()
        elif deadline < _wakes_at:
            _wakes_at = deadline
            _condition.notify()
    return new


def _run() -> None:
    global _thread, _wakes_at
    while True:
        with _condition:
            now = monotonic()
            due = [watch for watch in _watches if watch.deadline <= now]
            for watch in due:
                _watches.remove(watch)
                watch._shut()  # pyright: ignore[reportPrivateUsage]
            if not due:
                _wakes_at = min((watch.deadline for watch in _watches), default=now + _IDLE)
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
    _condition = threading.Condition(threading.Lock())
    _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
