"""Pages of ``read``: of a stream, a category or the whole store; to the end, or without end."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, cast

import msgspec

from messagedb import Client, Message, ValidationError, streams
from messagedb._operations.workflow_filter import WorkflowFilter

Page = list[Message[Any]]

POLL_SECONDS = 0.2


class Reading(msgspec.Struct, frozen=True):
    """A read of the CLI.

    Attributes:
        client: the client to read with.
        name: the stream or category; None for the whole store.
        start: ``beginning``, ``end`` or a position; None for the beginning.
        since: the time to start at.
        types: only these types; all if there are none.
        workflow: only messages with this metadata.
        batch_size: the number of messages per query.
    """

    client: Client
    name: str | None
    start: str | None = None
    since: datetime | None = None
    types: tuple[str, ...] = ()
    workflow: WorkflowFilter = WorkflowFilter()
    batch_size: int = 1000

    def describe(self) -> str:
        """Return what is read, for an error."""
        if self.name is None:
            return "the store"
        kind = "category" if self._category is not None else "stream"
        return f"the {kind} {self.name!r}"

    def has_messages(self) -> bool:
        """Return True if there is any message, whatever was asked for."""
        if self.name is None:
            return bool(self.client.get_store_head())
        if self._category is not None:
            return bool(self.client.get_category_messages(self.name, batch_size=1))
        return self.client.stream_version(self.name) >= 0

    def iter_pages(self) -> Iterator[Page]:
        """Iterate over the pages from the start to the end."""
        position = self._find_start()
        if self.name is None:
            found = self.client.read_all(position=position, **self._store_filters())
            yield from _divide(found, self.batch_size)
        elif self._category is not None:
            yield from self._iter_category_pages(self._category, position)
        else:
            yield from self._iter_stream_pages(self.name, position)

    def iter_last(self, count: int) -> Iterator[Page]:
        """Iterate over the last messages, the newest first; ``--since`` ends them."""
        is_filtered = bool(self.types) or self.workflow != WorkflowFilter()
        size = self.batch_size if is_filtered else min(self.batch_size, count)
        yield from limit_pages(_divide(self._iter_backwards(size), size), count)

    def follow_pages(self, last: int | None) -> Iterator[Page]:
        """Iterate over stored messages and then over new ones, without end, as soon as they come.

        Args:
            last: begin with so many of the last messages, instead of at the start.
        """
        if last is not None:
            yield from self._follow_from(self._find_last(last))
            return
        if self.name is None and self.start == "end":
            yield from _by_one(self.client.subscribe_all(start="end", **self._feed_options()))
            return
        yield from self._follow_from(self._find_start())

    @property
    def _category(self) -> str | None:
        return self.name if self.name is not None and streams.is_category(self.name) else None

    def _find_start(self) -> int:
        """Return the position to start at: in a stream, or else the global one.

        Raises:
            ValidationError: the start is no position.
        """
        is_stream = self.name is not None and self._category is None
        if self.since is not None:
            position = self.client.find_global_position(self.since)
            return self._find_in_stream(position) if is_stream else position
        if self.start is None or self.start == "beginning":
            return 0 if is_stream else 1
        if self.start == "end":
            return self._find_head() + 1
        if self.start.isascii() and self.start.isdigit():
            return int(self.start)
        raise ValidationError(f"--from takes beginning, end or a position, not {self.start!r}")

    def _find_head(self) -> int:
        client = self.client
        if self.name is None:
            head = client.get_store_head()
        elif self._category is not None:
            head = client.get_category_head(self._category)
        else:
            head = client.stream_version(self.name)
        if head is None:
            raise ValidationError(
                "the role may not read the table of messages, so the end of a category is not"
                " known: use a position. Nothing was read."
            )
        return head

    def _find_in_stream(self, global_position: int) -> int:
        """Return the position of a stream's first message that is not before a global one."""
        client, name = self.client, cast("str", self.name)

        def get_global_position(position: int) -> int:
            page = client.get_stream_messages(name, position=position, batch_size=1)
            return page[0].global_position

        positions = range(client.stream_version(name) + 1)
        return bisect_left(positions, global_position, key=get_global_position)

    def _find_last(self, count: int) -> int:
        """Return the position of the first one of the last messages, or the next one."""
        first: Message[Any] | None = None
        for page in self.iter_last(count):
            first = page[-1] if page else first
        if first is None:
            return self._find_head() + 1
        is_stream = self.name is not None and self._category is None
        return first.position if is_stream else first.global_position

    def _iter_backwards(self, batch_size: int) -> Iterator[Message[Any]]:
        if self.name is None:
            filters: dict[str, Any] = {**self._store_filters(), "batch_size": batch_size}
            yield from self.client.read_all(direction="backwards", since=self.since, **filters)
            return
        since = 0 if self.since is None else self.client.find_global_position(self.since)
        read = self.client.read_category if self._category is not None else self.client.read_stream
        for message in read(self.name, direction="backwards", batch_size=batch_size):
            if message.global_position < since:
                return
            if self._matches(message):
                yield message

    def _iter_stream_pages(self, name: str, position: int) -> Iterator[Page]:
        while True:
            page = self.client.get_stream_messages(
                name, position=position, batch_size=self.batch_size
            )
            yield [message for message in page if self._matches(message)]
            if len(page) < self.batch_size:
                return
            position = page[-1].position + 1

    def _iter_category_pages(self, category: str, position: int) -> Iterator[Page]:
        while True:
            scan = self.client.scan_category(
                category,
                position=position,
                batch_size=self.batch_size,
                types=self.types or None,
                condition=self.workflow.build_condition(),
            )
            yield scan.messages
            if not scan.is_full:
                return
            position = scan.position + 1

    def _follow_from(self, position: int) -> Iterator[Page]:
        if self.name is None:
            yield from _by_one(self.client.subscribe_all(start=position, **self._feed_options()))
        elif self._category is not None:
            yield from _by_one(
                self.client.subscribe(
                    self._category,
                    start=position,
                    batch_size=self.batch_size,
                    poll_interval=POLL_SECONDS,
                    types=self.types or None,
                    condition=self.workflow.build_condition(),
                )
            )
        else:
            yield from self._follow_stream(self.name, position)

    def _follow_stream(self, name: str, position: int) -> Iterator[Page]:
        while True:
            page = self.client.get_stream_messages(
                name, position=position, batch_size=self.batch_size
            )
            if page:
                position = page[-1].position + 1
                yield [message for message in page if self._matches(message)]
            if len(page) < self.batch_size:
                time.sleep(POLL_SECONDS)

    def _matches(self, message: Message[Any]) -> bool:
        return (not self.types or message.type in self.types) and self.workflow.matches(message)

    def _store_filters(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "types": self.types or None,
            **msgspec.structs.asdict(self.workflow),
        }

    def _feed_options(self) -> dict[str, Any]:
        return {"poll_interval": POLL_SECONDS, **self._store_filters()}


def limit_pages(found: Iterator[Page], limit: int | None) -> Iterator[Page]:
    """Truncate the pages after ``limit`` messages."""
    left = limit
    for page in found:
        if left is None:
            yield page
            continue
        yield page[:left]
        left -= len(page[:left])
        if left == 0:
            return


def _by_one(messages: Iterable[Message[Any]]) -> Iterator[Page]:
    for message in messages:
        yield [message]


def _divide(messages: Iterable[Message[Any]], size: int) -> Iterator[Page]:
    """Divide messages into pages."""
    page: Page = []
    for message in messages:
        page.append(message)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
