"""The new messages of a stream as server-sent events, each with the HTML of its row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from starlette.responses import Response, StreamingResponse

from ..failures import PageError, describe_failure
from ..page import Page
from . import queries, view
from .names import find_name

_logger = logging.getLogger("messagedb.ui")

_INTERVAL: Final = 1.0
_KEEP_ALIVE: Final = 15
"""Rounds without a message after which a comment is sent, so that proxies keep the connection."""

_LONGEST: Final = 1800
"""Rounds after which the response ends. The browser opens another one."""

_MOST: Final = 100
MOST_FOLLOWERS: Final = 50
"""Streams that are followed simultaneously, in one process."""


async def follow_stream(page: Page) -> Response:
    """Send the messages after a position, and new ones as they are written.

    No connection to the store is held between two looks. After a drop, the browser continues after
    the last message that it got.
    """
    if page.site.live_count >= MOST_FOLLOWERS:
        raise PageError(
            429,
            f"This process follows {MOST_FOLLOWERS} streams already.",
            "Close a page that follows one.",
        )
    after = _parse_event_id(page.request.headers.get("last-event-id", ""))
    if after is None:
        after = page.get_integer("after")
    async with page.site.read_of(page.get_place()) as tx:
        name = await find_name(page, tx)
    start = 0 if after is None else after + 1
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_send_rows(page, name, start), 200, headers, "text/event-stream")


def _parse_event_id(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) >= 19:
        raise PageError(400, f"Last-Event-ID is not a position: {text:.60}")
    return int(text)


async def _send_rows(page: Page, name: str, position: int) -> AsyncGenerator[str]:
    page.site.live_count += 1
    try:
        yield "retry: 2000\n\n"
        quiet = 0
        for _ in range(_LONGEST):
            if page.site.stopping.is_set():
                break
            rows = await _fetch(page, name, position)
            for row in rows:
                position = row.message.position + 1
                html = page.render_text("stream_row.html", row=row)
                yield build_event(row.message.position, html)
            quiet = 0 if rows else quiet + 1
            if quiet >= _KEEP_ALIVE:
                quiet = 0
                yield ": still here\n\n"
            if len(rows) < _MOST:
                await _pause(page)
    except Exception as error:
        failure = describe_failure(error)
        if failure.status == 500:
            raise
        # The browser opens the response again, and continues after the last row.
        _logger.warning("a page that follows a stream was ended: %s", failure.reason)
    finally:
        page.site.live_count -= 1


async def _pause(page: Page) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_INTERVAL):
            await page.site.stopping.wait()


async def _fetch(page: Page, name: str, position: int) -> list[view.ShownRow]:
    """Return the next messages, the oldest first."""
    site = page.site
    async with site.read_of(name) as tx:
        found = await queries.fetch_messages(
            tx,
            site.table,
            name,
            position,
            newer=True,
            limit=_MOST,
            characters=view.choose_characters(site.settings.redact),
        )
    return view.build_rows(found[::-1], site.settings.redact)


def build_event(id: int, html: str) -> str:
    """Return one server-sent event."""
    lines = html.replace("\r", "\n").split("\n")
    data = "".join(f"data: {line}\n" for line in lines if line.strip())
    return f"id: {id}\n{data}\n"
