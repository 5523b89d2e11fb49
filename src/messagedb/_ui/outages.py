"""Queries of a store on several nodes while some of them are unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

import msgspec
from psycopg import errors as server_errors
from psycopg import sql

from _messagedb_async.operations.internals import get_server

from .._errors import MessageDBError, StoreUnavailableError
from .failures import NO_ANSWER, RELOAD, SMALLER, TOO_LATE, PageError, is_time_limit
from .nodes import NodeReader, list_nodes
from .patience import wait_for

if TYPE_CHECKING:
    from _messagedb_async.client import AsyncClient

    from .shared_answers import SharedAnswers

R = TypeVar("R")

Nodes: TypeAlias = tuple[int, ...] | None
"""The numbers of the nodes to ask; None for the whole store, wherever it is."""

_KEPT_SECONDS: Final = 1.0

_PART_OF_PAGE: Final = 1.5
"""The time limits that all nodes may take, so that those that answer can be asked afterwards."""


class Outage(msgspec.Struct, frozen=True):
    """A node that does not answer: its name, and why."""

    node: str
    reason: str


class Partial(msgspec.Struct, Generic[R], frozen=True):
    """A result, and the nodes that it is without."""

    found: R
    outages: tuple[Outage, ...] = ()


class NodeWatch:
    """Asks the nodes of a store, and those that answer while others do not.

    Args:
        client: of the store.
        answers: results that requests share for some seconds.
        time_limit: seconds of each query.
    """

    def __init__(self, client: AsyncClient, answers: SharedAnswers, time_limit: float) -> None:
        self._client = client
        self._answers = answers
        self._time_limit = time_limit
        self._has_outages = False

    async def ask(self, ask: Callable[[Nodes], Awaitable[R]]) -> Partial[R]:
        """Return a result about the whole store, without the nodes that are unavailable.

        While a node is, the nodes are looked at first: all are not asked in vain each time.

        Args:
            ask: the query. It is repeated for the nodes that answer.

        Raises:
            StoreUnavailableError: the store is on one server, or the proxying database is
                unavailable.
            PageError: no node answers.
        """
        if not self._has_outages:
            try:
                return Partial(await self._ask_all(ask))
            except Exception as error:
                has_nodes = (await get_server(self._client)).has_nodes
                if not has_nodes or not _may_be_outage(error):
                    raise
                reachable, outages = await self._look()
                if not outages and not isinstance(error, StoreUnavailableError):
                    raise
        else:
            reachable, outages = await self._look()
        if not outages:
            return Partial(await ask(None))
        if not reachable:
            raise build_outage_error(outages)
        return Partial(await ask(reachable), outages)

    async def _ask_all(self, ask: Callable[[Nodes], Awaitable[R]]) -> R:
        if not (await get_server(self._client)).has_nodes:
            return await ask(None)
        try:
            return await wait_for(ask(None), _PART_OF_PAGE * self._time_limit)
        except TimeoutError:
            raise PageError(504, TOO_LATE, SMALLER) from None

    async def find_outages(self) -> tuple[Outage, ...]:
        """Return the nodes that do not answer.

        Raises:
            PageError: the proxying database does not answer, which knows the nodes.
            StoreUnavailableError: it is unavailable.
        """
        return (await self._look())[1]

    async def _look(self) -> tuple[tuple[int, ...], tuple[Outage, ...]]:
        """Return the numbers of the nodes that answer, and those that do not."""

        async def look() -> list[Outage | int]:
            seconds = self._time_limit / 2
            try:
                nodes = await wait_for(list_nodes(self._client, seconds), seconds)
            except TimeoutError:
                raise build_silence_error() from None
            return await asyncio.gather(*map(_try, nodes))

        looked = await self._answers.get("outages", _KEPT_SECONDS, look)
        outages = tuple(each for each in looked if isinstance(each, Outage))
        self._has_outages = bool(outages)
        return tuple(each for each in looked if isinstance(each, int)), outages


def build_outage_error(outages: Sequence[Outage]) -> PageError:
    """Return the error of a page that needs nodes which are unavailable."""
    return PageError(
        503, " ".join(f"Node {each.node!r}: {each.reason}" for each in outages), RELOAD
    )


def build_silence_error() -> PageError:
    """Return the error of a page of a store on several nodes that cannot be asked at all."""
    return PageError(503, "The proxying database does not answer, and all nodes need it.", RELOAD)


def is_late(error: Exception) -> bool:
    """Return True for the error of a page that took longer than it may."""
    is_page_late = isinstance(error, PageError) and (
        error.status == 504 or error.reason == NO_ANSWER
    )
    return is_page_late or is_time_limit(error)


def _may_be_outage(error: Exception) -> bool:
    return is_late(error) or isinstance(error, StoreUnavailableError)


async def _try(node: NodeReader) -> Outage | int:
    try:
        await node.fetch(sql.SQL("SELECT 1"), None)
    except server_errors.QueryCanceled:
        return Outage(node.name, "it does not answer.")
    except MessageDBError as error:
        return Outage(node.name, " ".join(str(error).split()))
    assert isinstance(node.place, int)
    return node.place
