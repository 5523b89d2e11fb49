"""The history of a server: it changes if the server may have lost acknowledged commits."""

from __future__ import annotations

import threading
from typing import Any, Final

import msgspec

__all__ = ["Histories", "ServerHistory"]


class ServerHistory(msgspec.Struct, frozen=True):
    """The identification of a server's past. A part is None if it cannot be read.

    Attributes:
        timeline: eight hexadecimal digits; None on a standby.
        database: the number that initdb assigned to the cluster, and the oid of the database.
        stats_reset: the time when the statistics were cleared, as by the recovery after a crash.
    """

    timeline: str | None = None
    database: str | None = None
    stats_reset: str | None = None

    @property
    def is_known(self) -> bool:
        """Return True if every part could be read: an unknown part counts as changed."""
        return None not in (self.timeline, self.database, self.stats_reset)

    def is_same_as(self, other: ServerHistory | None) -> bool:
        """Return True if no commit of one can be missing in the other."""
        return self.is_known and self == other

    def is_on_timeline_of(self, other: ServerHistory) -> bool:
        """Return True if both are of one server, which may have crashed in between."""
        mine = (self.database, self.timeline)
        return None not in mine and mine == (other.database, other.timeline)

    @property
    def text(self) -> str | None:
        """The parts in one string, to be stored; None if a part is unknown."""
        if not self.is_known:
            return None
        return f"{self.timeline}.{self.database}.{self.stats_reset}"


UNKNOWN_HISTORY: Final = ServerHistory()


def parse_history(row: tuple[Any, ...]) -> ServerHistory:
    """Return the history in the columns of a row."""
    return ServerHistory(*row)


class Histories:
    """The histories that one client has seen, by number. Threads may share it.

    Attributes:
        latest: the number that was requested last: that of the newest connection.
        latest_known: the same for histories of which every part could be read; 0 for none.
    """

    def __init__(self) -> None:
        self.latest: int = 0
        self.latest_known: int = 0
        self._texts: dict[int, str] = {}
        self._numbers: dict[ServerHistory, int] = {}
        self._last = 0
        self._lock = threading.Lock()

    def get_number(self, history: ServerHistory) -> int:
        """Return the number of a history, from 1; an unknown one gets another each time."""
        with self._lock:
            number = self._numbers.get(history)
            if number is None:
                number = self._last = self._last + 1
                text = history.text
                if text is not None:
                    self._numbers[history], self._texts[number] = number, text
            self.latest = number
            if history.is_known:
                self.latest_known = number
            return number

    def get_text(self, number: int) -> str | None:
        """Return the string of the history with a number; None for an unknown one."""
        return self._texts.get(number)
