"""Search the built site in a browser for the words that people search for."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from playwright.sync_api import Browser
from search_words import ANSWERS

LIMIT: Final = 30_000
"""Milliseconds to wait for the results of one search."""

# The summary says how many results there are, before the last is shown.
IS_COMPLETE: Final = """
() => {
  const summary = document.querySelector("#search-results .search-summary");
  const found = summary && summary.textContent.match(/found (\\d+)|found one/);
  const shown = document.querySelectorAll("#search-results ul.search > li").length;
  return Boolean(found) && shown >= Number(found[1] ?? 1);
}
"""
FIRST: Final = "#search-results ul.search > li > a"


def find_faults(browser: Browser, address: str) -> list[str]:
    """Return the words whose first result is another page than the one that answers."""
    faults: list[str] = []
    page = browser.new_page()
    for word, name in ANSWERS.items():
        page.goto(f"{address}/search.html?q={quote(word)}")
        page.wait_for_function(IS_COMPLETE, timeout=LIMIT)
        link = page.locator(FIRST).first.get_attribute("href") or ""
        if link.partition("#")[0].partition("?")[0] != f"{name}.html":
            faults.append(f"a search for {word!r} shows {link} first, and not {name}.html")
    page.close()
    return faults
