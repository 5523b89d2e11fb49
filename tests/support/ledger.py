"""The messages that were acknowledged and handled, compared with those that are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import psycopg


@dataclass
class Ledger:
    """Counts of messages.

    Attributes:
        acknowledged: the messages whose write returned.
        lost: of these not stored.
        doubled: messages that are stored more than once.
        misplaced: of the acknowledged ones at another position than was returned.
        deliveries: messages times consumers that had to handle them.
        unhandled: of these never handled.
        repeated: calls of handlers beyond one for each.
        disordered: consumers whose order was not that of the store.
    """

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    deliveries: int = 0
    unhandled: int = 0
    repeated: int = 0
    disordered: int = 0

    def add(self, other: Ledger) -> None:
        """Add the counts of another one."""
        for field in fields(self):
            together = getattr(self, field.name) + getattr(other, field.name)
            setattr(self, field.name, together)

    def check_stream(
        self, written: Sequence[tuple[str, int]], stored: Sequence[tuple[str, int]]
    ) -> None:
        """Compare a stream's messages with those that were acknowledged.

        Args:
            written: ids, and the positions that the writes returned.
            stored: ids and positions in the stream, in its order.
        """
        places = dict(stored)
        self.acknowledged += len(written)
        self.lost += sum(id not in places for id, _ in written)
        self.doubled += len(stored) - len(places)
        self.misplaced += sum(id in places and places[id] != place for id, place in written)
        self.misplaced += [place for _, place in stored] != list(range(len(stored)))

    def check_consumer(self, handled: Sequence[int], stored: Sequence[int]) -> None:
        """Compare the messages that a consumer handled with those of its category, in its order."""
        counts = Counter(handled)
        self.deliveries += len(stored)
        self.unhandled += len(set(stored) - counts.keys())
        self.repeated += counts.total() - len(counts)
        first_calls = list(dict.fromkeys(handled))
        self.disordered += first_calls != sorted(first_calls)


def positions_of(url: str, categories: Iterable[str]) -> list[int]:
    """Return the global positions of the messages of categories, in order."""
    with psycopg.connect(url, autocommit=True) as conn:
        rows = conn.execute(
            "select global_position from message_store.messages"
            " where message_store.category(stream_name) = any(%s) order by 1",
            [list(categories)],
        )
        return [row[0] for row in rows]
