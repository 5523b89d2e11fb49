"""Workers that are killed at random moments while messages are written."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from messagedb import Client, NewMessage
from tests.killing.effects import count_effects
from tests.killing.processes import Forked, until, wait_for_any
from tests.killing.worker import Order

MESSAGES = 20_000
KILLS = 50
STREAMS = 40
_LOOK_SECONDS = 0.01

Fork = Callable[[Order], Forked]


def kill_while_writing(
    fork: Fork, orders: Sequence[Order], *, longest: float, seed: int | None = None
) -> None:
    """Kill one of the workers, start it again, and so on, while the messages are written.

    Every second one that is killed has handled something before: on a busy machine many others die
    before they have begun.
    In the end they work until everything is handled, and are stopped by SIGTERM.

    Args:
        fork: starts a worker.
        orders: those of the workers.
        longest: the largest number of seconds until one is killed.
        seed: of all that is random; a new one if it is None.
    """
    seed = random.randrange(2**32) if seed is None else seed
    print(f"seed {seed}")
    chance = random.Random(seed)
    members = [_Member(fork, order, chance, longest) for order in orders]
    killed = 0
    url, category = orders[0].url, orders[0].category
    with Client(url, max_size=1) as client:
        writer = _Writer(client, category, chance, MESSAGES)
        while killed < KILLS:
            for member in members:
                if time.monotonic() >= member.due and killed < KILLS:
                    if killed % 2 and not member.has_handled():
                        continue
                    member.kill()
                    killed += 1
                    member.begin()
            if writer.count < MESSAGES * (killed + 1) // (KILLS + 1):
                writer.write()
            else:
                due = min(member.due for member in members)
                pause = max(due - time.monotonic(), _LOOK_SECONDS)
                wait_for_any([member.worker for member in members], pause)
        while writer.count < MESSAGES:
            writer.write()
    until(
        lambda: count_effects(url, category) == MESSAGES,
        lambda: f"all handled\n{members[0].worker.text()}",
        limit=300.0,
        interval=0.2,  # a look costs the workers time
    )
    for member in members:
        member.stop()


def kill_while_handling(fork: Fork, order: Order, *, kills: int, each: int) -> None:
    """Kill a worker when it has handled some messages, start the next one, and so on.

    The last one works until everything is handled, and is stopped by SIGTERM.

    Args:
        fork: starts a worker.
        order: that of the workers.
        kills: how many are killed.
        each: the number of messages that are written in the life of each.
    """
    chance = random.Random(1)
    url, category = order.url, order.category
    with Client(url, max_size=1) as client:
        writer = _Writer(client, category, chance, (kills + 1) * each)

        def begin(life: int, enough: int) -> Forked:
            worker = fork(msgspec.structs.replace(order, life=life))
            while writer.count < (life + 1) * each:
                writer.write()
            until(partial(_have_handled, url, category, enough), worker.text, 60.0, 0.001)
            return worker

        for life in range(kills):
            begin(life, life * each + chance.randint(1, each)).kill()
        last = begin(kills, (kills + 1) * each)
    last.stop()


def _have_handled(url: str, category: str, count: int) -> bool:
    return count_effects(url, category) >= count


class _Member:
    """A worker and those that follow it."""

    def __init__(self, fork: Fork, order: Order, chance: random.Random, longest: float) -> None:
        self._fork = fork
        self._order = order
        self._chance = chance
        self._longest = longest
        self.begin()

    def begin(self) -> None:
        """Begin it, and draw the moment of its death."""
        self._order = msgspec.structs.replace(self._order, life=self._order.life + 1)
        self.worker = self._fork(self._order)
        self.due = time.monotonic() + self._chance.uniform(0.0, self._longest)
        self._before = self._count_effects()

    def has_handled(self) -> bool:
        """Return True if anything was handled since it began."""
        return self._count_effects() > self._before

    def _count_effects(self) -> int:
        return count_effects(self._order.url, self._order.category)

    def kill(self) -> None:
        """Kill it."""
        self.worker.kill()

    def stop(self) -> None:
        """Stop it as an operator does."""
        self.worker.stop()


class _Writer:
    """Writes batches of some messages to random streams."""

    def __init__(self, client: Client, category: str, chance: random.Random, messages: int) -> None:
        self._messages = messages
        self._client = client
        self._category = category
        self._chance = chance
        self.count = 0

    def write(self) -> None:
        """Write a batch."""
        size = min(self._chance.randint(1, 8), self._messages - self.count)
        stream = f"{self._category}-{self._chance.randrange(STREAMS)}"
        self._client.write_messages(
            stream, [NewMessage("Noted", {"n": self.count + n}) for n in range(size)]
        )
        self.count += size
