"""Intercept SIGINT and SIGTERM: report the first signal, restore the default for the second."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def intercept_signals(on_first_signal: Callable[[int], object]) -> Generator[None]:
    """Report the first signal, and leave all later ones to the system, which ends the process.

    At the end of the block the handlers from before it are installed again, also if there was no
    signal. A handler that was not installed by Python cannot be: then ours stays.

    Args:
        on_first_signal: called with the signal's number, in the main thread between any two of its
            instructions: it must take no lock.

    Raises:
        ValueError: this is not the main thread.
    """

    def handle_first(number: int, _frame: Any) -> None:
        for other in SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        on_first_signal(number)

    previous_handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, handle_first)
        yield
    finally:
        for number, handler in previous_handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def end_process(number: int) -> None:
    """End the process by a signal that was intercepted once, and has its default effect again."""
    os.kill(os.getpid(), number)
