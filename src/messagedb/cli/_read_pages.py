"""Pages of ``read``: of a stream or a category, to the end or without end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from messagedb import Client, Message, ValidationError, streams

Page = list[Message[Any]]

POLL_SECONDS = 0.2


def resolve_start(given: str | None, name: str, client: Client) -> int:
    """Return the position that ``--from`` names, for a stream or for a category.

    Raises:
        ValidationError: it is not a position.
    """
    is_category = streams.is_category(name)
    if given is None or given == "beginning":
        return 1 if is_category else 0
    if given == "end":
        head = client.get_category_head(name) if is_category else client.stream_version(name)
        if head is None:
            raise ValidationError(
                "the role may not read the table of messages, so the end of a category is not"
                " known: use a position. Nothing was read."
            )
        return head + 1
    if given.isascii() and given.isdigit():
        return int(given)
    raise ValidationError(f"--from takes beginning, end or a position, not {given!r}")


def iter_pages(
    client: Client,
    name: str,
    position: int,
    *,
    batch_size: int,
    types: tuple[str, ...] = (),
    correlation: str | None = None,
) -> Iterator[Page]:
    """Iterate over the pages of a stream or category from a position to its end, filtered by type.

    Raises:
        ValidationError: a correlation is passed for a stream, or a name or number is invalid.
    """
    if streams.is_category(name):
        yield from _iter_category_pages(client, name, position, batch_size, types, correlation)
        return
    if correlation is not None:
        raise ValidationError(
            f"--correlation is for categories, and {name!r} is a stream. Nothing was read."
        )
    while True:
        page = client.get_stream_messages(name, position=position, batch_size=batch_size)
        yield [message for message in page if not types or message.type in types]
        if len(page) < batch_size:
            return
        position = page[-1].position + 1


def _iter_category_pages(
    client: Client,
    name: str,
    position: int,
    batch_size: int,
    types: tuple[str, ...],
    correlation: str | None,
) -> Iterator[Page]:
    while True:
        scan = client.scan_category(
            name,
            position=position,
            batch_size=batch_size,
            correlation=correlation,
            types=types or None,
        )
        yield scan.messages
        if not scan.is_full:
            return
        position = scan.position + 1


def follow_pages(
    client: Client,
    name: str,
    position: int,
    *,
    batch_size: int,
    types: tuple[str, ...] = (),
    correlation: str | None = None,
) -> Iterator[Page]:
    """Iterate over the same pages, and then over new messages without end, as soon as they come."""
    if streams.is_category(name):
        for message in client.subscribe(
            name,
            start=position,
            batch_size=batch_size,
            poll_interval=POLL_SECONDS,
            correlation=correlation,
            types=types or None,
        ):
            yield [message]
        return
    while True:
        for page in iter_pages(
            client, name, position, batch_size=batch_size, correlation=correlation
        ):
            if page:
                position = page[-1].position + 1
                yield [message for message in page if not types or message.type in types]
        time.sleep(POLL_SECONDS)


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
