"""Draw the picture that chats and social networks show beside a link to the site.

python scripts/social_card.py           writes docs/_static/card.png, with Chromium
"""

from __future__ import annotations

import sys
from pathlib import Path

import site_check

STATIC = Path(__file__).parents[1] / "docs" / "_static"
PAGE = """<!doctype html>
<style>
  body {{ margin: 0; background: #10192e; color: #fff; font-family: "Liberation Sans", sans-serif }}
  main {{ display: grid; grid-template-columns: 200px 1fr; gap: 56px; padding: 112px 96px 0 }}
  svg {{ width: 200px; height: 200px }}
  h1 {{ margin: 4px 0 20px; font-size: 104px; line-height: 1 }}
  p {{ margin: 0; font-size: 42px; line-height: 1.35; color: #c9d4ee }}
  footer {{ position: absolute; right: 0; bottom: 0; left: 0; padding: 36px 96px;
            background: #2757c8; font: 34px "Liberation Mono", monospace }}
</style>
<main>{logo}<div><h1>messagedb</h1>
<p>Event sourcing and messaging<br>in Python, on PostgreSQL<br>with Message DB</p></div></main>
<footer>pip install 'messagedb[embedded]'</footer>
"""


def main() -> int:
    """Draw the card with the logo of the site."""
    logo = (STATIC / "logo.svg").read_text("utf-8")
    with site_check.open_browser(STATIC) as (browser, _):
        page = browser.new_page(viewport={"width": 1200, "height": 630})
        page.set_content(PAGE.format(logo=logo))
        page.screenshot(path=STATIC / "card.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
