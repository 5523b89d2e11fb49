"""Things that are done to a cluster under load, and what its clients saw meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """Something that is done to a cluster.

    Args:
        name: of the step, for people.
        act: does it, and returns when the cluster is as it was: with a primary and its standbys.
        primary: returns the URL of the server that is the primary before the step. Some writers
            then know only that one, and keep their sessions through the step.
    """

    name: str
    act: Callable[[], object]
    primary: Callable[[], str] | None = None


@dataclass(frozen=True)
class Seen:
    """A step as the writers saw it.

    Args:
        name: of the step.
        interruption: the longest time between two acknowledgments of a writer, in seconds.
        unknown: how many of their writes ended with ``OutcomeUnknownError``.
        unavailable: how many ended with ``StoreUnavailableError``.
        unknown_to_old: how many writes of those that stayed with the old primary had an unknown
            outcome.
    """

    name: str
    interruption: float
    unknown: int
    unavailable: int
    unknown_to_old: int = 0
