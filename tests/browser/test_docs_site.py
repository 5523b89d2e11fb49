"""The check of the site finds what is wrong with a page; the site's script does what it is for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import site_check
from playwright.async_api import Browser

ROOT: Final = Path(__file__).resolve().parents[2]
GOOD: Final = """<!doctype html><html lang="en" data-content_root="./"><head><title>Good</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<meta name="versions" content="../versions.json"><script src="site.js" defer></script></head>
<body><a class="sidebar-brand" href=".">Home</a><main><h1>Good</h1>
<pre style="overflow: auto"><code>{code}</code></pre></main></body></html>
"""
BAD: Final = """<!doctype html><html lang="en"><head><title>Bad</title>
<link rel="icon" href="data:,"></head><body><main><h1>Bad</h1><div id="late"></div>
<p style="color: #ddd; background: #fff">too pale</p><script src="large.js"></script>
<p style="width: 3000px">too wide</p><p style="height: 700px">moved</p>
<script>console.error("broken"); fetch("http://127.0.0.2:1/").catch(() => 0);
addEventListener("load", () => setTimeout(() => { late.style.height = "600px" }))
</script></main></body></html>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a site of two pages, one below a list of versions."""
    folder = tmp_path / "1.0"
    folder.mkdir()
    (folder / "good.html").write_text(GOOD.replace("{code}", "x" * 3000))
    (folder / "bad.html").write_text(BAD)
    (tmp_path / "0.9").mkdir()
    (tmp_path / "0.9" / "index.html").write_text(GOOD.replace("{code}", "x"))
    noise = base64.b64encode(os.urandom(310_000)).decode()  # compressed, it has this size again
    (folder / "large.js").write_text(f"// {noise}")
    shutil.copy(ROOT / "docs" / "_static" / "site.js", folder)
    versions = [{"version": "1.0", "url": "1.0/"}, {"version": "0.9", "url": "0.9/"}]
    (tmp_path / "versions.json").write_text(json.dumps(versions))
    return folder


@pytest.mark.usefixtures("axe")
def test_a_page_with_every_fault_is_found(folder: Path) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium to open pages with: see .ci/packages")
    program = str(ROOT / "scripts" / "site_check.py")
    command = [sys.executable, program, str(folder), "--views-only", "--width", "820"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    bad, _, good = done.stdout.partition("good ")
    for fault in (
        "color-contrast",
        "error: broken",
        "it asks http://127.0.0.2:1/",
        "it scrolls sideways",
        "it shifts by",
    ):
        assert fault in bad, done.stdout
    assert "it loads 31" in bad
    (first, *rest) = good.splitlines()
    assert first.endswith(" 1"), done.stdout  # the list of versions is outside of this folder
    assert "404 for " in rest[0]


async def test_the_script_offers_versions_and_makes_code_scrollable_by_keys(
    chromium: Browser, folder: Path
) -> None:
    context = await chromium.new_context()
    page = await context.new_page()
    with site_check.serve(folder.parent) as address:
        await page.goto(f"{address}/1.0/good.html")
        choice = page.get_by_label("Version")
        assert await choice.input_value() == f"{address}/1.0/"
        assert await choice.locator("option").all_text_contents() == ["1.0", "0.9"]
        assert await page.locator("pre").get_attribute("tabindex") == "0"
        async with page.expect_navigation():
            await choice.select_option("0.9")
        assert page.url == f"{address}/0.9/"
    await context.close()
