"""Workers that are killed at random moments while messages are written."""

from __future__ import annotations

import random
import signal
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

Fork = Callable[[Order], Forked]


def kill_while_writing(
    fork: Fork, orders: Sequence[Order], *, longest: float, seed: int | None = None
) -> None:
    """Kill one of the workers, start it again, and so on, while the messages are written.

    In the end they work until everything is handled, and are stopped by SIGTERM.

    Args:
        fork: starts a worker.
        orders: those of the workers.
        longest: the largest number of seconds until one is killed; three times as long as the
            first of them needed to handle anything if that is longer, on a busy machine.
        seed: of all that is random; a new one if it is None.
    """
    seed = random.randrange(2**32) if seed is None else seed
    print(f"seed {seed}")
    chance = random.Random(seed)
    begun = time.monotonic()
    members = [_Member(fork, order, chance, longest) for order in orders]
    killed = 0
    url, category = orders[0].url, orders[0].category
    with Client(url, max_size=1) as client:
        writer = _Writer(client, category, chance, MESSAGES)
        while not _have_handled(url, category, 1) and writer.count < MESSAGES // KILLS:
            writer.write()
        until(partial(_have_handled, url, category, 1), members[0].worker.text, 60.0, 0.01)
        for member in members:
            member.live(max(longest, 3.0 * (time.monotonic() - begun)))
        while killed < KILLS:
            for member in members:
                if time.monotonic() >= member.due and killed < KILLS:
                    member.kill()
                    killed += 1
                    member.begin()
            if writer.count < MESSAGES * (killed + 1) // (KILLS + 1):
                writer.write()
            else:
                due = min(member.due for member in members)
                wait_for_any([member.worker for member in members], due - time.monotonic())
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
    last.send(signal.SIGTERM)
    assert last.wait() == 0, last.text()


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
        """Begin it: its death comes at a random moment."""
        self._order = msgspec.structs.replace(self._order, life=self._order.life + 1)
        self.worker = self._fork(self._order)
        self.live(self._longest)

    def live(self, longest: float) -> None:
        """Draw the moment of its death, and let those that follow it live as long."""
        self._longest = longest
        self.due = time.monotonic() + self._chance.uniform(0.0, longest)

    def kill(self) -> None:
        """Kill it."""
        self.worker.kill()

    def stop(self) -> None:
        """Stop it as an operator does."""
        self.worker.send(signal.SIGTERM)
        assert self.worker.wait() == 0, self.worker.text()


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
