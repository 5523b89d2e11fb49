"""A parked message is found, read and replayed by clicks, and the effect of it is seen."""

from __future__ import annotations

import re

from playwright.async_api import Browser, expect

from tests.browser.conftest import Site, Watched, open_context
from tests.browser.test_pages import check_accessibility


async def test_a_parked_message_is_found_read_and_replayed(
    watched: Watched, site: Site, chromium: Browser, axe: str
) -> None:
    page, scene = watched.page, site.scene
    (first, *others) = await scene.mail.list_parked()
    await page.goto("/")
    await page.get_by_role("link", name="Parked", exact=True).click()
    await page.get_by_role("link", name="order · mail").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        f"{1 + len(others)} parked messages"
    )
    place = f"{first.stream_name}/{first.position}"
    await page.get_by_role("link", name=place, exact=True).first.click()
    await expect(page.locator("main")).to_contain_text(first.reason)
    scene.is_repaired = True
    try:
        await page.get_by_role("link", name="Replay…").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Replay 1 parked message?")
        await page.get_by_role("button", name="Replay 1").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Done")
    finally:
        scene.is_repaired = False
    context = await open_context(chromium, site, bypass_csp=True)
    assert await check_accessibility(context, axe, "parked-job", page.url) == []
    await context.close()
    assert first.stream_name in scene.sent
    sent = await scene.client.get_last_stream_message(first.stream_name.replace("order", "mail"))
    assert sent is not None
    assert sent.type == "Sent"
    await page.get_by_role("link", name="Back to the list").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile(f"^{len(others)} parked messages?$")
    )
    assert [each.id for each in await scene.mail.list_parked()] == [each.id for each in others]


async def test_to_discard_a_group_its_number_is_typed(watched: Watched, site: Site) -> None:
    page = watched.page
    before = len(await site.scene.mail.list_parked())
    await page.goto("/parked?stream=order%3Aparked-mail")
    await page.get_by_role("link", name="Discard all…").click()
    await page.get_by_label(f"Type the number of messages, {before}").fill(str(before + 1))
    await page.get_by_role("button", name=f"Discard {before}").click()
    await expect(page.locator("main")).to_contain_text("Nothing was changed.")
    assert len(await site.scene.mail.list_parked()) == before


async def test_a_reset_of_a_position_is_asked_about_and_cancelled(
    watched: Watched, site: Site
) -> None:
    page = watched.page
    await page.goto("/consumers")
    await page.get_by_role("link", name="order · mail").click()
    await expect(page.get_by_role("heading", level=2, name="Reset its position")).to_be_visible()
    await page.get_by_label("to", exact=True).fill("beginning")
    await page.get_by_role("button", name="Continue…").click()
    await expect(page.locator("main")).to_contain_text("handles all messages of its category again")
    await page.get_by_role("link", name="Cancel").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("order · mail")
