"""Every page in a real browser: accessible, in bounds, from one host, and nothing in it runs."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.conftest import Site, Watched, open_context, watch
from tests.browser.scene import HOSTILE

ROOT: Final = Path(__file__).resolve().parents[2]
LARGEST_PAGE: Final = 100_000
LARGEST_PICTURE: Final = 60_000
PICTURES: Final = ("message", "stream-account", "consumers", "parked-stream")
SCHEMES: Final = ("light", "dark")
WIDTHS = (360, 900, 1600)
TO_WEBP: Final = """async picture => {
  const image = new Image();
  image.src = `data:image/png;base64,${picture}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", 0.8).split(",")[1];
}"""


async def list_addresses(site: Site) -> dict[str, str]:
    """Return the address of every page, by a name for its screenshot."""
    scene = site.scene
    mail, billing = quote(scene.mail.name), quote(scene.billing.name)
    parked = quote("order:parked-mail")
    record = (await scene.mail.list_parked())[0]
    hostile = quote(HOSTILE)
    attack = (await scene.client.get_stream_messages(HOSTILE))[0]
    return {
        "overview": "/",
        "categories": "/categories",
        "category": "/category?name=commit",
        "category-hostile": f"/category?name={quote(HOSTILE.partition('-')[0])}",
        "stream": "/stream?name=order-1",
        "stream-account": "/stream?name=account-123",
        "stream-history": f"/stream?name={quote(await find_busiest(site))}",
        "stream-hostile": f"/stream?name={hostile}",
        "message": f"/message?id={scene.command}",
        "message-hostile": f"/message?id={attack.id}",
        "consumers": "/consumers",
        "consumer": f"/consumer?name={mail}&store=stream",
        "consumer-failing": f"/consumer?name={billing}&store=stream",
        "reset": f"/consumer/reset?name={mail}&store=stream&to=beginning",
        "partitions": "/partitions?category=commit&identifier=reports",
        "release": "/partitions/release?category=commit&identifier=reports&number=3",
        "parked": "/parked",
        "parked-stream": f"/parked?stream={parked}",
        "parked-group": f"/parked?stream={parked}&type=Placed&error=KeyError",
        "parked-message": f"/parked/message?stream={parked}&id={record.id}",
        "parked-replay": f"/parked/replay?stream={parked}",
        "parked-discard": f"/parked/discard?stream={parked}",
        "health": "/health",
        "nothing": "/there-is-none",
    }


async def find_busiest(site: Site) -> str:
    """Return the stream of the author with the most commits."""
    streams: dict[str, int] = {}
    async for message in site.scene.client.read_category("commit"):
        streams[message.stream_name] = streams.get(message.stream_name, 0) + 1
    return max(streams, key=lambda name: streams[name])


async def test_pictures_of_the_docs(chromium: Browser, site: Site) -> None:
    """Take the pictures of docs/see.md again, if the environment asks for it."""
    names = PICTURES if os.environ.get("MESSAGEDB_TEST_PICTURES") else ()
    addresses = await list_addresses(site)
    context = await open_context(chromium, site, width=1180, height=720)
    page = await context.new_page()
    for name in names:
        await page.goto(addresses[name])
        await take_screenshots(page, ROOT / "docs" / "_static" / f"ui-{name}", is_for_docs=True)
    await context.close()
    for name in PICTURES:
        for scheme in SCHEMES:
            size = (ROOT / "docs" / "_static" / f"ui-{name}-{scheme}.webp").stat().st_size
            assert 1_000 < size < LARGEST_PICTURE


async def test_every_page_is_shown_whole_at_every_width(
    chromium: Browser, site: Site, screenshots: Path | None
) -> None:
    addresses = await list_addresses(site)
    too_wide: list[str] = []
    context = await open_context(chromium, site)
    watched = watch(await context.new_page(), site)
    page = watched.page
    for name, address in addresses.items():
        response = await page.goto(address)
        assert response is not None
        assert response.status == (404 if name == "nothing" else 200), f"{name}: {response.status}"
        body = await response.body()
        assert len(body) < LARGEST_PAGE, f"{name} has {len(body):,} bytes"
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 860})
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                too_wide.append(f"{name} at {width}")
            if screenshots is not None:
                await take_screenshots(page, screenshots / f"{name}-{width}")
    await context.close()
    assert too_wide == []
    assert watched.faults == []


async def take_screenshots(page: Page, beginning: Path, *, is_for_docs: bool = False) -> None:
    """Take a picture of a page in both schemes; one for the docs is a WebP."""
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        picture = await page.screenshot()
        if is_for_docs:
            target = beginning.with_name(f"{beginning.name}-{scheme}.webp")
            target.write_bytes(await convert_to_webp(page.context, picture))
        else:
            beginning.with_name(f"{beginning.name}-{scheme}.png").write_bytes(picture)


async def convert_to_webp(context: BrowserContext, picture: bytes) -> bytes:
    """Return a PNG as a WebP, which has a third of its size, by the browser itself."""
    blank = await context.new_page()
    converted = await blank.evaluate(TO_WEBP, base64.b64encode(picture).decode())
    await blank.close()
    return base64.b64decode(converted)


async def test_no_page_has_a_serious_fault_of_accessibility(
    chromium: Browser, site: Site, axe: str
) -> None:
    context = await open_context(chromium, site, bypass_csp=True)
    places = asyncio.Semaphore(3)

    async def check(name: str, address: str) -> list[str]:
        async with places:
            return await check_accessibility(context, axe, name, address)

    addresses = await list_addresses(site)
    found = await asyncio.gather(*(check(*each) for each in addresses.items()))
    await context.close()
    assert [finding for findings in found for finding in findings] == []


async def check_accessibility(
    context: BrowserContext, axe: str, name: str, address: str
) -> list[str]:
    """Return the serious and critical findings of axe in both schemes."""
    found: list[str] = []
    page = await context.new_page()
    await page.goto(address)
    await page.evaluate(axe)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        rules = None if scheme == "light" else ["color-contrast"]  # the rest has no colors
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = {"type": "rule", "values": rules}
        results = await page.evaluate("(options) => axe.run(document, options)", options)
        for violation in results["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:120] for node in violation["nodes"][:3]]
                found.append(f"{name} ({scheme}): {violation['id']}: {nodes}")
    await page.close()
    return found


@pytest.mark.parametrize("name", ["stream-hostile", "message-hostile", "category-hostile"])
async def test_hostile_content_is_text(watched: Watched, site: Site, name: str) -> None:
    page = watched.page
    await page.goto((await list_addresses(site))[name])
    main = page.locator("main")
    assert await main.locator("img, iframe, object, script, a[href^='javascript:']").count() == 0
    assert "<img src=x onerror=alert(" in await main.inner_text()
