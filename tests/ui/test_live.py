"""A stream that is followed live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp

from messagedb import AsyncClient, NewMessage
from messagedb.ui import create_app
from tests.ui.conftest import TOKEN, sign_in


class Followed:
    """The response to a browser that follows a stream."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[str] = asyncio.Queue()
        self.status = 0
        self.media_type = ""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.media_type = dict(message["headers"])[b"content-type"].decode()
        else:
            self.parts.put_nowait(message["body"].decode())

    async def read_event(self) -> tuple[int, str]:
        """Return the id and the HTML of the next event."""
        while True:
            part = await self.parts.get()
            if part.startswith("id: "):
                id, _, data = part.partition("\n")
                return int(id.removeprefix("id: ")), data


@asynccontextmanager
async def follow(
    app: ASGIApp, headers: dict[str, str], **parameters: Any
) -> AsyncGenerator[Followed]:
    """Open the stream of events: httpx2 waits for the end of a response."""
    followed = Followed()
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/stream/live",
        "root_path": "",
        "query_string": urlencode(parameters).encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    serving = asyncio.ensure_future(app(scope, receive, followed.send))
    try:
        yield followed
    finally:
        gone.set()
        await serving


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("messagedb._ui.streams.live._INTERVAL", 0.01)


async def open_app(client: AsyncClient, **options: Any) -> tuple[Starlette, dict[str, str]]:
    """Return an application, and the headers of a browser with a session."""
    app = create_app(client, token=TOKEN, **options)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        await sign_in(browser)
        ((name, value),) = browser.cookies.items()
    return app, {"Host": "127.0.0.1", "Cookie": f"{name}={value}"}


async def test_new_messages_arrive_as_rows(client: AsyncClient, category: str) -> None:
    name = f"{category}-1"
    app, headers = await open_app(client)
    await client.write_messages(name, [NewMessage("<b>Old</b>"), NewMessage("<b>Newer</b>")])
    async with follow(app, headers, name=name, after=0) as followed:
        id, row = await followed.read_event()
        assert (id, followed.status, followed.media_type) == (
            1,
            200,
            "text/event-stream; charset=utf-8",
        )
        assert "data: <tr>" in row
        assert "&lt;b&gt;Newer&lt;/b&gt;" in row
        for position in (2, 3):
            await client.write_message(name, NewMessage("Live"))
            assert (await followed.read_event())[0] == position


async def test_after_a_drop_it_continues_behind_the_last_row(
    client: AsyncClient, category: str
) -> None:
    name = f"{category}-1"
    app, headers = await open_app(client)
    await client.write_messages(name, [NewMessage("Noted") for _ in range(5)])
    again = {**headers, "Last-Event-ID": "3"}
    async with follow(app, again, name=name, after=0) as followed:
        assert (await followed.read_event())[0] == 4


async def test_redacted_rows_that_arrive_are_redacted_as_a_whole(
    client: AsyncClient, category: str
) -> None:
    def redact(message_type: str, value: Any) -> Any:
        return {**value, "card": "gone"}

    app, headers = await open_app(client, redact=redact)
    data = {"card": "4111", "rest": "x" * 500}
    await client.write_messages(f"{category}-1", [NewMessage("Paid", data) for _ in range(2)])
    async with follow(app, headers, name=f"{category}-1", after=0) as followed:
        _, row = await followed.read_event()
    assert "gone" in row
    assert "4111" not in row


async def test_a_quiet_stream_is_kept_open(
    client: AsyncClient, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messagedb._ui.streams.live._KEEP_ALIVE", 2)
    app, headers = await open_app(client)
    async with follow(app, headers, name=f"{category}-1") as followed:
        while not (await followed.parts.get()).startswith(": "):
            pass


async def test_only_so_many_streams_are_followed(
    client: AsyncClient, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("messagedb._ui.streams.live.MOST_FOLLOWERS", 1)
    app, headers = await open_app(client)
    for _ in range(2):  # the place of one that has gone is free again
        async with follow(app, headers, name=f"{category}-1") as followed:
            await followed.parts.get()
            async with follow(app, headers, name=f"{category}-1") as refused:
                assert "follows 1 streams already" in await refused.parts.get()
            assert refused.status == 429


async def test_streams_end_when_the_server_stops(client: AsyncClient, category: str) -> None:
    app, headers = await open_app(client)
    async with follow(app, headers, name=f"{category}-1") as followed:
        await followed.parts.get()
        app.state.stop_following()
        while await followed.parts.get():  # the last part of a response is empty
            pass


async def test_without_a_session_nothing_is_followed(client: AsyncClient, category: str) -> None:
    app, _ = await open_app(client)
    async with follow(app, {"Host": "127.0.0.1"}, name=f"{category}-1") as followed:
        await followed.parts.get()
    assert followed.status == 401
