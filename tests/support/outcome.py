"""How a call in the background ended, and the types of the cases that are written once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from messagedb import AsyncBoundClient, AsyncClient, BoundClient, Client

R = TypeVar("R")

AsyncStore = AsyncClient | AsyncBoundClient
Store = Client | BoundClient

AsyncCall = Callable[[AsyncStore, str], Awaitable[object]]
Call = Callable[[Store, str], object]


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """The value or the error of a call, and the seconds that it took."""

    value: R | None
    error: Exception | None
    seconds: float

    def result(self) -> R:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return cast("R", self.value)


def pool_of(client: AsyncClient | Client) -> Any:
    """Return the pool of an open client."""
    return vars(client)["_lifecycle"].provider.pool


def count_waiting(client: AsyncClient | Client) -> tuple[int, int]:
    """Return how many writes of a client wait for a group, and how many categories for a lock."""
    groups: Any = vars(client)["_groups"]
    committers: list[Any] = list(groups._committers.values())
    return (
        sum(len(each._waiting) for each in committers),
        sum(len(each._categories.by_key) for each in committers),
    )


def is_whole(client: AsyncClient | Client) -> bool:
    """Return True if all connections the pool counts are in it, and no caller waits for one."""
    stats = pool_of(client).get_stats()
    return bool(
        stats["pool_available"] == stats["pool_size"] >= stats["pool_min"]
        and not stats.get("requests_waiting", 0)
    )
