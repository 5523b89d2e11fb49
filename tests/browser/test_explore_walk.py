"""A stream is followed live, and a graph of cause and effect is walked by clicks and by keys."""

from __future__ import annotations

import re

from playwright.async_api import expect

from messagedb import NewMessage
from tests.browser.conftest import Site, Watched


async def test_a_message_that_is_written_appears_in_a_stream_that_is_followed(
    watched: Watched, site: Site
) -> None:
    page, client = watched.page, site.scene.client
    await client.write_message("ticker-1", NewMessage("Opened", {"number": 0}))
    await page.goto("/stream?name=ticker-1")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Follow live").click()
    await expect(page.locator("[data-live-state]")).to_have_text("live")
    await client.write_message("ticker-1", NewMessage("Ticked", {"text": "<b>bold</b>"}))
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("Ticked")
    await expect(rows.first).to_contain_text("<b>bold</b>")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("[data-live-state]")).to_have_text("paused")
    await client.write_message("ticker-1", NewMessage("Missed"))
    await page.get_by_role("button", name="Resume").click()
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("Missed")


async def test_from_a_command_to_its_effects_and_back_to_its_cause(
    watched: Watched, site: Site
) -> None:
    page = watched.page
    await page.goto(f"/message?id={site.scene.command}")
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text("Place")
    graph = page.locator("[data-walk]")
    await graph.get_by_role("link", name=re.compile("Paid")).click()
    await expect(heading).to_have_text("Paid")
    current = graph.locator("[aria-current]")
    await expect(current).to_contain_text("Paid")
    await current.focus()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(heading).to_have_text("Pay")
    await graph.get_by_role("link", name=re.compile("Place(?!d)")).click()
    await expect(heading).to_have_text("Place")


async def test_the_digits_of_a_number_are_those_that_are_stored(
    watched: Watched, site: Site
) -> None:
    page = watched.page
    await site.scene.client.write_message("digits-1", NewMessage("A", {"big": 2**63 - 1}))
    await page.goto("/go?q=digits-1/0")
    await expect(page.locator(".tree").first).to_contain_text("9223372036854775807")


async def test_a_stream_is_opened_by_the_go_to_box_and_keys_alone(
    watched: Watched, site: Site
) -> None:
    page = watched.page
    await page.goto("/")
    await page.keyboard.press("/")
    await page.keyboard.type("order-1")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("order-1")
