"""A browser, and the UI of a store with real content, served over HTTP."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import NamedTuple

import fetch_axe
import pytest
import uvicorn
from fetch_message_db import FetchError
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    async_playwright,
)
from site_check import ARGUMENTS

from messagedb import AsyncClient
from messagedb.ui import create_app
from tests.browser.scene import Scene, build_scene
from tests.conftest import NewDatabase
from tests.support.background_async import Background, eventually

TOKEN = "the token of the browser"


class Site(NamedTuple):
    """The UI at its address."""

    address: str
    scene: Scene


class Watched(NamedTuple):
    """A page of the browser, and what went wrong on it.

    Attributes:
        page: the page; each of its addresses is relative to the UI.
        faults: errors of scripts and of the content security policy, dialogs, and requests to other
            hosts.
    """

    page: Page
    faults: list[str]


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Return Debian's Chromium; without it the test is skipped."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium to open pages with: see .ci/packages")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the script of axe; where it cannot be fetched the test is skipped."""
    try:
        return fetch_axe.fetch().read_text(encoding="utf-8")
    except FetchError as error:
        pytest.skip(f"axe is not there to check pages with: {error}")


@pytest.fixture(scope="session")
async def site(new_database: NewDatabase) -> AsyncGenerator[Site]:
    """Serve the UI of a store with real content, while a failing and a shared consumer run."""
    async with AsyncClient(new_database(), max_size=12) as client:
        scene = await build_scene(client)
        app = create_app(
            client, token=TOKEN, allow_changes=True, consumers=[scene.mail], name="Shop"
        )
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        running = [Background(each.run) for each in (scene.billing, scene.shared)]
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            await eventually(lambda: server.started and scene.billing.status().last_error)
            await eventually(lambda: len(scene.shared.status().partitions or ()) == 16, 20)
            await eventually(lambda: scene.counted >= 100)
            yield Site(f"http://127.0.0.1:{listening.getsockname()[1]}", scene)
            server.should_exit = True
            await serving
        for consumer, run in zip((scene.billing, scene.shared), running, strict=True):
            await consumer.stop()
            await run.outcome()


async def open_context(
    chromium: Browser, site: Site, *, width: int = 1280, height: int = 860, bypass_csp: bool = False
) -> BrowserContext:
    """Return a session of the UI, with the cookie that the token was exchanged for."""
    context = await chromium.new_context(
        base_url=site.address,
        viewport={"width": width, "height": height},
        bypass_csp=bypass_csp,
        reduced_motion="reduce",
    )
    context.set_default_timeout(10_000)
    page = await context.new_page()
    await page.goto(f"/?token={TOKEN.replace(' ', '+')}")
    assert "token" not in page.url
    await page.evaluate("localStorage.setItem('messagedb.refresh', '0')")
    await page.close()
    return context


def watch(page: Page, site: Site) -> Watched:
    """Return a page whose faults are noted."""
    faults: list[str] = []

    def note_message(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            faults.append(f"{page.url}: {message.text}")

    def note_request(address: str) -> None:
        if not address.startswith((site.address, "data:", "blob:")):
            faults.append(f"{page.url}: a request to {address}")

    def note_response(response: Response) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            faults.append(f"{page.url}: {response.status} for {response.url}")

    page.on("console", note_message)
    page.on("response", note_response)
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
    page.on("request", lambda request: note_request(request.url))
    page.on("dialog", lambda dialog: faults.append(f"{page.url}: a dialog: {dialog.message!r}"))
    return Watched(page, faults)


@pytest.fixture
async def watched(chromium: Browser, site: Site) -> AsyncGenerator[Watched]:
    """Return a page of a session; the test fails if anything went wrong on it."""
    context = await open_context(chromium, site)
    found = watch(await context.new_page(), site)
    yield found
    await context.close()
    assert found.faults == []


@pytest.fixture(scope="session")
def screenshots() -> Path | None:
    """Return the folder for screenshots that the environment asks for; None without it."""
    given = os.environ.get("MESSAGEDB_TEST_SCREENSHOTS")
    if not given:
        return None
    folder = Path(given)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
