"""The scene and the form of the operations of ``nox -s faults``, and their entity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from faults.ledger import Ledger

from messagedb import AsyncClient, Decider
from messagedb._concurrency.callables import AsyncUnaryFunction


@dataclass
class Scene:
    """A client and its URL, its category and its ledger, and what was reported.

    Attributes:
        handled: the marks of the messages that were handled.
        places: the streams and positions that writes have returned, by the mark.
    """

    client: AsyncClient
    category: str
    url: str
    ledger: Ledger
    pause: float = 0.0
    handled: list[str] = field(default_factory=list[str])
    places: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])

    @property
    def stream(self) -> str:
        """The stream that the operations write to."""
        return f"{self.category}-2"


class Operation(NamedTuple):
    """An operation.

    Attributes:
        run: the call; run again with the same scene, it sends the same messages.
        calls: how many calls, each with its timeout, one run makes at most.
        waits: whether it waits for the store without a limit, as a consumer does.
        verify: returns what is not as it has to be, after the fault has ended.
        group_commit: whether the client sends writes that are in flight in groups.
    """

    run: AsyncUnaryFunction[Scene, None]
    calls: int = 1
    waits: bool = False
    verify: AsyncUnaryFunction[Scene, list[str]] | None = None
    group_commit: bool = False


class Mark(msgspec.Struct, frozen=True):
    """A command to an entity."""

    mark: str


class Marked(msgspec.Struct, frozen=True):
    """An event of an entity."""

    mark: str


def decide(command: Mark, count: int) -> Marked:
    return Marked(command.mark)


def evolve(count: int, event: Marked) -> int:
    return count + 1


DECIDER: Decider[int, Mark, Marked] = Decider(initial=int, decide=decide, evolve=evolve)
